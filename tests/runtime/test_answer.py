from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.model import Outcome
from phlows_cli.runtime.answer import (
    TAIL_LENGTH,
    VALUES_LIMIT,
    Answer,
    LineSplitter,
    describe_exit,
    outcome_of,
    values_in,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def is_number(value):
    """Two numbers side by side are one: nothing tells where the first ends."""
    return type(value) in (int, float)


@pytest.mark.parametrize(
    ("line", "sendable"),
    [
        (b'{"a":1}', [b'{"a":1}']),
        (b"[]", [b"[]"]),
        (b'  {"a" : 1.0e2 }\t\r', [b'{"a" : 1.0e2 }']),
        (b'{"a":1}true', [b'{"a":1}']),
        (b'true{"a":1}', [b'{"a":1}']),
        (b'{"a":1}{"a":1}[2] [3]', [b'{"a":1}', b'{"a":1}', b"[2]", b"[3]"]),
        (b'{"a":1}null"text"-12.5E+3false', [b'{"a":1}']),
        (b'{"quo\\"}te":"}{"}false', [b'{"quo\\"}te":"}{"}']),
        (b'{"u":"\\u00e9\\/"}', [b'{"u":"\\u00e9\\/"}']),
        ('{"u":"\u00e9\U0001f600"}true'.encode(), ['{"u":"\u00e9\U0001f600"}'.encode()]),
        (b'{"a":1,"a":2}', [b'{"a":1,"a":2}']),
    ],
)
def test_objects_and_arrays_are_sent_byte_for_byte(line, sendable):
    assert values_in(line) == Answer(sendable)


@pytest.mark.parametrize(
    "line", [b"", b" \t\r", b"true", b"false", b"null", b"12", b'"text"', b"1true", b"truefalse"]
)
def test_blank_lines_and_bare_scalars_are_nothing(line):
    assert values_in(line) == Answer([])


@pytest.mark.parametrize(
    "line",
    [
        b"PHP Warning:  Undefined variable $x in /srv/app/www/app.php on line 3",
        b"three",
        b"threetrue",
        b'{"a":1}three',
        b'three{"a":1}',
        b"[404] /srv/app/secret.php",
        b"NaN",
        b"[NaN]",
        b"[Infinity]",
        b"[1,]",
        b"[1}",
        b"{'a':1}",
        b'{"a":1',
        b'{"a":"1}',
        b'{"a":"1\\',
        b'{"a":1}}',
        b'"text',
        b'["\x01"]',
        b'["\\x"]',
        b"-",
        b"01",
        b"[01]true",
        b"\x00",
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":1}//',
        b'{"a":1}\x0b{}',
        b"TRUE",
    ],
)
def test_text_that_is_not_json_is_ignored_whole(line):
    assert values_in(line) == Answer([], "not JSON")


@pytest.mark.parametrize("line", [b'{"a":"\xff"}', b'{"a":1}"\xc3"', b'["\xed\xa0\x80"]'])
def test_a_line_that_is_not_utf8_is_ignored(line):
    assert values_in(line) == Answer([], "not UTF-8")


@pytest.mark.parametrize("ending", [b"", b"true"])
def test_a_line_nested_too_deep_is_ignored(ending):
    line = b"[" * 5000 + b"]" * 5000 + ending
    assert values_in(line) == Answer([], "nested too deep")


def test_more_values_than_the_limit_on_one_line_are_ignored():
    assert len(values_in(b"{}" * VALUES_LIMIT).sendable) == VALUES_LIMIT
    assert values_in(b"{}" * (VALUES_LIMIT + 1)) == Answer([], "more than 1024 values on one line")


@pytest.mark.parametrize("piece", [b'{"', b'\\"', b'"', b"[", b"{}", b'"\\', b"[]x"])
def test_a_long_line_of_odd_pieces_is_read_once(piece):
    """Were any byte looked at twice a hundred thousand times, this would never end."""
    assert values_in(b'{"a' + piece * 100_000).sendable == []
    assert values_in(b"[1]" + piece * 100_000).sendable == []


@given(st.lists(JSON, min_size=1, max_size=6), st.sampled_from(["", " ", "\t", "\r"]))
def test_values_written_side_by_side_come_apart_again(values, blank):
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    line = "".join(texts) if blank == "" and not any(map(is_number, values)) else " ".join(texts)
    expected = [text.encode() for text in texts if text[0] in "{["]
    assert values_in(f"{blank}{line}{blank}".encode()) == Answer(expected)


@given(st.binary(max_size=60))
def test_whatever_is_sendable_is_json_that_stands_in_the_line(line):
    for value in values_in(line).sendable:
        assert value in line
        assert isinstance(json.loads(value), dict | list)


@given(st.text(alphabet='{}[]",:\\ truefalsn0123', max_size=40))
def test_a_line_of_brackets_and_quotes_is_all_json_or_ignored(text):
    sendable, ignored = values_in(text.encode())
    assert not (sendable and ignored)
    if not ignored:
        decoder = json.JSONDecoder()
        rest = text.strip(" ")
        while rest:
            _, end = decoder.raw_decode(rest)
            rest = rest[end:].lstrip(" ")


@pytest.mark.parametrize(
    ("tail", "outcome"),
    [
        (b"true", Outcome.ACCEPTED),
        (b"true\n", Outcome.ACCEPTED),
        (b" hello\ntrue \r\n\n", Outcome.ACCEPTED),
        (b"threetrue", Outcome.ACCEPTED),
        (b"false\ntrue", Outcome.ACCEPTED),
        (b"false", Outcome.REFUSED),
        (b"hello\nfalse\n", Outcome.REFUSED),
        (b"threefalse", Outcome.REFUSED),
        (b"", Outcome.FAILED),
        (b"\n", Outcome.FAILED),
        (b"1", Outcome.FAILED),
        (b"TRUE", Outcome.FAILED),
        (b"True", Outcome.FAILED),
        (b'"true"', Outcome.FAILED),
        (b"true dat", Outcome.FAILED),
        (b"true.", Outcome.FAILED),
        (b"true\0", Outcome.FAILED),
        (b"true\xc2\xa0", Outcome.FAILED),
        (b"[true]", Outcome.FAILED),
        (b'{"ok":true}', Outcome.FAILED),
        (b"yes", Outcome.FAILED),
        (b"null", Outcome.FAILED),
        (b"tru\ne", Outcome.FAILED),
        (b"</body></html>", Outcome.FAILED),
    ],
)
def test_auth_accepts_nothing_but_an_explicit_true(tail, outcome):
    assert outcome_of("auth", 0, tail, False)[0] is outcome


@pytest.mark.parametrize("exit_code", [1, 255, -9, -11])
def test_auth_that_says_true_and_fails_lets_nobody_in(exit_code):
    assert outcome_of("auth", exit_code, b"true\n", False)[0] is Outcome.FAILED


def test_auth_with_dropped_output_is_never_accepted_but_can_refuse():
    outcome, reason = outcome_of("auth", 0, b"true\n", True)
    assert outcome is Outcome.FAILED
    assert "limits.output" in reason
    assert outcome_of("auth", 0, b"false\n", True)[0] is Outcome.REFUSED


@pytest.mark.parametrize(
    ("tail", "outcome"),
    [
        (b"", Outcome.ACCEPTED),
        (b"true", Outcome.ACCEPTED),
        (b"<html>", Outcome.ACCEPTED),
        (b"false positive", Outcome.ACCEPTED),
        (b"FALSE", Outcome.ACCEPTED),
        (b"false\n", Outcome.REFUSED),
        (b"hello\nfalse", Outcome.REFUSED),
        (b"threefalse", Outcome.REFUSED),
    ],
)
def test_connect_is_refused_by_false_alone(tail, outcome):
    assert outcome_of("connect", 0, tail, False)[0] is outcome
    assert outcome_of("connect", 0, tail, True)[0] is outcome


def test_a_failing_connect_is_a_failure_and_false_is_still_a_no():
    assert outcome_of("connect", 1, b"true", False) == (Outcome.FAILED, "exit code 1")
    assert outcome_of("connect", 1, b"false", False)[0] is Outcome.REFUSED


@pytest.mark.parametrize("name", ["receive", "close"])
def test_for_receive_and_close_only_the_exit_counts(name):
    assert outcome_of(name, 0, b"false\n", True) == (Outcome.ACCEPTED, "")
    assert outcome_of(name, 7, b"true\n", False) == (Outcome.FAILED, "exit code 7")


def test_an_exit_by_signal_is_named():
    assert describe_exit(-9) == "killed by SIGKILL"
    assert describe_exit(-999) == "killed by signal 999"


def split(chunks, limit=1 << 20):
    splitter = LineSplitter(limit)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    return lines + splitter.finish(), splitter


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a", [b"a"]),
        (b"a\n", [b"a"]),
        (b"a\n\nb\r\nc", [b"a", b"", b"b\r", b"c"]),
    ],
)
def test_output_is_split_at_newlines_and_nowhere_else(output, lines):
    assert split([output])[0] == lines


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"\n", b"true", b" "])), st.integers(0))
def test_chunks_of_any_size_give_the_same_lines_drops_and_tail(chunks, limit):
    output = b"".join(chunks)
    limit %= len(output) + 2
    whole_lines, whole = split([output], limit)
    lines, splitter = split(chunks, limit)
    single_lines, single = split([output[i : i + 1] for i in range(len(output))], limit)
    assert lines == whole_lines == single_lines
    assert splitter.dropped == whole.dropped == single.dropped
    last_word = output.split()[-1:]
    for tail in (whole.tail, splitter.tail, single.tail):
        assert tail.split()[-1:] == [word[-TAIL_LENGTH:] for word in last_word]
        assert tail[-1:].isspace() == output[-1:].isspace()


