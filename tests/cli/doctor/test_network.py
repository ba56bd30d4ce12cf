"""The way through a real nginx to a real broker."""

from __future__ import annotations

import email.utils
import os
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from phlows_cli.cli.doctor.check import Case
from phlows_cli.cli.doctor.web import Address
from phlows_cli.config import load_config
from phlows_cli.errors import UsageError
from tests.certs import ONE
from tests.cli.doctor.serving import FORWARDED, WITH_UPGRADE, nginx, serving

LOCATIONS = {
    "good": f"location /websocket {{ proxy_pass UPSTREAM; {WITH_UPGRADE} {FORWARDED} }}",
    "plain": "location / { proxy_pass UPSTREAM; }",
    "unnamed": f"""location / {{ proxy_pass UPSTREAM; {WITH_UPGRADE}
        proxy_set_header Host $host; }}""",
    "nameless": f"location / {{ proxy_pass UPSTREAM; {WITH_UPGRADE} }}",
    "elsewhere": f"location / {{ proxy_pass UPSTREAM/other/; {WITH_UPGRADE} {FORWARDED} }}",
    "down": "location / { return 502; }",
    "theirs": "location / { return 200; }",
}
PUSHED = '[hosts."127.0.0.1"]\nhooks = []\n'
ASKED = '[hosts."127.0.0.1"]\napp = "app.py"\n'


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """A broker and nginx: the configuration's path, and an address a location."""
    folder = tmp_path_factory.mktemp("front")
    own = {name: value for name, value in os.environ.items() if not name.startswith("PHLOWS_")}
    environ = {**own, "PYTHONPATH": str(Path(__file__).parents[3])}
    with serving(folder, PUSHED, environ, "ping_interval = 1.2") as (port, path):
        path.write_text(path.read_text().replace("port = 0", f"port = {port}"))
        with nginx(folder, f"http://127.0.0.1:{port}", ONE, **LOCATIONS) as ports:
            urls = [f"https://127.0.0.1:{port}" for port in ports]
            yield path, dict(zip(LOCATIONS, urls, strict=True)), f"http://127.0.0.1:{port}"


@pytest.fixture
def through(front, look):
    """Makes a check of one of nginx's locations."""

    def run(name, location, **changes):
        path, urls, _ = front
        config = load_config(path)
        case = Case(config=config, hosts=tuple(config.hosts), publics=tuple(urls.values()))
        return look(name, replace(case, **changes), urls.get(location, location))

    return run


CHECKED = ("public-address", "upgrade", "forwarded-host", "public-origin", "forwarded-proto")


@pytest.mark.nginx
@pytest.mark.parametrize("name", [*CHECKED, "clock-skew", "bridge-public"])
def test_a_proxy_that_does_all_it_should_is_ok(through, name):
    result = through(name, "good")
    assert (result.status, result.hint) == ("ok", "")


@pytest.mark.nginx
def test_a_proxy_without_the_upgrade_headers_is_told_what_to_add(through):
    result = through("upgrade", "plain")
    assert result.status == "fail"
    assert "does not pass the upgrade on" in result.message
    assert "proxy_set_header Upgrade $http_upgrade" in result.hint
    assert "see upgrade" in through("public-origin", "plain").message


@pytest.mark.nginx
def test_a_visitor_who_can_choose_the_host_is_told(through):
    result = through("forwarded-host", "unnamed")
    assert result.status == "warn"
    assert "proxy_set_header X-Forwarded-Host $host" in result.hint


@pytest.mark.nginx
def test_a_host_that_is_not_served_is_told(through, front):
    url = front[1]["good"].replace("127.0.0.1", "localhost")
    assert through("public-address", url).status == "warn"
    assert through("upgrade", url).status == "fail"
    result = through("forwarded-host", url)
    assert (result.status, "'localhost' is not served here" in result.message) == ("fail", True)


@pytest.mark.nginx
def test_https_that_the_broker_does_not_hear_of_is_told(through):
    result = through("forwarded-proto", "unnamed")
    assert result.status == "warn"
    assert "X-Forwarded-Proto" in result.hint


@pytest.mark.nginx
def test_an_origin_that_is_not_the_sites_own_is_told(through, front):
    url = front[1]["nameless"].replace("127.0.0.1", "localhost")
    result = through("public-origin", url)
    assert result.status == "fail"
    assert f'add "{url}"' in result.hint


@pytest.mark.nginx
def test_a_path_that_is_not_passed_on_is_told(through):
    result = through("upgrade", "elsewhere")
    assert result.status == "fail"
    assert "server.path is /websocket" in result.hint


