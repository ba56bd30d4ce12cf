from __future__ import annotations

import json
import time

import pytest

import phlows_cli
from phlows_cli.broker import report
from phlows_cli.errors import UnknownHostError
from phlows_cli.journal.journal import Entry
from phlows_cli.model import Cast, Target, token_hash
from tests.builders import HOST, Stage, make_host
from tests.fakes import ScriptedRuntime

ALL_HOOKS = ("connect", "auth", "receive", "close")


async def test_health_counts_authenticated_sockets_by_the_hash_of_their_token():
    stage = Stage(automatic=ALL_HOOKS)
    await stage.live("alice")
    await stage.live("alice")
    await stage.live("bob")
    stage.connect("")
    await stage.settle()
    health = report.health(stage.broker, time.monotonic() - 60)
    assert health["hosts"] == {
        HOST: {
            "tokens": 2,
            "sockets": 3,
            "perToken": {token_hash("alice"): 2, token_hash("bob"): 1},
        }
    }
    assert health["sockets"] == health["hosts"]
    assert health["connections"] == 4
    assert health["status"] == "ok"
    assert health["version"] == phlows_cli.__version__
    assert 60 <= health["uptime"] < 120
    assert "alice" not in json.dumps(health)


async def test_health_tells_configured_and_registered_hosts_and_what_was_dropped():
    stage = Stage(automatic=ALL_HOOKS)
    stage.broker.add_host(make_host("a.test", app="", hooks=frozenset()), lambda _: None)
    await stage.live()
    stage.broker.drops.count("z")
    stage.broker.drops.count("a", 2)
    health = report.health(stage.broker, time.monotonic())
    assert health["configured"] == ["a.test", HOST]
    assert health["registered"] == [HOST]
    assert list(health["dropped"].items()) == [("a", 2), ("z", 1)]


async def test_health_sums_the_pools_of_hosts_with_the_same_app():
    stage = Stage()
    other = ScriptedRuntime()
    stage.broker.add_host(make_host("a.test"), lambda _: other)
    stage.broker.add_host(make_host("b.test", app="/srv/b.php"), lambda _: ScriptedRuntime())
    stage.connect()
    await stage.runtime.started("connect")
    health = report.health(stage.broker, time.monotonic())
    assert health["pools"] == {
        "/srv/app.php": {"workers": 1, "busy": 1, "queued": 0},
        "/srv/b.php": {"workers": 0, "busy": 0, "queued": 0},
    }
    assert (health["workers"], health["cap"]) == (1, 8)


async def test_a_push_only_host_has_no_pool():
    stage = Stage()
    stage.broker.add_host(make_host("a.test", app="", hooks=frozenset()), lambda _: None)
    assert list(report.health(stage.broker, time.monotonic())["pools"]) == ["/srv/app.php"]


async def test_ready_says_why_it_is_not():
    stage = Stage()
    assert report.unready_reason(stage.broker) == ""
    stage.runtime.is_at_limit = True
    assert report.unready_reason(stage.broker) == f"events queue up to limits.queue for {HOST}"
    stage.broker.is_draining = True
    assert report.unready_reason(stage.broker) == "the broker is stopping"


async def test_a_broker_without_hosts_is_not_ready():
    stage = Stage()
    stage.broker.apps.clear()
    assert "phlows host add" in report.unready_reason(stage.broker)


async def test_presence_lists_every_socket_from_accept_until_it_leaves():
    stage = Stage(automatic=ALL_HOOKS)
    session, _ = stage.open("alice", address="198.51.100.7", agent="Browser/1")
    (row,) = report.presence(stage.broker, [HOST])
    assert row.pop("since") == pytest.approx(time.time(), abs=60)
    assert row == {
        "host": HOST,
        "socket": session.id,
        "token": token_hash("alice"),
        "authenticated": False,
        "address": "198.51.100.7",
        "agent": "Browser/1",
        "in": 0,
        "out": 0,
    }
    session.start()
    session.receive("{}")
    await stage.settle()
    stage.broker.cast(Cast(HOST, b"{}", Target.parse(f"socket:{session.id}")))
    session.peer.shared = 2  # of those to all sockets
    (row,) = report.presence(stage.broker, [HOST])
    assert (row["authenticated"], row["in"], row["out"]) == (True, 1, 3)
    session.left(1000, "")
    assert report.presence(stage.broker, [HOST]) == []


async def test_presence_of_an_unknown_host_is_an_error():
    with pytest.raises(UnknownHostError):
        report.presence(Stage().broker, [HOST, "x.test"])


async def test_a_journal_that_cannot_be_written_makes_the_broker_unready():
    stage = Stage()
    assert report.unready_reason(stage.broker) == ""
    stage.broker.journal.problem = "the journal cannot be written: full"
    assert report.unready_reason(stage.broker) == "the journal cannot be written: full"


async def test_a_host_that_runs_close_hooks_of_before_says_so():
    stage = Stage(left_behind=[Entry("0" * 16, HOST, "t", 0.0)])
    close = await stage.runtime.started("close")
    assert report.health(stage.broker, 0.0)["problems"] == {HOST: report.RECOVERING}
    close.accepts()
    await stage.settle()
    assert report.health(stage.broker, 0.0)["problems"] == {}
