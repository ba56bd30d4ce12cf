from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import pytest

from phlows_cli import logs
from phlows_cli.logs import FIELD_LENGTH, JsonLines, TextLines


def record(message="hook failed", level=logging.WARNING, name="phlows.hooks", **extra):
    made = logging.LogRecord(name, level, __file__, 1, message, (), None)
    vars(made).update(extra)
    made.created, made.msecs = 1769860800.0123, 12.3
    return made


def text(**fields):
    return TextLines().format(record(**fields))


def as_json(**fields):
    return json.loads(JsonLines().format(record(**fields)))


def test_a_line_has_time_level_part_message_and_fields():
    assert text(host="app.test", ms=12.5) == (
        "2026-01-31T12:00:00.012Z warning hooks: hook failed host=app.test ms=12.5"
    )


def test_the_same_as_json():
    assert as_json(host="app.test", ms=12.5) == {
        "time": "2026-01-31T12:00:00.012Z",
        "level": "warning",
        "part": "hooks",
        "message": "hook failed",
        "host": "app.test",
        "ms": 12.5,
    }


def test_other_libraries_keep_their_name():
    assert " asyncio: " in text(name="asyncio")
    assert as_json(name="asyncio")["part"] == "asyncio"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        (7, "7"),
        (None, "None"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "x"', '"say \\"x\\""'),
        ("line\nbreak", '"line\\nbreak"'),
        ("\x1b[31mred", '"\\u001b[31mred"'),
        ("é", "é"),
        ("\u2028", '"\u2028"'),
    ],
)
def test_a_value_cannot_be_taken_for_another_field_or_line(value, shown):
    assert text(field=value).endswith(f" field={shown}")


@pytest.mark.parametrize("show", [text, lambda **f: JsonLines().format(record(**f))])
def test_fields_and_messages_are_bounded(show):
    line = show(message="m" * 10_000, field="x" * 10_000)
    assert "m" * FIELD_LENGTH + "..." in line
    assert "x" * FIELD_LENGTH + "..." in line
    assert len(line) < 2 * FIELD_LENGTH + 200


def failing():
    try:
        int("inside")
    except ValueError:
        return sys.exc_info()


def test_a_traceback_follows_in_text_and_is_a_field_in_json():
    lines = text(exc_info=failing()).splitlines()
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: invalid literal for int() with base 10: 'inside'"
    assert as_json(exc_info=failing())["traceback"].endswith("'inside'")


def test_json_shows_what_json_does_not_know():
    assert as_json(path=Path("/srv"))["path"] == "/srv"
    assert len(JsonLines().format(record(text="é\n")).splitlines()) == 1


@pytest.fixture
def root_logger():
    root, asyncio_level = logging.getLogger(), logging.getLogger("asyncio").level
    handlers, level = list(root.handlers), root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("asyncio").setLevel(asyncio_level)


@pytest.mark.parametrize(("log_format", "first"), [("text", "2"), ("json", "{")])
def test_every_line_goes_to_stderr_once_however_often_it_is_configured(
    root_logger, monkeypatch, log_format, first
):
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    logs.configure(log_format)
    logs.configure(log_format)
    logging.getLogger("phlows.test").info("hello", extra={"host": "app.test"})
    logging.getLogger("phlows.test").debug("unseen")
    logging.getLogger("asyncio").info("unseen")
    (line,) = written.getvalue().splitlines()
    assert line.startswith(first)
    assert "hello" in line
    assert "app.test" in line


def test_the_level_may_be_lower(root_logger, monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    logs.configure("text", logging.DEBUG)
    logging.getLogger("phlows.test").debug("seen")
    assert "debug test: seen" in written.getvalue()


def test_a_message_stays_on_its_line():
    line = TextLines().format(record(message="first\nsecond\x1b[31m"))
    assert "first\\nsecond\\x1b[31m" in line
    assert line.isprintable()
