"""A real PHP app, the guide's chat, through its whole life."""

from __future__ import annotations

import pytest

from tests.conformance.program import APPS

pytestmark = pytest.mark.php

HOST = "chat.example.com"
ANN, BOB = "topsecret-ann", "topsecret-bob"


@pytest.fixture
def chat(start):
    return start({HOST: {"app": str(APPS / "chat.php")}})


@pytest.fixture
def ann_and_bob(chat, join):
    """Ann, who knows that bob came, and bob."""
    stage = chat.stages[HOST]
    ann, _ = join(stage, ANN, to=chat)
    assert ann.receive_json() == {"inner": {"#online": 1}}
    bob, _ = join(stage, BOB, to=chat)
    for client in (ann, bob):
        assert client.receive_json() == {"inner": {"#online": 2}}
    return ann, bob


def test_a_ping_is_answered_to_its_sender_by_a_cast(ann_and_bob):
    ann, bob = ann_and_bob
    ann.send({"type": "ping"})
    assert ann.receive_json() == {"pong": 1}
    bob.send({"type": "ping"})
    assert bob.receive_json() == {"pong": 1}


def test_a_chat_line_reaches_everybody_but_its_sender_as_php_wrote_it(ann_and_bob):
    ann, bob = ann_and_bob
    ann.send({"type": "chat.send", "text": "h\u00e9 <b>/</b>"})
    expected = r'{"append":{"#chat":"<p>\u00e9 \/ h\u00e9 <b>\/<\/b><\/p>"}}'
    assert bob.receive() == expected
    ann.send({"type": "ping"})
    assert ann.receive_json() == {"pong": 1}


def test_a_cast_without_arguments_arrives_as_phps_empty_array(ann_and_bob):
    ann, bob = ann_and_bob
    ann.send({"type": "nothing"})
    assert ann.receive() == bob.receive() == "[]"


def test_a_whisper_reaches_a_token_and_a_socket(ann_and_bob):
    ann, bob = ann_and_bob
    ann.send({"type": "whisper", "to": BOB, "text": "psst"})
    assert ann.receive_json() == bob.receive_json() == {"toast": "psst"}


def test_a_list_and_unknown_keys_are_spread_and_printed_back(ann_and_bob):
    ann, _ = ann_and_bob
    ann.send([1, {"a": 2}])
    assert ann.receive_json() == {"log": [1, {"a": 2}]}
    ann.send({"host": "x", "token": "y", "socket": "z"})
    assert ann.receive_json() == {"log": {"host": "x", "token": "y", "socket": "z"}}


def test_who_leaves_is_counted_out(ann_and_bob):
    ann, bob = ann_and_bob
    bob.close()
    assert ann.receive_json() == {"inner": {"#online": 1}}


def test_a_token_that_the_app_does_not_know_is_shown_out(chat, connect):
    client = connect(chat.stages[HOST], to=chat)
    client.authenticate("somebody")
    assert client.closed() == 4501
