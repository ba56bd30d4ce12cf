"""Recorded calls, given to an app again: a socket's in order, others side by side."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from phlows_cli.cli.recordings.compare import View, is_same, seen_through, without
from phlows_cli.cli.recordings.figures import Figures
from phlows_cli.cli.recordings.player import Player, host_for
from phlows_cli.errors import UsageError
from phlows_cli.model import NOTHING, Hook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from phlows_cli.cli.recordings.player import Played
    from phlows_cli.cli.recordings.source import Call
    from phlows_cli.config import Config
    from phlows_cli.model import Host

HOSTS: Final = 64
"""Hosts of one recording that are replayed at once: each has its own processes."""

AHEAD: Final = 4
"""Calls that are read ahead for each that runs."""

MASKED_AUTH: Final = "auth with a masked token"

FAILURES: Final = frozenset({"failed", "timeout", "overloaded"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What is replayed, with what, and how.

    `hooks` empty is all of them, but auth where its token is masked. `tokens`
    are the real ones, by their masks. `speed` 0 is as fast as it goes, 1 as
    fast as it was. `limit` 0 is none.
    """

    config: Config
    app: str | None = None
    against: str | None = None
    runtime: str | None = None
    host: str = ""
    hooks: frozenset[str] = frozenset()
    tokens: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    speed: float = 0.0
    concurrency: int = 1
    ignored: frozenset[str] = frozenset()
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """One call as it was, or as the other app answers it, and as it is now.

    `verdict` is same, different, or failed: now, and not before. `casts` are
    the app's of now, with the masks of the tokens that it was given.
    """

    call: Call
    verdict: str
    was: View
    now: View
    was_ms: float
    played: Played
    casts: list[dict[str, Any]] = field(default_factory=list)


class Lane:
    """Apps that are given one call at a time, so that a cast is of that call."""

    def __init__(self) -> None:
        self._players: dict[tuple[str, str], Player] = {}

    def player(self, side: str, host: Host, config: Config) -> Player:
        """The one for a host's app, made when it is first asked for."""
        key = side, host.name
        if key not in self._players:
            self._players[key] = Player(host, config)
        return self._players[key]

    async def stop(self) -> None:
        """End all of them."""
        for player in self._players.values():
            await player.stop()


