"""What `make fuzz` runs for hours, for a moment: the same parts, the same rules."""

from __future__ import annotations

import importlib
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzzing import TARGETS, config, head, mutation
from fuzzing.__main__ import main
from phlows_cli.errors import RequestError

FOLDER = Path(__file__).parents[2] / "fuzzing"
FOUND = sorted(FOLDER.glob("found/*/*"))
EACH = pytest.mark.parametrize("name", TARGETS)


def target(name):
    return importlib.import_module(f"fuzzing.{name}").TARGET


def test_every_part_that_is_fuzzed_is_described():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name for name in TARGETS if f"| `{name}` |" not in text] == []
    assert [target(name).name for name in TARGETS] == list(TARGETS)


@EACH
def test_the_inputs_to_begin_with_keep_the_rule(name):
    for seed in target(name).seeds:
        target(name).check(seed)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name} {path.name}")
def test_what_once_broke_a_rule_keeps_it(path):
    target(path.parent.name).check(path.read_bytes())


@EACH
def test_changed_inputs_keep_the_rule(name):
    for data in islice(mutation.inputs(target(name), seed=5), 1000):
        target(name).check(data)


@EACH
@settings(deadline=None, max_examples=150)
@given(st.data())
def test_inputs_put_together_of_what_is_known_keep_the_rule(name, data):
    part = target(name)
    known = st.sampled_from(part.seeds + part.tokens) | st.binary(max_size=20)
    first = data.draw(st.sampled_from([b"", b"\0", b"\1", b"\7"]))
    part.check(first + b"".join(data.draw(st.lists(known, max_size=12))))


def test_changes_come_again_with_their_seed():
    part = target("head")
    first, again, other = (list(islice(mutation.inputs(part, seed), 50)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) > 40


# The rules themselves can be broken


def test_a_part_that_raises_something_else_breaks_its_rule(monkeypatch):
    def crash(data):
        raise KeyError(data)

    monkeypatch.setattr(config, "check_config", crash)
    with pytest.raises(KeyError):
        config.check(b"")


def test_an_answer_that_depends_on_the_pieces_breaks_the_rule(monkeypatch):
    monkeypatch.setattr(head, "read", lambda parts, *_: ([], len(parts) > 1, b""))
    with pytest.raises(AssertionError, match="in one piece"):
        head.check(b"\1" + head.CAST)


def test_an_error_without_a_documented_status_breaks_the_rule():
    with pytest.raises(AssertionError):
        head.refuse(RequestError("no", 500))


def test_an_input_that_breaks_a_rule_is_kept(monkeypatch, tmp_path, capsys):
    def fails(data):
        raise AssertionError(data)

    monkeypatch.setattr("fuzzing.__main__.FOUND", tmp_path)
    monkeypatch.setattr(
        "fuzzing.__main__.load", lambda name: head.Target(name, fails, (b"x",), (b"y",))
    )
    monkeypatch.setattr(
        "sys.argv", ["fuzzing", "head", "--engine", "own", "--runs", "3", "--seed", "7"]
    )
    with pytest.raises(AssertionError) as caught:
        main()
    (kept,) = (tmp_path / "head").iterdir()
    assert kept.read_bytes() == caught.value.args[0]
    assert str(kept) in capsys.readouterr().err
