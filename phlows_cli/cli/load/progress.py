"""How far a run has come, on a terminal's stderr; nowhere else anything."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_INTERVAL: Final = 0.2


class Progress:
    """One line: the phase, what was done of what is expected, and the rate."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._phase = ""
        self._began = 0.0
        self._next = 0.0

    def __enter__(self) -> Self:
        """Show from now on, if somebody can see it."""
        if sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = ("{task.description}", BarColumn(), TextColumn("{task.fields[told]}"))
            self._bar = Bar(
                *columns, console=Console(stderr=True), auto_refresh=False, transient=True
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=None, told="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was found."""
        if self._bar is not None:
            self._bar.stop()

    def show(self, phase: str, done: int, expected: int) -> None:
        """Tell how far it is; most calls are too soon after the last, and cost nothing."""
        if self._bar is None or (monotonic() < self._next and phase == self._phase):
            return
        now = monotonic()
        self._next = now + _INTERVAL
        if phase != self._phase:
            self._phase, self._began = phase, now
        rate = done / (now - self._began) if now > self._began else 0.0
        told = f"{done:,} of {expected:,}  {rate:,.0f} a second" if expected > 1 else ""
        self._bar.update(
            self._task, description=phase, total=expected, completed=done, told=told, refresh=True
        )