class Replay:
    """One run through a recording; `figures` count while it goes on."""

    def __init__(self, plan: Plan) -> None:
        self.figures = Figures(has_compared_casts=plan.against is not None)
        self._plan = plan
        self._hosts: dict[str, tuple[Host, Host | None]] = {}
        self._lanes: asyncio.Queue[Lane] = asyncio.Queue()
        self._all_lanes: list[Lane] = []
        self._tails: dict[tuple[str, str], asyncio.Task[Compared]] = {}
        self.has_masked = False
        self._begun = 0
        self._started: tuple[float, float] | None = None

    async def run(self, calls: Iterable[Call], show: Callable[[Compared], None]) -> None:
        """Replay the calls; `show` is given each, in the order in which they stand.

        Raises:
            UsageError: the recording cannot be read on, or an app not be run.
        """
        self._all_lanes = [Lane() for _ in range(self._plan.concurrency)]
        for lane in self._all_lanes:
            self._lanes.put_nowait(lane)
        window: deque[asyncio.Task[Compared]] = deque()
        most = AHEAD * self._plan.concurrency
        try:
            for call in calls:
                if self._is_enough():
                    break
                if self._skips(call):
                    continue
                await self._until_due(call)
                while window and (len(window) >= most or window[0].done()):
                    await self._settle(window, show)
                window.append(self._begin(call))
            while window:
                await self._settle(window, show)
        finally:
            await self._end(window)

    def _is_enough(self) -> bool:
        return bool(self._plan.limit) and self._begun >= self._plan.limit

    def _begin(self, call: Call) -> asyncio.Task[Compared]:
        """Start a call, which waits for the one before it of its socket."""
        self._begun += 1
        self.has_masked = self.has_masked or call.is_masked
        hosts, key = self._hosts_of(call.host), (call.host, call.socket)
        task = asyncio.ensure_future(self._compare(call, hosts, self._tails.get(key)))
        self._tails[key] = task
        task.add_done_callback(partial(self._forget, key))
        return task

    def _forget(self, key: tuple[str, str], task: asyncio.Task[Compared]) -> None:
        if self._tails.get(key) is task:
            del self._tails[key]

    async def _settle(
        self, window: deque[asyncio.Task[Compared]], show: Callable[[Compared], None]
    ) -> None:
        compared = await window[0]
        window.popleft()
        self.figures.add(compared.verdict, compared.was_ms, compared.played.ms)
        self.figures.casts += len(compared.casts)
        show(compared)

    async def _end(self, window: Iterable[asyncio.Task[Compared]]) -> None:
        for task in window:
            task.cancel()
            with suppress(asyncio.CancelledError, UsageError):
                await task
        for lane in self._all_lanes:
            await lane.stop()

    def _hosts_of(self, name: str) -> tuple[Host, Host | None]:
        """How a host's app is called now, and the other one."""
        if name not in self._hosts:
            if len(self._hosts) >= HOSTS:
                raise UsageError(f"the recording has more than {HOSTS} hosts: name one with --host")
            plan = self._plan
            other = plan.against
            now = host_for(plan.config, name, plan.app, plan.runtime)
            was = host_for(plan.config, name, other, plan.runtime) if other else None
            self._hosts[name] = now, was
        return self._hosts[name]

    def _skips(self, call: Call) -> bool:
        """Leave out, and count, what cannot be replayed or is not asked for."""
        if self._plan.host and call.host != self._plan.host:
            return True
        if self._plan.hooks and call.hook not in self._plan.hooks:
            return True
        why = self._obstacle(call)
        if why:
            self.figures.skipped[why] += 1
        return bool(why)

    def _obstacle(self, call: Call) -> str:
        plan = self._plan
        if call.outcome == "overloaded":
            return "did not run"
        if "message" in call.cut:
            return "message not recorded"
        if call.hook not in self._hosts_of(call.host)[0].hooks:
            return "hook that the host does not have"
        knows_token = call.token in plan.tokens or not call.token
        if call.hook == "auth" and not plan.hooks and not knows_token:
            self.figures.miss(call.token)
            return MASKED_AUTH
        return ""

    async def _until_due(self, call: Call) -> None:
        """Wait as long as was waited then, in the plan's measure."""
        if not self._plan.speed:
            return
        now = asyncio.get_running_loop().time()
        if self._started is None:
            self._started = now, call.time
        began, first = self._started
        await asyncio.sleep(max(0.0, began + (call.time - first) / self._plan.speed - now))

    async def _compare(
        self, call: Call, hosts: tuple[Host, Host | None], before: asyncio.Task[Compared] | None
    ) -> Compared:
        if before is not None:
            await asyncio.wait({before})
        hook, plan = self._hook(call), self._plan
        lane = await self._lanes.get()
        try:
            other = None
            if hosts[1] is not None:
                other = await lane.player("against", hosts[1], plan.config).play(hook)
            played = await lane.player("app", hosts[0], plan.config).play(hook)
        finally:
            self._lanes.put_nowait(lane)
        return self._verdict(call, played, other)

    def _hook(self, call: Call) -> Hook:
        """The call as the app is given it: with the real tokens, where they are known."""
        text = None
        if call.hook == "receive":
            text = bytes(call.message).decode()
            for mask, token in self._plan.tokens.items():
                text = text.replace(mask, json.dumps(token)[1:-1])
        token = self._plan.tokens.get(call.token, call.token)
        return Hook(call.hook, call.host, token, call.socket, text, tuple(call.env.items()))

    def _verdict(self, call: Call, played: Played, other: Played | None) -> Compared:
        now = self._view(played)
        casts = now["casts"]
        if other is None:
            was: View = {"outcome": call.outcome, "answers": call.answers}
            now = {"outcome": now["outcome"], "answers": seen_through(call, now["answers"])}
        else:
            was = self._view(other)
        was, now = without(was, self._plan.ignored), without(now, self._plan.ignored)
        verdict = "same" if is_same(was, now) else "different"
        before = call.outcome if other is None else other.outcome
        if played.outcome in FAILURES and before not in FAILURES:
            verdict = "failed"
        was_ms = call.ms if other is None else other.ms
        return Compared(call, verdict, was, now, was_ms, played, casts)

    def _view(self, played: Played) -> View:
        """What an app has said, with the masks of the tokens that it was given."""
        view = {"outcome": played.outcome, "answers": played.answers, "casts": played.casts}
        if not self._plan.tokens:
            return view
        text = json.dumps(view, ensure_ascii=False)
        for mask, token in self._plan.tokens.items():
            text = text.replace(json.dumps(token, ensure_ascii=False)[1:-1], mask)
        masked: dict[str, Any] = json.loads(text)
        return masked
