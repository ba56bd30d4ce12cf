"""A single message that is not as it has to be is found and named."""

from __future__ import annotations

import random

import pytest

from tests.cli.bench.stand_in import Fault, standing_in

FANOUT = ("--sockets", "4", "--casts", "1000", "--outstanding", "8", "--timeout", "0.5")
ECHO = ("--sockets", "4", "--rate", "2000", "--seconds", "0.5", "--timeout", "0.5")


def remote(bench, server, name, *args):
    return bench(name, "--url", server.url, "--host", "app.test", *args)


@pytest.mark.parametrize("kind", ["lost", "duplicated", "reordered", "damaged"])
def test_one_wrong_delivery_of_thousands_is_found_and_named(bench, kind):
    with standing_in(fault=Fault(kind, socket=2, number=417)) as server:
        result = remote(bench, server, "fanout", *FANOUT)
    assert (result["code"], result["ok"], result["errors"][kind]) == (1, False, 1)
    (found,) = [found for found in result["errors"]["examples"] if found["kind"] == kind]
    assert (found["socket"], found["number"]) == (2, 417)
    others = {"lost", "duplicated", "reordered", "damaged"} - {kind}
    assert {result["errors"][other] for other in others} == {0}


def test_a_last_delivery_that_never_comes_is_lost(bench):
    with standing_in(fault=Fault("lost", socket=1, number=1000)) as server:
        result = remote(bench, server, "fanout", *FANOUT)
    assert result["code"] == 1
    assert result["errors"]["examples"] == [{"kind": "lost", "socket": 1, "number": 1000}]


def test_a_socket_that_is_closed_on_the_way_is_named_with_its_code(bench):
    with standing_in(fault=Fault("closed", socket=3, number=500)) as server:
        result = remote(bench, server, "fanout", *FANOUT)
    assert (result["code"], result["errors"]["closed"]) == (1, 1)
    assert {"kind": "closed", "socket": 3, "why": "4000"} in result["errors"]["examples"]
    assert 1 <= result["errors"]["lost"] <= 8  # no more than was under way


def test_a_receipt_of_too_few_is_a_failure(bench):
    with standing_in(sent=3) as server:
        result = remote(bench, server, "fanout", "--sockets", "4", "--casts", "5")
    assert (result["code"], result["errors"]["receipts"]) == (1, 5)
    assert result["errors"]["examples"][0]["why"] == "sent 3 of 4"


def test_messages_of_others_are_ignored_and_counted(bench):
    with standing_in(foreign=b'\x81\x0a{"inner":1') as server:
        result = remote(bench, server, "fanout", "--sockets", "4", "--casts", "50")
    assert (result["code"], result["figures"]["deliveries"]) == (0, 200)
    assert result["figures"]["ignored_messages"] == 4 * 51  # the first lets them in


@pytest.mark.parametrize("kind", ["lost", "duplicated"])
def test_one_wrong_answer_of_many_is_found_and_named(bench, kind):
    with standing_in(fault=Fault(kind, socket=1, number=77)) as server:
        result = remote(bench, server, "echo", *ECHO)
    assert (result["code"], result["errors"][kind]) == (1, 1)
    assert result["errors"]["examples"] == [{"kind": kind, "socket": 1, "number": 77}]


def test_people_are_told_which_socket_and_number(phlows):
    with standing_in(fault=Fault("lost", socket=2, number=17)) as server:
        result = phlows("bench", "fanout", "--url", server.url, "--host", "app.test", *FANOUT)
    assert result.exit_code == 1
    assert "FAILED: 1 lost\n  lost  socket 2, number 17\n" in result.stdout


def test_a_storm_waits_as_it_is_told_and_comes_again(bench, monkeypatch):
    monkeypatch.setattr(random, "random", lambda: 0.1)
    with standing_in(refusals=5) as server:
        result = remote(bench, server, "storm", "--sockets", "10")
    first, back = result["figures"]["waves"].values()
    assert (result["code"], first["attempts"], back["attempts"]) == (0, 15, 10)
    assert result["refusals"] == {"503 full": 5}
    assert (first["in"], back["in"]) == (10, 10)


def test_handshakes_that_are_refused_are_told_with_their_status(bench):
    with standing_in(refusals=3) as server:
        result = remote(bench, server, "connect", "--count", "10")
    assert (result["code"], result["figures"]["let_in"]) == (1, 7)
    assert result["refusals"] == {"503 full": 3}


def test_handshakes_that_are_all_refused_are_exit_code_4(phlows):
    with standing_in(refusals=99) as server:
        result = phlows("bench", "connect", "--url", server.url, "--host", "a", "--count", "5")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "error: every handshake was refused: 503 full\n"


def test_an_app_that_answers_nothing_of_ours_is_told_what_it_has_to_do(phlows, app):
    path = app("print('{}')")
    result = phlows(
        "bench",
        "echo",
        "--app",
        str(path),
        "--runtime",
        "oneshot",
        "--timeout",
        "1",
        "--sockets",
        "2",
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the app has to send each message of bench echo back" in result.stderr


def test_a_broker_that_goes_away_is_exit_code_3(phlows):
    with standing_in(fault=Fault("gone", socket=0, number=50)) as server:
        result = phlows("bench", "fanout", "--url", server.url, "--host", "app.test", *FANOUT)
    assert (result.exit_code, result.stdout) == (3, "")
    assert f"the broker at {server.url} has gone away" in result.stderr
