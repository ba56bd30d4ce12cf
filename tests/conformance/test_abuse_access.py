"""The rules of the bridge as one table: who calls, by what they call."""

from __future__ import annotations

import pytest

from tests.conformance.program import Program
from tests.conformance.stream import dial
from tests.conformance.web import read_head, request_bytes

HOST = "push.example.com"
KEYLESS = {"/message", "/health", "/ready"}
ROUTES = {
    "/message": ("POST", {"host": HOST}),
    "/health": ("GET", None),
    "/ready": ("GET", None),
    "/presence": ("GET", None),
    "/events": ("GET", None),
    "/disconnect": ("POST", {"host": HOST, "target": []}),
    "/metrics": ("GET", None),
    "/reload": ("POST", {}),
    "/drain": ("POST", {}),
}

PROXY = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https")]
CALLERS = {
    # what stands in the request: (headers, Host), and what that peer may do without a key
    "direct": ([], "127.0.0.1", True),
    "direct, by name": ([], "localhost:3001", True),
    "through a proxy that says so": (PROXY, "127.0.0.1", False),
    "through a proxy that says Forwarded": ([("Forwarded", "for=203.0.113.9")], "localhost", False),
    "through a proxy that says Via": ([("Via", "1.1 cache")], "127.0.0.1", False),
    "through a proxy that says nothing but the visitor's host": ([], HOST, False),
    "a browser's fetch": ([("Origin", "https://evil.example.com")], "127.0.0.1", False),
    "a browser's form": ([("Sec-Fetch-Site", "cross-site")], "127.0.0.1", False),
    "a browser's own page": ([("Sec-Fetch-Site", "same-origin")], "localhost", False),
    "a rebound name": ([], "evil.example.com", False),
    "a name that begins like an address": ([], "127.0.0.1.evil.example.com", False),
    "an empty Forwarded": ([("Forwarded", "")], "127.0.0.1", False),
}
PEERS = ["tcp", "unix", "allowed unix", "stranger"]
"""Where the connection comes from; a stranger is a peer out of bridge.allow."""


@pytest.fixture(scope="module")
def brokers(tmp_path_factory):
    """Three brokers: which peers are allowed is a matter of the configuration."""
    programs = {}
    folder = tmp_path_factory.mktemp("access")
    allowed = {"plain": ["127.0.0.0/8"], "unix too": ["127.0.0.0/8", "unix"], "none": ["10.0.0.1"]}
    for name, allow in allowed.items():
        where = folder / name.replace(" ", "-")
        where.mkdir()
        programs[name] = Program(
            where,
            {HOST: {"hooks": []}},
            server={"listen": ["127.0.0.1", f"unix:{where}/b.sock"]},
            bridge={"allow": allow},
        )
    yield programs
    for program in programs.values():
        program.stop()


def reached(brokers, peer):
    """The broker and the address that make a caller this peer."""
    name = {"tcp": "plain", "unix": "plain", "allowed unix": "unix too", "stranger": "none"}[peer]
    program = brokers[name]
    is_unix = peer.endswith("unix")
    return program, str(program.folder / "b.sock") if is_unix else program.address


def status(address, path, headers, host):
    method, body = ROUTES[path]
    stream = dial(address)
    try:
        stream.send(request_bytes(method, path, body, headers, host=host))
        return read_head(stream)[0]
    finally:
        stream.close()


def statuses(address, headers, host, paths=ROUTES):
    return {path: status(address, path, headers, host) for path in paths}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("caller", CALLERS)
def test_without_a_key_only_own_neighbours_may_and_only_little(brokers, peer, caller):
    headers, host, is_own = CALLERS[caller]
    _, address = reached(brokers, peer)
    may = is_own and peer in ("tcp", "allowed unix")
    expected = {path: 200 if may and path in KEYLESS else 401 for path in ROUTES}
    assert statuses(address, headers, host) == expected


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("caller", CALLERS)
def test_a_wrong_key_opens_nothing_to_anyone(brokers, peer, caller):
    headers, host, _ = CALLERS[caller]
    program, address = reached(brokers, peer)
    for wrong in (program.key[:-1], program.key + "0", program.key.swapcase() + "x"):
        key = ("Authorization", f"Bearer {wrong}")
        assert set(statuses(address, [*headers, key], host).values()) == {403}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("caller", CALLERS)
def test_the_right_key_opens_everything_to_everyone(brokers, peer, caller):
    headers, host, _ = CALLERS[caller]
    program, address = reached(brokers, peer)
    key = ("Authorization", f"Bearer {program.key}")
    harmless = [path for path in ROUTES if path != "/drain"]
    assert set(statuses(address, [*headers, key], host, harmless).values()) == {200}


def test_the_key_of_another_broker_is_a_wrong_one(brokers):
    key = ("Authorization", f"Bearer {brokers['none'].key}")
    assert set(statuses(brokers["plain"].address, [key], "127.0.0.1").values()) == {403}


def test_a_drain_is_refused_to_all_but_those_with_the_key(start):
    program = start({HOST: {"hooks": []}})
    assert program.ask("POST", "/drain", {}).status == 401
    assert program.ask("GET", "/ready").status == 200
    assert program.ask_with_key("POST", "/drain", {}).status == 200
    assert program.wait() == 0


def test_a_key_that_comes_twice_is_no_key(brokers):
    program = brokers["plain"]
    key = ("Authorization", f"Bearer {program.key}")
    wrong = ("Authorization", "Bearer wrong")
    assert status(program.address, "/presence", [wrong, key], "127.0.0.1") in (400, 403)
    assert status(program.address, "/presence", [key, wrong], "127.0.0.1") in (400, 403)
