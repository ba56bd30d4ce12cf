"""A state as a busy broker makes it, the same each time."""

from __future__ import annotations

import random

from phlows_cli.cli.event_filter import EventFilter
from phlows_cli.cli.tui.state import State
from phlows_cli.model import token_hash

START = 1_767_225_600.0
"""Midnight that begins 2026, in UTC."""

SHOP, CHAT = "shop.example.com", "chat.example.com"

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"

AGENTS = (
    f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/142.0.0.0 Safari/537.36",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 15_7) {WEBKIT} Version/26.1 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_7) {WEBKIT} Version/26.1 Mobile/15E148 Safari/604.1",
    "kiosk/7.2",
)

HEALTH = {
    "status": "ok",
    "version": "0.1.0",
    "uptime": 187_530.0,
    "hosts": {SHOP: {"tokens": 31, "sockets": 35}, CHAT: {"tokens": 4, "sockets": 4}},
    "configured": [SHOP, CHAT],
    "connections": 41,
    "cap": 8,
    "pools": {
        "/srv/shop/www/app.php": {"workers": 4, "busy": 3, "queued": 2},
        "/srv/chat/app.py": {"workers": 2, "busy": 1, "queued": 0},
    },
    "problems": {},
    "dropped": {},
}


def row(number, **changes):
    """A row of /presence."""
    chance = random.Random(number)
    return {
        "host": CHAT if number % 9 == 0 else SHOP,
        "socket": f"{chance.getrandbits(64):016x}",
        "token": token_hash(f"user {number // 2}"),
        "authenticated": number % 14 != 0,
        "since": START - 2.0 ** (number % 18) - number,
        "address": f"203.0.113.{number}",
        "agent": AGENTS[number * 7 % 5],
        "in": chance.randrange(400),
        "out": chance.randrange(4000),
        **changes,
    }


ROWS = [row(number) for number in range(1, 43)]


def event(type_, ago=0.0, **fields):
    """An event of /events."""
    return {"time": START - ago, "type": type_, "host": SHOP, **fields}


def hook(of, ago=0.0, **changes):
    """The event of a hook that ended."""
    said = {"hook": "receive", "outcome": "accepted", "ms": 3.4, "reason": ""}
    return event("hook", ago, **ids(of), **{**said, **changes})


def ids(of):
    """The keys by which an event names who it is about."""
    return {"host": of["host"], "socket": of["socket"], "token": of["token"][:12]}


def events():
    """What has happened in the last seconds, the eldest first."""
    chance = random.Random(7)
    for number in range(60):
        of, ago = ROWS[chance.randrange(len(ROWS))], (60 - number) * 0.083
        yield event("receive", ago, **ids(of), bytes=chance.randrange(20, 300))
        yield hook(of, ago - 0.01, ms=round(chance.lognormvariate(1.2, 0.7), 1))
        if number % 3 == 0:
            cast = {"bytes": 148, "sent": chance.randrange(1, 37), "dropped": 0, "held": 0}
            yield event("cast", ago - 0.01, target=["all"], **cast)
    yield hook(ROWS[3], 0.12, outcome="failed", reason="exit code 255", ms=41.9)
    yield hook(ROWS[8], 0.2, ms=812.4)
    yield event("close", 0.1, **ids(ROWS[20]), code=1001, reason="")
    yield event("auth", 0.05, **ids(ROWS[4]))


def lively(width=80, height=24, **filters):
    """The state, ready to be painted."""
    state = State("http://127.0.0.1:3001", EventFilter(**filters), width, height)
    state.tick(995.0, START)
    state.apply_health(HEALTH)
    state.apply_presence(ROWS, 995.0)
    for number, happened in enumerate(sorted(events(), key=lambda event: event["time"])):
        state.tick(995.0 + number * 5 / 150, START)
        state.apply_event(happened)
    state.tick(1000.0, START)
    state.settle()
    return state


def many(count, **size):
    """A state with so many connections."""
    state = lively(**size)
    state.apply_presence([row(number, socket=f"{number:016x}") for number in range(count)], 1001.0)
    state.settle()
    return state
