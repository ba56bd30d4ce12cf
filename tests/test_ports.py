from __future__ import annotations

import socket

import pytest

from tests import ports


@pytest.mark.parametrize("ephemeral", [1024, 11_000, 32_768, 49_152])
def test_workers_share_no_port_and_none_that_the_system_hands_out_where_there_is_room(ephemeral):
    firsts = list(ports.shares(ephemeral))
    taken = [port for first in firsts for port in range(first, first + ports.SHARE)]
    assert len(set(taken)) == len(taken) > 0
    assert min(taken) >= ports.FIRST
    assert max(taken) < (ephemeral if ephemeral > ports.FIRST else 65_536)


def test_a_port_that_is_taken_is_passed_over_and_none_comes_twice(monkeypatch):
    first = ports.free_port()
    monkeypatch.setattr(ports, "_ports", iter([first, first + 1, *range(first + 2, first + 9)]))
    with socket.create_server(("127.0.0.1", first)):
        assert ports.free_port() > first
    given = [ports.free_port() for _ in range(3)]
    assert len(set(given)) == 3
    assert first not in given


def test_ports_come_round_again(monkeypatch):
    share = range(20_000, 20_000 + ports.SHARE)
    turn = ports.in_turn(share)
    assert {next(turn) for _ in share} == set(share)
