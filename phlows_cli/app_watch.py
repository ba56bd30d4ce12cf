"""Apps whose workers are replaced when their code changes (`watch_app`)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from phlows_cli.system import FolderWatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from phlows_cli.model import Host


class AppWatches:
    """Looks at the apps of the hosts that say so.

    Args:
        on_change: awaited with the name of a host whose code has changed.
    """

    def __init__(self, on_change: Callable[[str], Awaitable[object]]) -> None:
        self._on_change = on_change
        self._watches: dict[tuple[str, str], FolderWatch] = {}
        self._is_looking = False

    @property
    def is_due(self) -> bool:
        """Whether there is something to look at, and nobody does."""
        return bool(self._watches) and not self._is_looking

    def apply(self, hosts: Iterable[Host]) -> None:
        """Watch these from now on; what is known of them stays known."""
        watched = {
            (host.name, host.app)
            for host in hosts
            if host.watch_app and host.runtime == "resident" and not host.is_url
        }
        for gone in self._watches.keys() - watched:
            del self._watches[gone]
        for name, app in watched - self._watches.keys():
            self._watches[name, app] = FolderWatch(Path(app))

    async def look(self) -> None:
        """Look once, in a thread."""
        self._is_looking = True
        try:
            for (name, _), watch in list(self._watches.items()):
                if await asyncio.to_thread(watch.has_changed):
                    await self._on_change(name)
        finally:
            self._is_looking = False
