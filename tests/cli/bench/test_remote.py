"""Brokers that run already: over TLS and unix sockets, with and without the key."""

from __future__ import annotations

import json
import threading

import pytest

from tests.certs import ONE
from tests.cli.bench.conftest import SMALL

QUICK = ("--sockets", "20", "--casts", "50")


def test_a_running_broker_is_found_by_the_configuration(bench, serving, tmp_path):
    url = serving("")
    result = bench("fanout", *QUICK, "--url", url, "--config", str(tmp_path / "phlows.toml"))
    assert (result["code"], result["figures"]["deliveries"]) == (0, 1000)
    assert (result["config"]["broker"], result["config"]["host"]) == (url, "app.test")


@pytest.mark.parametrize("name", ["fanout", "connect"])
def test_a_broker_with_tls_is_measured_through_it(bench, serving, name):
    url = serving(f'tls_cert = "{ONE[0]}"\ntls_key = "{ONE[1]}"')
    args = ("--url", url, "--host", "app.test", "--ca", str(ONE[0]))
    assert bench(name, *SMALL[name], *args)["code"] == 0


def test_a_certificate_that_is_not_trusted_is_exit_code_3(phlows, serving):
    url = serving(f'tls_cert = "{ONE[0]}"\ntls_key = "{ONE[1]}"')
    result = phlows("bench", "fanout", *QUICK, "--url", url, "--host", "app.test")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "its certificate is not trusted here (--ca FILE)" in result.stderr


@pytest.mark.parametrize("name", ["fanout", "storm"])
def test_a_broker_at_a_unix_socket_is_measured_through_it(bench, serving, tmp_path, name):
    path = tmp_path / "s"
    url = serving(f'listen = "unix:{path}"\n[bridge]\nallow = ["unix"]')
    assert bench(name, *SMALL[name], "--url", url, "--host", "app.test")["code"] == 0


def test_sockets_may_connect_elsewhere_than_casts_go(bench, serving, tmp_path):
    path = tmp_path / "s"
    unix = f'listen = ["127.0.0.1", "unix:{path}"]\npath = "/live"\n[bridge]\nallow = ["unix"]'
    url = serving(unix)
    there = url.replace("http", "ws") + "/live"
    result = bench(
        "fanout", *QUICK, "--url", f"unix:{path}", "--connect", there, "--host", "app.test",
    )  # fmt: skip
    assert (result["code"], result["config"]["broker"]) == (0, there.removesuffix("/live"))


def test_sockets_alone_need_no_bridge(bench, serving):
    there = serving("[bridge]\nallow = []").replace("http", "ws") + "/websocket"
    assert (
        bench("connect", *SMALL["connect"], "--connect", there, "--host", "app.test")["code"] == 0
    )


def test_a_wrong_key_is_exit_code_4(phlows, serving):
    url = serving("")
    args = ("--url", url, "--host", "app.test")
    result = phlows("bench", "fanout", *QUICK, *args, env={"PHLOWS_KEY": "wrong"})
    assert (result.exit_code, result.stdout) == (4, "")
    assert "set PHLOWS_KEY to the key of this broker" in result.stderr


def test_the_key_is_taken_from_the_environment(bench, serving, tmp_path):
    url = serving("[bridge]\nallow = []")
    key = (tmp_path / "state" / "key").read_text().strip()
    args = ("--url", url, "--host", "app.test", "--target", "socket")
    assert bench("fanout", *QUICK, *args, env={"PHLOWS_KEY": key})["code"] == 0


def test_an_unknown_host_is_exit_code_4(phlows, serving):
    result = phlows("bench", "fanout", *QUICK, "--url", serving(""), "--host", "other.test")
    assert result.exit_code == 4
    assert "socket 0 was refused: 421" in result.stderr


@pytest.mark.parametrize("name", SMALL)
def test_no_broker_is_exit_code_3(phlows, name):
    args = ("--url", "http://127.0.0.1:1", "--host", "app.test")
    result = phlows("bench", name, *SMALL[name], *args, "--json")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "no broker answers at http://127.0.0.1:1" in json.loads(result.stderr)["message"]


def test_casts_of_others_are_ignored_while_ours_are_counted(bench, serving, phlows):
    import requests

    url, end = serving(""), threading.Event()

    def others():
        with requests.Session() as session:
            while not end.is_set():
                session.post(f"{url}/message", json={"host": "app.test", "data": {"a": 1}})

    thread = threading.Thread(target=others)
    thread.start()
    try:
        result = bench("fanout", *SMALL["fanout"], "--url", url, "--host", "app.test")
    finally:
        end.set()
        thread.join()
    assert (result["code"], result["figures"]["deliveries"]) == (0, 10_000)
    assert result["figures"]["ignored_messages"] > 0


def test_over_the_limit_of_sockets_handshakes_are_refused_with_503(bench, serving):
    url = serving("[limits]\nmax_connections = 30")
    args = ("--url", url, "--host", "app.test")
    result = bench("storm", "--sockets", "40", "--patience", "1", *args)
    assert (result["code"], result["figures"]["waves"]["first"]["in"]) == (1, 30)
    assert result["errors"]["failed"] == 20  # ten of each wave
    assert all(why.startswith("503 ") for why in result["refusals"])