@given(st.binary() | st.text(alphabet="ab\n").map(str.encode), st.integers(0))
def test_lines_and_drops_account_for_every_byte(output, limit):
    limit %= len(output) + 2
    lines, splitter = split([output], limit)
    kept = b"\n".join(lines)
    assert output.startswith(kept)
    assert len(output) <= limit or splitter.is_truncated
    assert len(output) - splitter.dropped - len(kept) in (0, 1)  # the last newline


def test_a_line_cut_by_the_limit_is_not_handed_on():
    """Cut where it is, it would read as an object that may be sent."""
    lines, splitter = split([b'{"a":1}\n{"b":2}secret\n'], limit=15)
    assert lines == [b'{"a":1}']
    assert splitter.dropped == 14
    assert splitter.is_truncated


def test_output_of_exactly_the_limit_is_whole():
    lines, splitter = split([b"abc", b"de"], limit=5)
    assert (lines, splitter.dropped, splitter.is_truncated) == ([b"abcde"], 0, False)


@pytest.mark.parametrize("blanks", [b"\n", b" " * 100_000, b"\r\n\t " * 50])
def test_the_tail_survives_any_number_of_blanks_after_it(blanks):
    _, splitter = split([b"x" * 50, b"fal", b"se", blanks[:1], blanks[1:]], limit=10)
    assert splitter.tail.rstrip().endswith(b"xfalse")


def test_blanks_inside_the_tail_do_not_vanish():
    _, splitter = split([b"fal\n", b" " * 200, b"se"])
    assert not splitter.tail.endswith(b"false")
