from __future__ import annotations

import json

import pytest

from phlows_cli.cli.output import (
    duration,
    emit,
    json_bytes,
    note,
    plural,
    report,
    table,
    visible,
)


def unwanted():
    pytest.fail("the text for people was made for --json")


def test_json_is_one_compact_line_in_utf_8(capfdbinary):
    emit({"name": "Zoë", "n": [1, 2]}, True, unwanted)
    assert capfdbinary.readouterr().out == '{"name":"Zoë","n":[1,2]}\n'.encode()


def test_people_get_text(capsys):
    emit({"n": 1}, False, lambda: "one")
    assert capsys.readouterr() == ("one\n", "")


def test_no_text_prints_nothing(capsys):
    emit([], False, lambda: "")
    assert capsys.readouterr() == ("", "")


def test_bytes_of_an_argument_that_is_not_utf_8_survive_in_json():
    assert json.loads(json_bytes({"token": "\udcff"})) == {"token": "\udcff"}


def test_text_that_utf_8_cannot_hold_is_still_printed(capsys):
    emit({}, False, lambda: "a\udcffb")
    note("a\udcffb")
    assert capsys.readouterr() == ("a?b\n", "a?b\n")


def test_remarks_go_to_stderr(capsys):
    note("by the way")
    assert capsys.readouterr() == ("", "by the way\n")


def test_an_error_is_a_line_or_an_object(capsys):
    report("it did not", as_json=False)
    report('it "did" not', as_json=True)
    assert capsys.readouterr().err == (
        'error: it did not\n{"status":"error","message":"it \\"did\\" not"}\n'
    )


def test_no_text_steers_the_terminal():
    assert visible("a\x1b[31mb\rc\nd\x9b\u202ee\tf") == "a\\x1b[31mb\\rc\\nd\\x9b\\u202ee\tf"
    assert visible("Zoë -> 人") == "Zoë -> 人"


def test_joined_emoji_and_variation_selectors_stay_and_marks_of_direction_do_not():
    text = "👨\u200d👩\u200d👧 ❤\ufe0f"
    assert visible(text) == text
    assert visible(f"{text}\u2066\u200f\x1b[2J\u200b") == text + r"\u2066\u200f\x1b[2J\u200b"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 sockets"), (1, "1 socket"), (2, "2 sockets"), (1000, "1000 sockets")]
)
def test_one_is_singular(count, text):
    assert plural(count, "socket") == text


def test_a_table_puts_text_to_the_left_and_numbers_to_the_right():
    rows = [("app.example.com", 5), ("b", 1234)]
    assert table(("HOST", "SOCKETS"), rows).splitlines() == [
        "HOST             SOCKETS",
        "app.example.com        5",
        "b                   1234",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3600 + 125, "1 h 2 min"),
        (2 * 86400 + 5, "2 d 5 s"),
        (86400 + 3600 * 2 + 65, "1 d 2 h"),
    ],
)
def test_a_duration_is_told_in_two_units(seconds, text):
    assert duration(seconds) == text
