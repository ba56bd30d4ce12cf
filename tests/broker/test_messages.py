from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.broker.messages import (
    MAX_DEPTH,
    auth_token,
    is_auth_message,
    problem_with,
)

NOT_JSON = "message is not a JSON object or array"
TOO_DEEP = "message is nested deeper than 512"

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(scalars, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=20)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        ' \n\t{"a":1} ',
        " [1] ",
        '{"a":{"wsHost":1}}',
        '[{"wsHost":1}]',
        '["wsHost"]',
        '{"wshost":1}',
        '{"a":1e400}',
        '{"":0}',
        '{"a":1,"a":2}',
        "[" * MAX_DEPTH + "]" * MAX_DEPTH,
        '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH,
        '["' + "[" * 600 + '"]',
        '["\\"' + "[{" * 600 + '\\\\"]',
        "[" + "[]," * 600 + "[]]",
    ],
)
def test_what_an_app_can_be_given(text):
    assert problem_with(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "null", "true", "1", '"a"', "hello", "{", "[", "{]", "[1,]", '{"a":1,}'),
        *("{'a':1}", "[NaN]", "[1]2", "{}{}", "// c\n{}", '["\x00"]', "\ufeff{}", "\u00a0[]"),
    ],
)
def test_what_is_not_an_object_or_array_is_a_problem(text):
    assert problem_with(text) == NOT_JSON


@pytest.mark.parametrize(
    "text",
    [
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        '{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1),
        "[" * 100_000,
        '["x\\\\",' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "]",
    ],
)
def test_513_levels_are_one_too_many(text):
    assert problem_with(text) == TOO_DEEP


@pytest.mark.parametrize("key", ["wsHost", "wsToken", "wsSocket"])
def test_the_apps_own_argument_names_are_reserved_however_they_are_written(key):
    escaped = "".join(f"\\u{ord(character):04x}" for character in key)
    for written in (key, escaped):
        assert problem_with(f'{{"a":1,"{written}":null}}') == f"message has the reserved key {key}"


@given(values)
def test_a_message_is_fine_exactly_when_python_reads_an_object_or_array(value):
    expected = "" if isinstance(value, dict | list) else NOT_JSON
    assert problem_with(json.dumps(value)) == expected
    assert problem_with(json.dumps(value, ensure_ascii=False)) == expected


def reads_as_container(text):
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False


@given(st.text(alphabet='[]{}":\\, a1', max_size=30))
def test_any_text_passes_exactly_when_python_reads_an_object_or_array(text):
    assert (problem_with(text) == "") == reads_as_container(text)
    with suppress(ValueError):
        auth_token(text)


@given(st.integers(500, 520), st.integers(500, 520), st.text(alphabet='[{\\"a', max_size=30))
def test_depth_is_what_brackets_outside_strings_make_it(left, right, noise):
    text = json.dumps([noise]) + ","
    nested = "[" + text * 2 + "[" * (left - 1) + "]" * (left - 1) + "," + "[" * (right - 1)
    nested += "]" * (right - 1) + "]"
    is_deep = max(left, right) > MAX_DEPTH
    assert problem_with(nested) == (TOO_DEEP if is_deep else "")


# The auth message


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ('{"token":"a"}', "a"),
        ('{"type":"auth","token":"a"}', "a"),
        ('{"token":""}', ""),
        ('{"token":"\\u00e9"}', "é"),
        ('{"token":"a","other":[{}]}', "a"),
        ('{"token":"a","token":"b"}', "b"),
    ],
)
def test_the_token_of_an_auth_message(text, token):
    assert auth_token(text) == token


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"Auth","token":"a"}',
        '{"type":1,"token":"a"}',
        '{"type":"auth"}',
        '{"token":7}',
        '["token","a"]',
        "token",
        "",
        '{"token":"a"',
        '{"token":"\\ud800"}',
        '{"token":"a","deep":' + "[" * 513 + "]" * 513 + "}",
    ],
)
def test_what_is_no_auth_message_is_told_so(text):
    with pytest.raises(ValueError, match=r"^auth message expected$"):
        auth_token(text)


def test_a_token_with_a_nul_is_told_so():
    with pytest.raises(ValueError, match=r"^token holds a NUL$"):
        auth_token('{"token":"a\\u0000b"}')


def test_a_token_counts_in_bytes():
    assert auth_token(json.dumps({"token": "é" * 2048}, ensure_ascii=False)) == "é" * 2048
    with pytest.raises(ValueError, match=r"^token of 4097 bytes exceeds 4096$"):
        auth_token(json.dumps({"token": "é" * 2048 + "a"}, ensure_ascii=False))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"type":"auth"}', True),
        ('{"type":"auth","token":7}', True),
        ('{"type":"other","a":"auth"}', False),
        ('{"a":"auth"}', False),
        ('["auth"]', False),
        ('"auth"', False),
        ('{"token":"a"}', False),
    ],
)
def test_an_auth_message_says_so_in_its_type(text, expected):
    assert is_auth_message(text) is expected
