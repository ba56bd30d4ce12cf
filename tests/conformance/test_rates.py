"""Upgrades over a rate or a host's quota, seen from outside."""

from __future__ import annotations

import re
import signal

import pytest

from tests.conformance.client import RefusedError

ONE, OTHER = "one.example.com", "other.example.com"
LIVE = {"app": "quick", "auth": "none"}
SLOW = 0.001
"""Upgrades a second: one, and then none while a test runs."""


def refused(connect, program, host=ONE, **how):
    """What an upgrade over a limit is told; nothing may be started for it."""
    with pytest.raises(RefusedError) as caught:
        connect(program.stages[host], to=program, **how)
    assert caught.value.status == 503
    assert re.fullmatch(r"[1-9]|[1-5]\d|60", caught.value.headers["retry-after"])
    return caught.value.body["message"]


def connects(program):
    """How many connect hooks have been started."""
    return sum(e["type"] == "hook" and e["hook"] == "connect" for e in program.events.all())


def test_over_the_rate_of_all_clients_nothing_is_started(start, connect, join):
    program = start({ONE: LIVE, OTHER: LIVE}, limits={"handshake_rate": SLOW})
    _, socket_id = join(program.stages[ONE], to=program)
    program.hook_done(socket_id, "connect")
    for host in (ONE, OTHER):
        assert "(limits.handshake_rate)" in refused(connect, program, host)
    assert connects(program) == 1
    assert program.health()["dropped"] == {"upgrade over limits.handshake_rate": 2}


def test_over_the_rate_of_one_address_the_others_come_in(start, connect, join):
    program = start({ONE: LIVE}, limits={"per_address": SLOW})
    stage = program.stages[ONE]

    def visitor(address):
        return [("X-Forwarded-For", address)]

    join(stage, to=program, headers=visitor("2001:db8::1"))
    said = refused(connect, program, headers=visitor("2001:db8::2"))
    assert "(limits.per_address)" in said
    join(stage, to=program, headers=visitor("2001:db8:0:1::1"))
    join(stage, to=program, headers=visitor("192.0.2.1"))
    assert program.health()["dropped"] == {"upgrade over limits.per_address": 1}


def test_one_host_over_its_sockets_leaves_the_others_their_room(start, connect, join):
    program = start({ONE: {**LIVE, "max_connections": 2}, OTHER: LIVE})
    (first, first_id), _ = [join(program.stages[ONE], to=program) for _ in range(2)]
    assert f'(hosts."{ONE}".max_connections)' in refused(connect, program)
    join(program.stages[OTHER], to=program)
    first.close()
    program.ended(first_id)
    join(program.stages[ONE], to=program)
    assert program.health()["dropped"] == {"upgrade over hosts.*.max_connections": 1}


def test_a_reload_sets_other_limits_at_once_and_closes_nobody(start, connect, join):
    program = start({ONE: LIVE})
    clients = [join(program.stages[ONE], to=program)[0] for _ in range(3)]
    program.configure(limits={"per_address": SLOW})
    program.signal(signal.SIGHUP)
    program.says_again("reloaded", 1)
    clients.append(join(program.stages[ONE], to=program)[0])
    assert "(limits.per_address)" in refused(connect, program)
    program.configure(lambda hosts: hosts[ONE].update(max_connections=2), limits={})
    program.signal(signal.SIGHUP)
    program.says_again("reloaded", 2)
    assert ".max_connections)" in refused(connect, program)
    for client in clients:
        client.close()


def test_a_stop_tells_clients_when_to_come_back(start, join):
    program = start({ONE: LIVE})
    client, _ = join(program.stages[ONE], to=program)
    program.signal()
    assert client.closed() == 1012
    assert client.close_reason == "restarting, come back in 1 s"
