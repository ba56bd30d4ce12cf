"""A Phlo app made for the Node brokers, moved here by configuration alone."""

from __future__ import annotations

import pytest

from tests.conformance.client import RefusedError
from tests.conformance.program import APPS

pytestmark = pytest.mark.php

HOST = "app.example.com"
WWW = APPS.parents[1] / "apps" / "phlo" / "www"
ANN, BOB = "token%20of%20ann", "token%20of%20bob"
RUNTIMES = ["oneshot", "resident"]


@pytest.fixture(params=RUNTIMES)
def moved(request, start, tmp_path):
    """The broker, with what docs/phlo.md says that the old setup becomes."""

    def begin(app):
        folder = tmp_path / "online"
        folder.mkdir()
        host = {
            "app": str(WWW / app),
            "hook_class": "websocket",
            "auth": "upgrade",
            "runtime": request.param,
            "env": {"ENGINE_STATE": str(folder)},
        }
        return start({HOST: host}, server={"path": "*"})

    return begin


def online(count):
    return {"inner": {"#online-count": count}}


@pytest.fixture
def ann_and_bob(moved, join):
    """Ann, who saw bob come, and bob; both by a path that the proxy has rewritten."""
    chat = moved("chat.php")
    ann, _ = join(chat.stages[HOST], ANN, to=chat, path="/")
    assert ann.receive_json() == online(1)
    bob, _ = join(chat.stages[HOST], BOB, to=chat, path="/anywhere")
    for client in (ann, bob):
        assert client.receive_json() == online(2)
    return ann, bob


def test_who_is_online_is_counted_for_the_newcomer_and_without_the_leaver(ann_and_bob):
    ann, bob = ann_and_bob
    bob.close()
    assert ann.receive_json() == online(1)


def test_a_chat_line_reaches_everybody_as_php_wrote_it(ann_and_bob):
    ann, bob = ann_and_bob
    ann.send({"type": "chat.send", "text": "h\u00e9 a/b"})
    said = r'{"chat":{"from":"Ann","text":"h\u00e9 a\/b"}}'
    assert ann.receive() == bob.receive() == said


def test_a_ping_is_answered_to_its_sender_alone(ann_and_bob):
    ann, bob = ann_and_bob
    ann.send({"type": "ping"})
    assert list(ann.receive_json()) == ["pong"]
    bob.send({"type": "chat.send", "text": "next"})
    assert bob.receive_json() == {"chat": {"from": "Bob", "text": "next"}}


@pytest.mark.parametrize("cookie", [None, "token%20of%20eve"])
def test_who_is_not_logged_in_gets_no_socket(moved, connect, cookie):
    chat = moved("chat.php")
    with pytest.raises(RefusedError) as refused:
        connect(chat.stages[HOST], to=chat, cookie=cookie)
    assert refused.value.status == 401


def test_a_hook_that_fails_answers_with_an_error_and_shows_nothing(moved, join):
    app = moved("app.php")
    client, _ = join(app.stages[HOST], "%5B%5B%22return%22%2Ctrue%5D%5D", to=app)
    client.send({"do": [["warn", 0]]})
    assert list(client.receive_json()) == ["error"]
    client.send(
        {"do": [["print", '{"a":1}'], ["print", ""], ["print", "secret"], ["write", "[2]"]]}
    )
    assert [client.receive_json(), client.receive_json()] == [{"a": 1}, [2]]
