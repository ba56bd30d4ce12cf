from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.runtime.stderr import LineCutter, StderrLog
from tests.runtime.apps import hook

WHOLE_TEST = 1000.0
"""Seconds: a window that does not end by itself."""


def cut(chunks, limit):
    cutter = LineCutter(limit)
    return [line for chunk in chunks for line in cutter.feed(chunk)] + cutter.finish()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\nb\n", [b"a", b"b"]),
        (b"\n", [b""]),
        (b"12345678\n1234567890", [b"12345", b"12345"]),
    ],
)
def test_lines_are_cut_at_the_limit(text, lines):
    assert cut([text], 5) == lines


@given(st.lists(st.text(alphabet="ab\n", max_size=9).map(str.encode)), st.integers(1, 6))
def test_chunks_of_any_size_give_the_same_lines(chunks, limit):
    text = b"".join(chunks)
    expected = [line[:limit] for line in text.split(b"\n")]
    if not expected[-1]:
        expected.pop()
    assert cut(chunks, limit) == cut([text], limit) == expected


class Log:
    """Collects what is logged; a test can wait for a line."""

    def __init__(self):
        self.lines = []
        self._came = asyncio.Event()

    def __call__(self, event, line):
        self.lines.append((event.socket, line))
        self._came.set()

    async def one_more(self):
        self._came.clear()
        await self._came.wait()


pytestmark = pytest.mark.usefixtures("loop_factory")
FIRST, SECOND = hook(socket="first"), hook(socket="second")


async def test_lines_over_the_limit_of_a_window_are_counted():
    log = Log()
    stderr = StderrLog(log, lines=2, window=0.05)
    stderr.write(FIRST, [b"a", b"b", b"c"])
    stderr.write(SECOND, [b"d"])
    assert log.lines == [("first", "a"), ("first", "b")]
    await log.one_more()
    assert log.lines[2:] == [("second", "2 more lines in 0.05 s were dropped")]
    stderr.write(FIRST, [b"e"])
    assert log.lines[3:] == [("first", "e")]
    stderr.close()


async def test_closing_tells_at_once_what_was_dropped_and_leaves_no_timer():
    log = Log()
    stderr = StderrLog(log, lines=1, window=WHOLE_TEST)
    stderr.write(FIRST, [b"a", b"b"])
    stderr.close()
    stderr.close()
    assert log.lines == [("first", "a"), ("first", "1 more lines in 1000 s were dropped")]


async def test_blank_lines_are_not_logged_and_other_bytes_are_replaced():
    log = Log()
    stderr = StderrLog(log, lines=2, window=WHOLE_TEST)
    stderr.write(FIRST, [b"", b" \r", b"caf\xc3\xa9 \xff\r", b"b"])
    stderr.close()
    assert log.lines == [("first", "caf\u00e9 \ufffd\r"), ("first", "b")]
