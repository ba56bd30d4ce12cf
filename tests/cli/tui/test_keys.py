from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.cli.tui.keys import PASTE_LIMIT, Key, KeyReader


def names(*chunks):
    reader = KeyReader()
    return [key.name for chunk in chunks for key in reader.feed(chunk)]


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"aZ/ ?", ["a", "Z", "/", " ", "?"]),
        ("é漢🙂".encode(), ["é", "漢", "🙂"]),
        (b"\r\n\t\x7f\x08", ["enter", "enter", "tab", "backspace", "backspace"]),
        (b"\x15\x17\x06", ["ctrl-u", "ctrl-w", "ctrl-f"]),
        (b"\x1b[A\x1b[B\x1b[C\x1b[D", ["up", "down", "right", "left"]),
        (b"\x1bOA\x1bOH\x1bOF\x1bOP", ["up", "home", "end"]),
        (b"\x1b[5~\x1b[6~\x1b[1~\x1b[4~\x1b[H\x1b[F", ["pageup", "pagedown"] + ["home", "end"] * 2),
        (b"\x1b[1;5A\x1b[5;3~", ["up", "pageup"]),
        (b"\x1b\x1bx", ["escape"]),
    ],
)
def test_what_is_typed_is_named(typed, keys):
    assert names(typed) == keys


@pytest.mark.parametrize(
    "noise",
    [
        b"\x1bd\x1by\x1bq",  # Alt and a letter
        b"\x1b\xc3\xa9",  # Alt and a letter of two bytes
        b"\x1b[<0;10;12M\x1b[<0;10;12m",  # the mouse of today
        b"\x1b[M !!\x1b[Mqyd",  # and of old
        b"\x1b]11;rgb:0000/0000/0000\x07\x1b]0;title\x1b\\",  # the terminal's answers
        b"\x1bP>|tmux 3.3a\x1b\\",
        b"\x1b[?1;2c\x1b[I\x1b[O\x1b[99~",
        b"\xff\xfe\x80\xc3",
        b"\xe0",
    ],
)
def test_what_is_no_key_is_none(noise):
    assert names(noise, b"k") == ["k"]


def test_an_escape_is_the_key_only_when_nothing_follows():
    reader = KeyReader()
    assert reader.feed(b"\x1b") == []
    assert reader.is_waiting
    assert reader.flush() == [Key("escape")]
    assert not reader.is_waiting
    assert reader.feed(b"\x1b") + reader.feed(b"[") + reader.feed(b"A") == [Key("up")]


def test_a_sequence_that_never_ends_is_dropped():
    reader = KeyReader()
    assert reader.feed(b"\x1b[12") == []
    assert reader.flush() == []
    assert reader.feed(b"x") == [Key("x", "x")]


def test_a_paste_is_one_key_whatever_it_holds():
    assert KeyReader().feed(b"\x1b[200~dy\x1b[A\r\xff\x1b[201~k") == [
        Key("paste", "dy\x1b[A\r\ufffd"),
        Key("k", "k"),
    ]


def test_neither_a_paste_nor_a_string_grows_for_ever():
    reader = KeyReader()
    reader.feed(b"\x1b[200~")
    for _ in range(20):
        assert reader.feed(b"x" * 8192) == []
    (key,) = reader.feed(b"\x1b[201~")
    assert len(key.text) == PASTE_LIMIT
    for _ in range(9):
        assert reader.feed(b"\x1b]" + b"x" * 8192) == []
    assert reader.feed(b"\x07k")[-1].name == "k"


WORDS = st.sampled_from(
    [
        *(b"\x1b[A", b"\x1bOB", b"\x1b[5~", "漢".encode(), b"q", b"\x1b[<0;1;1M"),
        *(b"\x1b[M   ", b"\x1b[200~paste\x1b[201~", b"\x1b]0;t\x07", b"\x1bd", b"\xff", b"\r"),
    ]
)


@given(st.lists(WORDS), st.lists(st.integers(0, 60)))
def test_keys_are_the_same_whatever_the_chunks(words, cuts):
    typed = b"".join(words)
    points = [0, *sorted(min(cut, len(typed)) for cut in cuts), len(typed)]
    chunks = [typed[a:b] for a, b in pairwise(points)]
    assert names(*chunks) == names(typed)


@given(st.lists(st.binary(max_size=40)))
def test_garbage_breaks_nothing(chunks):
    reader = KeyReader()
    for chunk in chunks:
        for key in reader.feed(chunk):
            assert key.name
