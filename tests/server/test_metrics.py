"""What Prometheus reads, read as Prometheus reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from phlows_cli.model import HOOK_NAMES, Cast, Hook, HookResult, Outcome, Target
from phlows_cli.server.metrics import BUCKETS, Metrics
from tests.builders import HOST, Stage, make_host
from tests.fakes import ScriptedRuntime

COUNTERS = {
    "phlows_casts",
    "phlows_deliveries",
    "phlows_messages",
    "phlows_connects",
    "phlows_dropped",
}
GAUGES = {
    "phlows_connections",
    "phlows_max_connections",
    "phlows_loop_lag_seconds",
    "phlows_sockets",
    "phlows_events_queued",
    "phlows_hooks_running",
    "phlows_workers",
}


class Scene(Stage):
    """A stage with metrics, and what a reader makes of them."""

    def __init__(self, lag=0.0, **stage):
        super().__init__(**{"automatic": HOOK_NAMES} | stage)
        self.metrics = Metrics(self.broker, lambda: lag)
        self.broker.on_hook = self.metrics.observe

    def families(self):
        text = self.metrics.render().decode()
        return {family.name: family for family in text_string_to_metric_families(text)}

    def value(self, sample, **labels):
        """One sample's value."""
        (value,) = [
            found.value
            for family in self.families().values()
            for found in family.samples
            if (found.name, found.labels) == (sample, labels)
        ]
        return value


async def test_every_family_is_there_with_its_type_and_help_from_the_start():
    families = Scene().families()
    hooks = families.pop("phlows_hook_seconds")
    assert (hooks.type, bool(hooks.documentation)) == ("histogram", True)
    types = {name: family.type for name, family in families.items()}
    wanted = dict.fromkeys(COUNTERS, "counter") | dict.fromkeys(GAUGES, "gauge")
    assert types == wanted
    assert all(family.documentation.endswith(".") for family in families.values())


async def test_sockets_are_told_in_all_and_by_host():
    scene = Scene(limits={"max_connections": 7})
    scene.broker.add_host(make_host("quiet.test"), lambda _: ScriptedRuntime())
    await scene.live()
    await scene.live("bob")
    scene.connect()
    await scene.settle()
    assert scene.value("phlows_connections") == 3
    assert scene.value("phlows_max_connections") == 7
    assert scene.value("phlows_sockets", host=HOST) == 2
    assert scene.value("phlows_sockets", host="quiet.test") == 0


async def test_casts_messages_and_connects_are_counted():
    scene = Scene()
    session, _ = await scene.live()
    await scene.live("bob")
    session.receive("{}")
    await scene.settle()
    scene.broker.cast(Cast(HOST, b"{}"))
    scene.broker.cast(Cast(HOST, b"{}", Target.parse("token:bob")))
    scene.broker.cast(Cast(HOST, b"{}", Target.parse("token:nobody")))
    assert scene.value("phlows_connects_total") == 2
    assert scene.value("phlows_messages_total") == 1
    assert scene.value("phlows_casts_total") == 3
    assert scene.value("phlows_deliveries_total") == 3


async def test_hooks_are_a_histogram_by_host_hook_and_outcome():
    scene = Scene()
    hook = Hook("receive", HOST, "alice", "0" * 16, "{}")
    scene.metrics.observe(hook, HookResult(Outcome.ACCEPTED, seconds=0.02))
    scene.metrics.observe(hook, HookResult(Outcome.ACCEPTED, seconds=99.0))
    scene.metrics.observe(hook, HookResult(Outcome.TIMEOUT, seconds=30.0))
    accepted = {"host": HOST, "hook": "receive", "outcome": "accepted"}
    name = "phlows_hook_seconds"
    assert scene.value(f"{name}_count", **accepted) == 2
    assert scene.value(f"{name}_sum", **accepted) == 99.02
    assert scene.value(f"{name}_bucket", **accepted, le="0.01") == 0
    assert scene.value(f"{name}_bucket", **accepted, le="0.025") == 1
    assert scene.value(f"{name}_bucket", **accepted, le=str(float(BUCKETS[-1]))) == 1
    assert scene.value(f"{name}_bucket", **accepted, le="+Inf") == 2
    assert scene.value(f"{name}_count", **accepted | {"outcome": "timeout"}) == 1


async def test_each_hook_of_a_socket_is_observed_once():
    scene = Scene()
    session, _ = await scene.live()
    session.receive("{}")
    await scene.settle()
    session.left(1000, "")
    await scene.settle()
    for hook in HOOK_NAMES:
        labels = {"host": HOST, "hook": hook, "outcome": "accepted"}
        assert scene.value("phlows_hook_seconds_count", **labels) == 1


async def test_hooks_that_run_and_wait_are_told_by_host():
    scene = Scene(automatic=("connect", "auth"))
    session, _ = await scene.live()
    session.receive("{}")
    call = await scene.runtime.started("receive")
    assert scene.value("phlows_hooks_running", host=HOST) == 1
    assert scene.value("phlows_events_queued", host=HOST) == 0
    call.accepts()
    await scene.settle()
    assert scene.value("phlows_hooks_running", host=HOST) == 0


async def test_a_push_only_host_has_no_hooks_to_tell_of():
    scene = Scene()
    push = make_host("push.test", app="", hooks=frozenset(), auth="none")
    scene.broker.add_host(push, lambda _: None)
    assert {s.labels["host"] for s in scene.families()["phlows_hooks_running"].samples} == {HOST}
    assert scene.value("phlows_sockets", host="push.test") == 0


async def test_a_removed_host_is_told_of_no_more_but_in_its_hooks():
    scene = Scene()
    await scene.live()
    scene.broker.remove_host(HOST)
    await scene.settle()
    assert scene.families()["phlows_sockets"].samples == []
    labels = {"host": HOST, "hook": "close", "outcome": "accepted"}
    assert scene.value("phlows_hook_seconds_count", **labels) == 1


async def test_drops_are_counted_by_reason():
    scene = Scene()
    scene.broker.drops.count('a "strange" \\ reason', 3)
    scene.broker.drops.count("bad message")
    assert scene.value("phlows_dropped_total", reason='a "strange" \\ reason') == 3
    assert scene.value("phlows_dropped_total", reason="bad message") == 1


async def test_the_lag_is_that_of_now():
    assert Scene(lag=0.25).value("phlows_loop_lag_seconds") == 0.25


async def test_no_token_and_no_socket_is_told():
    scene = Scene()
    session, _ = await scene.live("topsecret")
    session.receive('{"secret":"topsecret"}')
    await scene.settle()
    scene.broker.cast(Cast(HOST, b'"topsecret"', Target.parse("token:topsecret")))
    session.left(1000, "topsecret")
    await scene.settle()
    text = scene.metrics.render()
    assert b"topsecret" not in text
    assert session.id.encode() not in text
