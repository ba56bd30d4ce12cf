from __future__ import annotations

import json
import re

import click
import pytest

from phlows_cli.cli.events import EventLines, parse
from phlows_cli.errors import PhlowsError

HOOK = {"type": "hook", "hook": "receive", "outcome": "accepted", "ms": 12.34, "reason": ""}


def rendered(*events):
    """The lines without their colours and times."""
    lines = EventLines()
    texts = [
        lines.render(parse(json.dumps({"time": 1.5, "host": "h", **event}))) for event in events
    ]
    for text in texts:
        assert re.match(r"\d\d:\d\d:\d\d\.\d{3}  ", click.unstyle(text))
    return [click.unstyle(text)[14:] for text in texts]


IDS = {"socket": "3e41eca363bb3073", "token": "ba7816bf8f01"}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            {"type": "open", **IDS, "address": "192.0.2.1", "agent": "Browser/1"},
            "open     h  3e41eca363bb3073  ba7816bf8f01  192.0.2.1  Browser/1",
        ),
        ({"type": "auth", **IDS}, "auth     h  3e41eca363bb3073  ba7816bf8f01"),
        (
            {"type": "receive", **IDS, "bytes": 12},
            "receive  h  3e41eca363bb3073  ba7816bf8f01  12 bytes",
        ),
        (
            {**HOOK, **IDS},
            "hook     h  3e41eca363bb3073  ba7816bf8f01  receive accepted in 12.3 ms",
        ),
        (
            {**HOOK, **IDS, "outcome": "failed", "reason": "exit code 3"},
            "hook     h  3e41eca363bb3073  ba7816bf8f01  receive failed in 12.3 ms: exit code 3",
        ),
        (
            {"type": "close", **IDS, "code": 1009, "reason": "too big"},
            "close    h  3e41eca363bb3073  ba7816bf8f01  1009: too big",
        ),
        (
            {"type": "close", **IDS, "code": 1000, "reason": ""},
            "close    h  3e41eca363bb3073  ba7816bf8f01  1000",
        ),
        (
            {"type": "cast", "target": ["all"], "bytes": 1, "sent": 2, "dropped": 0, "held": 0},
            f"cast     h  {'':16}  {'':12}  to all: 1 byte, 2 sent",
        ),
        (
            {"type": "cast", "target": [], "bytes": 9, "sent": 0, "dropped": 1, "held": 2},
            f"cast     h  {'':16}  {'':12}  to nobody: 9 bytes, 0 sent, 1 dropped, 2 held",
        ),
        (
            {"type": "lost", "count": 7, "host": ""},
            f"lost     {'':0}  {'':16}  {'':12}  7 events lost: this reader is too slow",
        ),
        (
            {"type": "newer", **IDS, "what": 1, "ever": [2]},
            "newer    h  3e41eca363bb3073  ba7816bf8f01  what 1  ever [2]",
        ),
        ({"type": "open", **IDS}, "open     h  3e41eca363bb3073  ba7816bf8f01"),
        (
            {"type": "hook", **IDS, "hook": "close", "outcome": "accepted", "ms": "soon"},
            "hook     h  3e41eca363bb3073  ba7816bf8f01  hook close  outcome accepted  ms soon",
        ),
    ],
)
def test_each_kind_of_event_is_one_line(event, line):
    assert rendered(event) == [line]


def test_columns_stay_aligned_as_longer_hosts_come():
    first, second, third = rendered(
        {"type": "auth", **IDS, "host": "h"},
        {"type": "auth", **IDS, "host": "app.example.com"},
        {"type": "auth", **IDS, "host": "h"},
    )
    assert first.index("3e41") < second.index("3e41") == third.index("3e41")


def test_what_a_client_calls_itself_does_not_steer_the_terminal():
    event = {"type": "open", "address": "::1", "agent": "a\x1b]0;title\x07\r\nb"}
    assert rendered(event)[0].endswith("::1  a\\x1b]0;title\\x07\\r\\nb")


def test_failures_are_red_and_the_rest_is_not():
    lines = EventLines()
    red = click.style("x", fg="red")[:5]

    def is_red(event):
        return red in lines.render(parse(json.dumps({"time": 1, "host": "h", **event})))

    for outcome in ("failed", "timeout", "overloaded"):
        assert is_red({**HOOK, "outcome": outcome})
    assert is_red({"type": "lost", "count": 1})
    assert not is_red(HOOK)
    assert not is_red({**HOOK, "outcome": "refused"})


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"5", b'{"time":1}', b'{"time":"x","type":"a"}']
)
def test_a_line_that_is_no_event_is_an_error(line):
    with pytest.raises(PhlowsError, match="not an event"):
        parse(line)
