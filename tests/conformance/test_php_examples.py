"""The guide's chat and presence on phlows.php, as they stand in examples/php."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOST = "app.example.com"

pytestmark = pytest.mark.php


@pytest.fixture(params=["oneshot", "resident"])
def example(request, start, tmp_path):
    """Start a broker with an example and, beside it, what `phlows sdk php` prints."""

    def begin(name, **host):
        shutil.copy(ROOT / "examples" / "php" / name, tmp_path)
        shutil.copy(ROOT / "phlows_cli" / "assets" / "phlows.php", tmp_path)
        app = {"app": str(tmp_path / name), "runtime": request.param, **host}
        return start({HOST: app})

    return begin


def test_the_chat_tells_the_others_and_answers_the_author(example, join):
    broker = example("chat.php")
    stage = broker.stages[HOST]
    ann, _ = join(stage, "token of Ann", to=broker)
    bob, _ = join(stage, "token of Bob", to=broker)
    ann.send({"type": "chat.send", "text": "<hello> ✓"})
    line = {"#messages": "<li><b>Ann</b> &lt;hello&gt; ✓</li>"}
    assert bob.receive_json() == {"append": line}
    assert ann.receive_json() == {"append": line, "value": {"#text": ""}}
    bob.send({"type": "ping"})
    assert list(bob.receive_json()) == ["pong"]


def test_the_chat_lets_no_stranger_in(example, connect):
    broker = example("chat.php")
    client = connect(broker.stages[HOST], to=broker)
    client.authenticate("token of nobody in particular")
    assert client.closed() == 4501


def test_presence_counts_who_comes_and_goes(example, join):
    broker = example("presence.php", auth="upgrade")
    stage = broker.stages[HOST]
    ann, _ = join(stage, "ann", to=broker)
    assert ann.receive_json() == {"inner": {"#online-count": "1"}}
    bob, _ = join(stage, "bob", to=broker)
    for client in (ann, bob):
        assert client.receive_json() == {"inner": {"#online-count": "2"}}
    bob.close()
    assert ann.receive_json() == {"inner": {"#online-count": "1"}}
