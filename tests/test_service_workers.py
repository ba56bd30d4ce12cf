"""What the whole broker does by the second: ticks, and a look at watched apps."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from phlows_cli import service
from phlows_cli.broker.minutes import Minutes
from phlows_cli.errors import UnknownHostError
from phlows_cli.service import Service
from tests.builders import HOST, make_bridge, make_config, make_host, make_limits, make_server
from tests.running import Running

ENDS_THE_BROKER = """#!/bin/sh
echo "$1" >> "$LOG"
kill -TERM $PPID
"""


@pytest.fixture
def make(tmp_path):
    """Make the config of a host whose app ends the broker that calls it."""
    app = tmp_path / "app"
    app.write_text(ENDS_THE_BROKER)
    app.chmod(0o755)

    def config(**host):
        env = {"LOG": str(tmp_path / "log")}
        return make_config(
            make_host(**{"app": str(app), "env": env} | host),
            server=make_server(log_format="json"),
            bridge=make_bridge(key_file=tmp_path / "state" / "key"),
            limits=make_limits(max_connections=0),
        )

    return config


async def test_the_broker_runs_the_tick_of_a_host_when_the_minute_turns(
    this_process, make, on_log, monkeypatch, tmp_path
):
    minute = itertools.count(0, 60)
    monkeypatch.setattr(service, "Minutes", lambda broker: Minutes(broker, lambda: next(minute)))
    running = await Running(make(tick="tasks::run"), on_log).start()
    assert await running.task == 0
    assert (tmp_path / "log").read_text() == "tasks::run\n"


def watched(made):
    return sorted(path for _, path in made._apps._watches)


async def test_only_files_of_resident_apps_that_say_so_are_watched(this_process, make):
    url = {"app": "http://127.0.0.1:9/"}
    config = make(runtime="resident", watch_app=True)
    app = config.hosts[HOST].app
    made = Service(config)
    made._apps.apply(made.config.hosts.values())
    assert watched(made) == [app]
    known = made._apps._watches[HOST, app]
    made._apps.apply(made.config.hosts.values())
    assert made._apps._watches[HOST, app] is known, "a reload forgets no change"
    for other in ({"watch_app": False}, {"runtime": "oneshot"}, url):
        host = replace(config.hosts[HOST], **other)
        made.config = replace(config, hosts={HOST: host})
        made._apps.apply(made.config.hosts.values())
        assert watched(made) == []
    await made.stop()


async def test_workers_of_all_hosts_are_renewed_or_of_one_that_is_there(this_process, make):
    made = Service(make(runtime="resident"))
    nothing = {"replaced": {}, "failed": {}}
    assert await made.renew("") == nothing
    with pytest.raises(UnknownHostError):
        await made.renew("gone.test")
    await made.stop()
