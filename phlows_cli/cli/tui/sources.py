"""Threads that ask the broker, and the queue in which they tell what it said."""

from __future__ import annotations

import threading
import time
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any, Final

from phlows_cli.cli.commands.cast import receipt_line
from phlows_cli.cli.events import parse
from phlows_cli.cli.follow import Backoff, gone
from phlows_cli.cli.items import cast_body, to_json
from phlows_cli.cli.output import plural
from phlows_cli.errors import PhlowsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from phlows_cli.cli.client import BrokerClient
    from phlows_cli.cli.tui.state import Deed, State

    News = Callable[[State], None]

WAITING: Final = 10_000
"""News that wait to be shown; more are left with the broker, which counts them."""

BATCH: Final = 2000
"""News taken between two looks at the keys."""

INTERVAL: Final = 1.0
LONGEST: Final = 15.0
SHARE: Final = 20
"""Seconds between two questions: 20 times what the last one took, within bounds."""


class Sources:
    """Asks on threads of its own, which end with the process or with `stop`."""

    def __init__(
        self, client: Callable[[], BrokerClient], host: str, wake: Callable[[], None]
    ) -> None:
        """Take what makes a client (each thread has its own), and what wakes the loop.

        Args:
            client: makes one.
            host: the only host to ask for; "": all.
            wake: is called when there is news.
        """
        self._client = client
        self._query = {"host": host} if host else {}
        self._wake = wake
        self._news: Queue[News] = Queue(WAITING)
        self._ended = threading.Event()
        self._is_back = threading.Event()

    def start(self) -> None:
        """Begin to ask."""
        self._run(self._watch)
        self._run(self._poll)

    def stop(self) -> None:
        """Ask no more."""
        self._ended.set()
        self._is_back.set()

    def take(self) -> list[News]:
        """What came since, in order; some of it when it is much."""
        news: list[News] = []
        try:
            while len(news) < BATCH:
                news.append(self._news.get_nowait())
        except Empty:
            pass
        return news

    @property
    def has_more(self) -> bool:
        """Whether something waits."""
        return not self._news.empty()

    def do(self, deed: Deed) -> None:
        """Cast or disconnect, and tell what came of it."""
        self._run(lambda: self._do(deed))

    def _run(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, daemon=True).start()

    def _tell(self, news: News) -> None:
        while not self._ended.is_set():
            try:
                self._news.put(news, timeout=1.0)
            except Full:
                continue
            self._wake()
            return

    # Events

    def _watch(self) -> None:
        client, backoff = self._client(), Backoff()
        while not self._ended.is_set():
            problem = self._follow(client, backoff)
            self._tell(lambda state, problem=problem: state.apply_link(problem))  # type: ignore[misc]
            self._ended.wait(backoff.next())

    def _follow(self, client: BrokerClient, backoff: Backoff) -> str:
        """Tell of events until they end; returns why."""
        try:
            lines = client.lines("/events", self._query)
            self._tell(lambda state: state.apply_link(""))
            self._is_back.set()
            backoff.reset()
            self._read(lines)
        except PhlowsError as error:
            return str(error)
        return str(gone(client))

    def _read(self, lines: Iterator[bytes]) -> None:
        for line in filter(None, lines):
            event = parse(line)
            self._tell(lambda state, event=event: state.apply_event(event))  # type: ignore[misc]
            if self._ended.is_set():
                return

    # Health and presence

    def _poll(self) -> None:
        client = self._client()
        while not self._ended.is_set():
            cost = self._ask(client)
            self._is_back.clear()
            # Who comes back has other sockets: that is asked for at once.
            self._is_back.wait(min(max(INTERVAL, SHARE * cost), LONGEST))

    def _ask(self, client: BrokerClient) -> float:
        """Ask once, and tell; returns the seconds it took."""
        asked = time.monotonic()
        try:
            health = client.get("/health")
            self._tell(lambda state: state.apply_health(health))
            asked_presence = time.monotonic()
            rows = client.get("/presence", self._query).get("sockets", [])
            self._tell(lambda state: state.apply_presence(rows, asked_presence))
            self._tell(lambda state: state.apply_link("", "health"))
        except PhlowsError as error:
            # A broker that hangs keeps its streams open: only this tells of it.
            reason = str(error)
            self._tell(lambda state: state.apply_link(reason, "health"))
            return 0.0
        return time.monotonic() - asked

    # Deeds

    def _do(self, deed: Deed) -> None:
        try:
            said = _done(self._client(), deed)
        except PhlowsError as error:
            reason = str(error)
            self._tell(lambda state: state.say(reason, is_alarming=True))
        else:
            self._tell(lambda state: state.say(said))


def _done(client: BrokerClient, deed: Deed) -> str:
    """Do it; returns the result in words."""
    target = f"socket:{deed.socket}"
    if deed.payload is not None:
        answer: dict[str, Any] = client.post(
            "/message", cast_body(deed.host, [target], [], deed.payload)
        )
        return receipt_line(answer)
    body = {"host": deed.host, "target": target, "reason": "disconnected by an operator"}
    answer = client.post("/disconnect", to_json(body))
    return f"disconnected {plural(answer.get('disconnected', 0), 'connection')}"
