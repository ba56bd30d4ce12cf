"""All checks of a visit, side by side, none longer than it may take."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, TypeAlias

from phlows_cli.cli.doctor.check import Finding, Result, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from phlows_cli.cli.doctor.check import Case, Check

AT_ONCE: Final = 8
"""Checks that run side by side: most of them wait for something."""

Done: TypeAlias = "SimpleQueue[tuple[int, Result]]"


@dataclass(frozen=True, slots=True)
class _Visit:
    """One check for one subject, and the seconds that it has."""

    check: Check
    subject: str
    allowed: float


def examine(
    checks: Sequence[Check], case: Case, on_done: Callable[[int, int], None]
) -> list[Finding]:
    """Run every check for each of its subjects.

    A check that takes too long is told as failed, and no longer waited for.

    Args:
        checks: in the order of the findings.
        case: what is examined.
        on_done: told how many are done, of how many.
    """
    visits = [
        _Visit(check, subject, case.timeout + check.more(case))
        for check in checks
        for subject in check.subjects(case)
    ]
    results = _results(visits, case, on_done)
    return [
        Finding(visit.check, visit.subject, results[number]) for number, visit in enumerate(visits)
    ]


def _results(
    visits: Sequence[_Visit], case: Case, on_done: Callable[[int, int], None]
) -> dict[int, Result]:
    waiting = deque(range(len(visits)))
    deadlines: dict[int, float] = {}
    done: Done = SimpleQueue()
    results: dict[int, Result] = {}
    while waiting or deadlines:
        while waiting and len(deadlines) < AT_ONCE:
            number = waiting.popleft()
            deadlines[number] = time.monotonic() + visits[number].allowed
            _start(number, visits[number], case, done)
        for number, result in _next(deadlines, visits, done):
            results[number] = result
            del deadlines[number]
        on_done(len(results), len(visits))
    return results


def _start(number: int, visit: _Visit, case: Case, done: Done) -> None:
    """Begin a check in a thread that holds nobody up when it hangs."""

    def work() -> None:
        try:
            result = visit.check.run(case, visit.subject)
        except Exception as error:  # noqa: BLE001 - the edge: a check that breaks is a finding
            result = _broken(error)
        done.put((number, result))

    threading.Thread(target=work, daemon=True, name=visit.check.name).start()


def _broken(error: Exception) -> Result:
    from phlows_cli.errors import PhlowsError

    said = str(error) if isinstance(error, PhlowsError | OSError) else repr(error)
    return fail(f"could not be looked at: {said[:300]}", "mend what it names, or report it")


def _next(
    deadlines: dict[int, float], visits: Sequence[_Visit], done: Done
) -> list[tuple[int, Result]]:
    """Wait for the next result; those that are too late have one, too."""
    try:
        number, result = done.get(timeout=max(0.0, min(deadlines.values()) - time.monotonic()))
    except Empty:
        now = time.monotonic()
        late = [number for number, deadline in deadlines.items() if deadline <= now]
        return [(number, _late(visits[number])) for number in late]
    return [(number, result)] if number in deadlines else []


def _late(visit: _Visit) -> Result:
    return fail(
        f"no answer within {visit.allowed:g} seconds (--timeout)",
        "see why it hangs, or give it longer: `phlows doctor --timeout 60`",
    )
