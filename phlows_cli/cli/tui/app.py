"""The loop: news and keys into the state, the state onto the terminal."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.tui.actions import QUIT, press
from phlows_cli.cli.tui.connection import shown
from phlows_cli.cli.tui.keys import Key, KeyReader
from phlows_cli.cli.tui.paint import paint
from phlows_cli.cli.tui.sources import Sources
from phlows_cli.cli.tui.state import Deed, State
from phlows_cli.cli.tui.terminal import EndedError, Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlows_cli.cli.client import BrokerClient
    from phlows_cli.cli.event_filter import EventFilter

PAUSE: Final = 0.25
"""Seconds between two paintings of what happens."""

KEY_PAUSE: Final = 0.08
"""Seconds between two that answer keys."""

ESCAPE_PAUSE: Final = 0.05
"""Seconds after which an escape is the key, and no sequence begins."""


def run(client: Callable[[], BrokerClient], wanted: EventFilter) -> None:
    """Show it until it is left.

    Raises:
        BrokerUnreachableError: it does not answer at first; nothing was painted.
        RefusedError: it does not want us.
    """
    first = client()
    state = State(shown(first.url), wanted)
    state.tick(time.monotonic(), time.time())
    query = {"host": wanted.host} if wanted.host else {}
    state.apply_health(first.get("/health"))
    state.apply_presence(first.get("/presence", query).get("sockets", []), state.now)
    try:
        with Terminal() as terminal:
            sources = Sources(client, wanted.host, terminal.wake)
            try:
                sources.start()
                Loop(state, terminal, sources).run()
            finally:
                sources.stop()
    except EndedError as ended:
        # As who never caught the signal: whoever waits for us is told of it.
        signal.signal(ended.number, signal.SIG_DFL)
        os.kill(os.getpid(), ended.number)


class Loop:
    """One round: wait, take what came, paint if it is time."""

    def __init__(self, state: State, terminal: Terminal, sources: Sources) -> None:
        self._state = state
        self._terminal = terminal
        self._sources = sources
        self._keys = KeyReader()
        self._painted_at = self._typed_at = 0.0
        self._second = 0
        self._has_news = True
        self._has_keys = False

    def run(self) -> None:
        """Go on until somebody leaves."""
        self._state.resize(*self._terminal.size())
        while not self._round():
            self._paint_when_due()

    def _round(self) -> bool:
        """Wait for something, and take it; returns whether it is time to leave."""
        data = self._terminal.wait(self._patience())
        self._state.tick(time.monotonic(), time.time())
        self._obey()
        for news in self._sources.take():
            news(self._state)
            self._has_news = True
        return any(self._press(key) for key in self._pressed(data))

    def _pressed(self, data: bytes) -> list[Key]:
        now = time.monotonic()
        if data:
            self._typed_at = now
            return self._keys.feed(data)
        is_over = self._keys.is_waiting and now >= self._typed_at + ESCAPE_PAUSE
        return self._keys.flush() if is_over else []

    def _patience(self) -> float:
        """Seconds until there is something to do though nothing comes."""
        if self._sources.has_more:
            return 0.0
        now = time.monotonic()
        due = [self._second + 1.0]
        due += [self._due()] if self._has_news or self._has_keys else []
        due += [self._typed_at + ESCAPE_PAUSE] if self._keys.is_waiting else []
        return min(due) - now

    def _due(self) -> float:
        return self._painted_at + (KEY_PAUSE if self._has_keys else PAUSE)

    def _press(self, key: Key) -> bool:
        self._has_keys = True
        asked = press(self._state, key)
        if isinstance(asked, Deed):
            self._sources.do(asked)
        return asked == QUIT

    def _obey(self) -> None:
        """Do what signals have asked for."""
        noticed, self._terminal.noticed = self._terminal.noticed, set()
        if not noticed:
            return
        if signal.SIGTSTP in noticed:
            self._terminal.suspend()
        elif signal.SIGCONT in noticed:
            self._terminal.resume()
        self._state.resize(*self._terminal.size())
        self._terminal.forget()
        self._has_keys = True

    def _paint_when_due(self) -> None:
        now = time.monotonic()
        is_new = self._has_news or self._has_keys or int(now) != self._second
        if not is_new or now < self._due():
            return
        self._state.settle()
        self._terminal.paint(paint(self._state))
        self._painted_at, self._second = now, int(now)
        self._has_news = self._has_keys = False
