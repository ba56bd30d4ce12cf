"""The whole broker in this process: up, serving, and down again."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import replace

import pytest

from phlows_cli import service, system
from phlows_cli.errors import ConfigError, ListenError
from phlows_cli.service import KEPT_DESCRIPTORS
from tests.builders import HOST, make_bridge, make_config, make_host, make_limits, make_server
from tests.running import Running
from tests.server.serving import close_frame, frame, http, post, upgrade

APP = """#!/bin/sh
echo "$1 $PHLOWS_URL" >> "$LOG"
case "$1" in
  *::receive) echo '{"started":1}'; test -z "$SLOW" || exec sleep 60;;
  *) echo true;;
esac
"""


@pytest.fixture
def make(tmp_path):
    """Make the config of a host whose app notes its hooks in a file."""
    app = tmp_path / "app"
    app.write_text(APP)
    app.chmod(0o755)

    def config(slow="", **server):
        env = {"LOG": str(tmp_path / "hooks"), "SLOW": slow}
        return make_config(
            make_host(app=str(app), auth="none", env=env),
            server=make_server(log_format="json", **{"drain_timeout": 20.0} | server),
            bridge=make_bridge(key_file=tmp_path / "state" / "key"),
            limits=make_limits(max_connections=0),
        )

    return config


@pytest.fixture
def hooks(tmp_path):
    return lambda: (tmp_path / "hooks").read_text().splitlines()


async def test_it_serves_until_sigterm_and_leaves_nothing(
    this_process, make, hooks, on_log, loop_factory
):
    running = await Running(make(), on_log).start()
    client = await running.client()
    assert (await client.ask(upgrade())).status == 101
    client.send(frame(b"{}"))
    assert await client.text() == b'{"started":1}'
    caster = await running.client()
    assert (await caster.ask(post(b'{"host":"app.test"}'))).json["sent"] == 1
    assert await client.text() == b"{}"
    os.kill(os.getpid(), signal.SIGTERM)
    assert await client.close_code() == (1012, "restarting, come back in 1 s")
    client.send(close_frame(1012))
    assert await client.rest() == b""
    client.leave()
    assert await running.task == 0
    assert hooks() == [f"ws::{name} {running.url}" for name in ("connect", "receive", "close")]
    with pytest.raises(ConnectionRefusedError):
        await running.client()
    caster.leave()


async def test_it_is_ready_and_shows_its_pages(this_process, make, on_log):
    running = await Running(make(), on_log, routes={"/": ("text/html", b"<p>")}).start()
    client = await running.client()
    assert (await client.ask(http("/ready"))).status == 200
    assert (await client.ask(http("/"))).body == b"<p>"
    os.kill(os.getpid(), signal.SIGINT)
    assert await running.task == 0
    client.leave()


async def busy(running):
    """A client whose receive hook runs for longer than any test."""
    client = await running.client()
    assert (await client.ask(upgrade())).status == 101
    client.send(frame(b"{}"))
    assert await client.text() == b'{"started":1}'
    return client


async def test_while_it_drains_the_bridge_answers_and_upgrades_are_refused(
    this_process, make, on_log
):
    running = await Running(make(slow="yes"), on_log).start()
    client, other = await busy(running), await running.client()
    os.kill(os.getpid(), signal.SIGTERM)
    await running.stopping.wait()
    assert (await other.ask(post(b'{"host":"app.test"}'))).json["sent"] == 1
    assert (await other.ask(http("/ready"))).status == 503
    assert (await other.ask(upgrade())).status == 503
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running.task == 1, "a second signal hurries"
    await client.rest()
    client.leave()
    other.leave()


async def test_hooks_that_outlast_the_drain_are_cut_and_the_exit_code_is_1(
    this_process, make, on_log, caplog
):
    running = await Running(make(slow="yes", drain_timeout=0.02), on_log).start()
    client = await busy(running)
    os.kill(os.getpid(), signal.SIGTERM)
    client.send(close_frame(1012))
    assert await running.task == 1
    assert "hooks were cut at the end of drain_timeout" in caplog.messages
    client.leave()


async def test_an_address_in_use_ends_it_before_anything_starts(this_process, make, on_log):
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(ListenError, match="is in use"),
    ):
        await Running(make(port=other.getsockname()[1]), on_log).start()


async def test_a_key_that_cannot_be_made_ends_it(this_process, make, on_log, tmp_path):
    (tmp_path / "state").touch()
    with pytest.raises(ConfigError, match="key file"):
        await Running(make(), on_log).start()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_run_tells_that_it_is_up_and_returns_the_exit_code(
    this_process, make, on_log, capfd, monkeypatch, log_format
):
    def stop(*_):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(system, "quiet_garbage_collection", stop)
    config = make()
    config = replace(config, server=replace(config.server, log_format=log_format))
    assert service.run(config) == 0
    written = capfd.readouterr().err
    if log_format == "text":
        assert "listening  http://127.0.0.1:" in written
        assert f"hosts      {HOST} -> " in written
    else:
        assert '"message": "serving"' in written
    assert "stopping" in written


async def test_an_app_that_cannot_be_run_ends_it_and_frees_the_port(this_process, make, on_log):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = make(port=port)
    hosts = {HOST: replace(config.hosts[HOST], app="/srv/app.php")}
    with pytest.raises(ConfigError, match="php"):
        await Running(replace(config, hosts=hosts), on_log).start()
    with socket.create_server(("127.0.0.1", port)):
        pass


async def test_an_app_that_is_not_there_is_a_warning(this_process, make, on_log, caplog):
    config = make()
    hosts = {HOST: replace(config.hosts[HOST], app="/nowhere/app.py")}
    running = await Running(replace(config, hosts=hosts), on_log).start()
    assert any("/nowhere/app.py is missing" in message for message in caplog.messages)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running.task == 0


# Parts


def test_sockets_get_what_descriptors_leave(caplog):
    def resolved(wanted, descriptors):
        limits = make_limits(max_connections=wanted)
        return service._resolve(limits, descriptors).max_connections

    assert resolved(0, 1024) == 1024 - KEPT_DESCRIPTORS
    assert resolved(0, 100) == 1
    assert resolved(500, 1024) == 500
    assert not caplog.records
    assert resolved(5000, 1024) == 1024 - KEPT_DESCRIPTORS
    (record,) = caplog.records
    assert "limits.max_connections exceeds the descriptor limit (ulimit -n)" in record.message
    assert (record.max_connections, record.allowed) == (5000, 768)


@pytest.mark.parametrize(
    ("server", "limits", "expected"),
    [
        ({}, {}, 0.25),
        ({"close_timeout": 60.0}, {}, 1.0),
        ({"close_timeout": 0.0}, {}, 0.02),
        ({"close_timeout": 9.0, "ping_interval": 0.4}, {}, 0.1),
        ({"close_timeout": 9.0}, {"auth_timeout": 2.0}, 0.5),
        ({"close_timeout": 9.0}, {"handshake_timeout": 1.2}, 0.3),
    ],
)
def test_time_is_looked_at_four_times_within_the_shortest_timeout(server, limits, expected):
    config = make_config(server=make_server(**server), limits=make_limits(**limits))
    assert service._tick_interval(config) == pytest.approx(expected)