@pytest.mark.nginx
def test_a_proxy_that_does_not_reach_the_broker_is_told(through):
    result = through("public-address", "down")
    assert (result.status, "502" in result.message) == ("fail", True)
    assert through("upgrade", "theirs").status == "fail"


@pytest.mark.nginx
@pytest.mark.parametrize("location", ["plain", "unnamed"])
def test_a_bridge_that_the_proxy_opens_to_everyone_is_a_failure(through, location):
    result = through("bridge-public", location)
    assert (result.status, "anyone can cast" in result.message) == ("fail", True)


@pytest.mark.nginx
def test_a_silent_socket_lives_until_the_ping_or_is_told_when_it_was_cut(through):
    assert through("idle-timeout", "good").status == "skip"
    result = through("idle-timeout", "good", is_patient=True)
    assert (result.status, "until the broker's ping" in result.message) == ("ok", True)


@pytest.mark.nginx
def test_a_socket_that_is_not_opened_cannot_be_held(through):
    result = through("idle-timeout", "plain", is_patient=True)
    assert (result.status, "not opened" in result.message) == ("skip", True)


@pytest.mark.nginx
def test_a_proxy_that_cuts_a_silent_socket_before_the_ping_is_a_failure(tmp_path, environ, look):
    location = f"location / {{ proxy_pass UPSTREAM; {WITH_UPGRADE} proxy_read_timeout 200ms; }}"
    with (
        serving(tmp_path, PUSHED, environ, "ping_interval = 3600") as (port, path),
        nginx(tmp_path, f"http://127.0.0.1:{port}", ONE, cuts=location) as (front,),
    ):
        given = Case(config=load_config(path), is_patient=True)
        result = look("idle-timeout", given, f"https://127.0.0.1:{front}")
    assert (result.status, "before the broker's ping" in result.message) == ("fail", True)
    assert "proxy_read_timeout" in result.hint


def test_a_host_with_hooks_is_never_opened_a_socket(case, look):
    given = case(ASKED, is_patient=True)
    result = look("idle-timeout", given, "https://127.0.0.1:9")
    assert (result.status, "would run its hooks" in result.message) == ("skip", True)


def test_without_a_public_address_the_checks_say_how_to_name_one(case, look):
    for name in (*CHECKED, "clock-skew", "idle-timeout", "public-certificate", "bridge-public"):
        result = look(name, case())
        assert (result.status, "--public https://" in result.message) == ("skip", True), name


def test_an_address_where_nobody_answers_fails_once(case, look):
    for name in (*CHECKED[1:], "clock-skew", "public-certificate", "bridge-public"):
        assert look(name, case(), "https://127.0.0.1:9").status == "skip", name
    assert look("public-address", case(), "https://127.0.0.1:9").status == "fail"


@pytest.mark.parametrize(("offset", "status"), [(0, "ok"), (3600, "warn"), (None, "skip")])
def test_a_clock_that_is_off_is_told(case, look, recorder, monkeypatch, offset, status):
    def date(handler, *_):
        return "" if offset is None else email.utils.formatdate(time.time() + offset, usegmt=True)

    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", date)
    assert look("clock-skew", case(), recorder.url).status == status


def test_the_broker_itself_on_this_machine_is_no_public_bridge(case, look):
    assert look("bridge-public", case(), "http://localhost:3001").status == "skip"


@pytest.mark.parametrize(
    ("url", "host", "port", "origin", "path"),
    [
        ("https://a.test", "a.test", 443, "https://a.test", ""),
        ("A.test:8443/ws/", "a.test", 8443, "https://a.test:8443", "/ws"),
        ("ws://[::1]:3001", "::1", 3001, "http://[::1]:3001", ""),
    ],
)
def test_an_address_is_taken_apart(url, host, port, origin, path):
    to = Address.parse(url)
    assert (to.host, to.port, to.origin, to.path) == (host, port, origin, path)


@pytest.mark.parametrize(
    "url", ["", "ftp://a.test", "https://", "https://a:x", "https://u:p@a.test"]
)
def test_what_is_no_address_is_a_usage_error(url):
    with pytest.raises(UsageError, match="--public takes an address"):
        Address.parse(url)


def test_a_broker_on_a_unix_socket_is_not_asked_about_the_proxy(case, look, recorder, tmp_path):
    listens = case(server=f'listen = "unix:{tmp_path}/x.sock"')
    assert look("bridge-public", listens, recorder.url).status == "ok"
    assert "reach" not in look("upgrade", listens, recorder.url).message
