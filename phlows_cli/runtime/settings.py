"""What every runtime of a broker shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from phlows_cli.model import Event
from phlows_cli.runtime.launcher import Launcher

if TYPE_CHECKING:
    from phlows_cli.config import Interpreters
    from phlows_cli.runtime.process import Groups
    from phlows_cli.runtime.slots import Slots

OnLine: TypeAlias = Callable[[bytes], None]
"""Takes one output line as it was printed, without its newline."""

OnStderr: TypeAlias = Callable[[Event, str], None]
"""Takes one line of an app's stderr, cut to 4 KiB."""


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """The broker's side of every call.

    `queue` counts the events of a host that may wait; `output` is bytes that
    one hook may print; `url` is where the app finds the bridge (PHLOWS_URL);
    `groups` notes the processes that run; with `tries_again` a close hook waits
    for an app that does not boot.
    """

    interpreters: Interpreters
    queue: int
    output: int
    url: str
    slots: Slots
    launcher: Launcher = field(default_factory=Launcher)
    groups: Groups | None = None
    tries_again: bool = True
