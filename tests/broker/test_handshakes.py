"""How often sockets may be opened, by all and by one address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.broker import handshakes as module
from phlows_cli.broker.handshakes import Handshakes, network_of
from tests.builders import make_limits

ALICE, BOB = "192.0.2.1", "192.0.2.2"


def make(handshake_rate=0.0, per_address=0.0):
    return Handshakes(make_limits(handshake_rate=handshake_rate, per_address=per_address), 0.0)


def taken(handshakes, address, count, now=0.0):
    return [handshakes.take(address, now) for _ in range(count)]


def test_without_a_rate_anybody_may_and_nobody_is_remembered():
    handshakes = make()
    assert set(taken(handshakes, ALICE, 1000)) == {""}
    assert not handshakes._by_address


def test_all_clients_share_one_rate_with_a_burst_of_twice_that():
    handshakes = make(handshake_rate=2)
    got = [*taken(handshakes, ALICE, 3), *taken(handshakes, BOB, 2)]
    assert got == ["", "", "", "", "handshake_rate"]
    assert taken(handshakes, BOB, 3, 1.0) == ["", "", "handshake_rate"]


def test_each_address_has_a_rate_of_its_own():
    handshakes = make(per_address=1)
    assert taken(handshakes, ALICE, 3) == ["", "", "per_address"]
    assert taken(handshakes, BOB, 3) == ["", "", "per_address"]
    assert taken(handshakes, ALICE, 2, 1.0) == ["", "per_address"]


def test_an_address_over_its_rate_takes_nothing_from_the_others():
    handshakes = make(handshake_rate=2, per_address=1)
    taken(handshakes, ALICE, 100)
    assert taken(handshakes, BOB, 3) == ["", "", "per_address"]


def test_who_is_refused_for_the_rate_of_all_has_used_up_none_of_their_own():
    handshakes = make(handshake_rate=1, per_address=0.5)
    assert taken(handshakes, BOB, 1) == [""]
    assert taken(handshakes, "192.0.2.3", 1) == [""]
    assert taken(handshakes, ALICE, 5) == ["handshake_rate"] * 5
    assert taken(handshakes, ALICE, 1, 1.0) == [""]


@pytest.mark.parametrize("address", ["unix", "", "unknown", "_hidden", "300.1.1.1"])
def test_a_peer_without_an_address_has_no_rate_of_its_own(address):
    handshakes = make(per_address=1)
    assert set(taken(handshakes, address, 100)) == {""}
    assert not handshakes._by_address


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8::1", "2001:db8::ffff:1:2"),
        ("2001:db8::1", "2001:DB8:0:0:8000::"),
        ("fe80::1%eth0", "fe80::2%eth1"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("192.0.2.1", "192.0.2.1:50123"),
        ("2001:db8::1", "[2001:db8::1]:50123"),
    ],
)
def test_these_are_the_same_client(one, other):
    assert network_of(one) == network_of(other) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.1", "192.0.2.2"),
        ("2001:db8::1", "2001:db8:0:1::1"),
        ("0.0.0.1", "0:0:0:1::"),
        ("0.0.0.0", "::"),
    ],
)
def test_these_are_not(one, other):
    assert network_of(one) != network_of(other)


def test_so_many_addresses_are_remembered_and_the_quietest_is_forgotten(monkeypatch):
    monkeypatch.setattr(module, "ADDRESSES", 3)
    handshakes = make(per_address=1)
    for address in (ALICE, "192.0.2.3", "192.0.2.4"):
        taken(handshakes, address, 2)
    assert taken(handshakes, ALICE, 1) == ["per_address"]  # and not the quietest any more
    taken(handshakes, BOB, 1)
    assert len(handshakes._by_address) == 3
    assert taken(handshakes, ALICE, 1) == ["per_address"]
    assert taken(handshakes, "192.0.2.3", 1) == [""]


@given(st.lists(st.ip_addresses().map(str) | st.text(max_size=8), max_size=60))
def test_memory_is_bounded_whatever_comes(addresses):
    handshakes = make(per_address=1)
    kept = module.ADDRESSES
    module.ADDRESSES = 5
    try:
        for address in addresses:
            handshakes.take(address, 0.0)
            assert len(handshakes._by_address) <= 5
    finally:
        module.ADDRESSES = kept


def test_other_rates_hold_at_once_and_the_same_go_on():
    handshakes = make(handshake_rate=2, per_address=1)
    taken(handshakes, ALICE, 2)
    handshakes.apply(make_limits(handshake_rate=1, per_address=1), 0.0)
    assert taken(handshakes, ALICE, 1) == ["per_address"]
    assert taken(handshakes, BOB, 2) == ["", ""]
    handshakes.apply(make_limits(handshake_rate=1), 0.0)
    assert not handshakes._by_address
    assert taken(handshakes, ALICE, 1) == ["handshake_rate"]
    handshakes.apply(make_limits(), 0.0)
    assert taken(handshakes, ALICE, 1) == [""]
