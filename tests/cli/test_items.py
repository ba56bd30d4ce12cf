from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.cli import items
from phlows_cli.cli.items import (
    add,
    cast_body,
    merge,
    parse_items,
    parse_json,
    read_argument,
    split_attribute,
    split_selector,
    to_json,
)
from phlows_cli.errors import UsageError


def test_items_are_text_or_json():
    fields = parse_items(["kind=order", "total:=99.5", "tags:=[1, 2]", "note=", "url=a=b:=c"])
    assert json.loads(to_json(fields)) == {
        "kind": "order",
        "total": 99.5,
        "tags": [1, 2],
        "note": "",
        "url": "a=b:=c",
    }


def test_the_json_of_an_item_stays_as_it_was_typed():
    assert (
        to_json(parse_items(["n:=1.50", 'o:={ "a" : 1e400 }'])) == b'{"n":1.50,"o":{ "a" : 1e400 }}'
    )


@pytest.mark.parametrize("item", ["key", "=text", ":=1", "", "--toast"])
def test_what_is_no_item_is_refused(item):
    with pytest.raises(UsageError) as error:
        parse_items([item])
    assert str(error.value) == f"{item!r} is neither key=text nor key:=json"


@pytest.mark.parametrize("value", ["", "x", "{", "NaN", "1 2"])
def test_json_that_is_none_is_refused_with_the_items_name(value):
    with pytest.raises(UsageError, match=r"^total:= is not JSON: "):
        parse_items([f"total:={value}"])


def test_text_that_was_given_as_json_is_shown_with_how_text_is_written():
    with pytest.raises(UsageError) as error:
        parse_items(["foo:=bar"])
    assert str(error.value) == "foo:= is not JSON: 'bar': if it is text, write foo=bar"


def test_a_long_text_that_was_given_as_json_is_cut():
    with pytest.raises(UsageError) as error:
        parse_items([f"foo:={'x' * 1000}"])
    assert str(error.value).endswith(f"write foo={'x' * 40}...")


def test_json_keeps_a_number_that_no_language_holds():
    digits = b"9" * 10_000
    assert parse_json(digits, "it") == digits


def test_json_of_too_many_levels_is_refused_as_that():
    with pytest.raises(UsageError, match=r"^total:= is nested too deep$"):
        parse_items([f"total:={'[' * 100_000}{']' * 100_000}"])


def test_an_item_given_twice_is_refused():
    with pytest.raises(UsageError, match=r"^'a' is given twice$"):
        parse_items(["a=1", "b=2", "a:=3"])


def test_bytes_that_are_not_utf_8_are_refused():
    with pytest.raises(UsageError, match=r"^--data is not UTF-8$"):
        parse_json(b'{"a":"\xff"}', "--data")
    with pytest.raises(UsageError, match=r"^an argument is not UTF-8$"):
        to_json({"toast": "\udcff"})
    with pytest.raises(UsageError, match=r"^a:= is not UTF-8$"):
        parse_items(['a:="\udcff"'])


# SELECTOR=VALUE and SELECTOR:NAME=VALUE


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("#count=5", ("#count", "5")),
        ("#count=", ("#count", "")),
        ("p=a=b", ("p", "a=b")),
        ('a[href="/x"]=<b class="y">', ('a[href="/x"]', '<b class="y">')),
        ("a[title=']=']=x", ("a[title=']=']", "x")),
        ("li:not([a=b])=x", ("li:not([a=b])", "x")),
        (r"#a\=b=x", (r"#a\=b", "x")),
        (r'[a="\"]="]=x', (r'[a="\"]="]', "x")),
    ],
)
def test_a_selector_ends_at_the_first_equals_sign_of_its_own(text, parts):
    assert split_selector("--inner", text) == parts


@pytest.mark.parametrize("text", ["#count", "=5", "", 'a[href="/x"]', "a[b=c"])
def test_a_selector_without_a_value_is_refused(text):
    with pytest.raises(UsageError) as error:
        split_selector("--inner", text)
    assert str(error.value) == f"--inner takes SELECTOR=VALUE, not {text!r}"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("#go:disabled=", ("#go", "disabled", "")),
        ("#go:disabled", ("#go", "disabled", None)),
        ("a:href=http://x:80/", ("a", "href", "http://x:80/")),
        ("li:first-child:title=x", ("li:first-child", "title", "x")),
        ('a[x:href="b:c"]:rel=d', ('a[x:href="b:c"]', "rel", "d")),
        (r"svg:xlink\:href=x", ("svg", r"xlink\:href", "x")),
    ],
)
def test_an_attribute_stands_after_the_last_colon_of_the_selector(text, parts):
    assert split_attribute("--attr", text) == parts


@pytest.mark.parametrize("text", ["#go", "#go=x", ":name=x", "#go:=x", "#go:", "", "a[b:c]=x"])
def test_an_attribute_without_a_name_or_a_selector_is_refused(text):
    with pytest.raises(UsageError) as error:
        split_attribute("--attr", text)
    assert str(error.value) == f"--attr takes SELECTOR:NAME[=VALUE], not {text!r}"


@given(st.text())
def test_whatever_is_typed_is_split_or_refused(text):
    for split in (split_selector, split_attribute):
        try:
            parts = split("--x", text)
        except UsageError:
            continue
        assert len(text) >= sum(len(part or "") for part in parts) + len(parts) - 2


# --data


def test_without_fields_the_base_stays_byte_for_byte():
    base = b' { "a" : 1.0, "a" : "\\u00e9" }\n'
    assert merge(base, {}) == base
    assert merge(b"[]", {}) == b"[]"


def test_without_a_base_there_is_an_empty_object():
    assert merge(None, {}) == b"{}"
    assert merge(None, {"a": 1}) == b'{"a":1}'


def test_fields_are_added_to_the_base_whose_values_stay_byte_for_byte():
    assert merge(b'{"a" : 1.0, "b":[ ]}', {"toast": "hi"}) == b'{"a":1.0,"b":[ ],"toast":"hi"}'


@pytest.mark.parametrize(
    ("base", "fields", "message"),
    [
        (b'{"toast":"a"}', {"toast": "b"}, "'toast' is given twice"),
        (b"[1]", {"toast": "b"}, "--data is an array: nothing can be added to it"),
        (b'"text"', {}, "--data must be a JSON object or array"),
        (b" 1 ", {"toast": "b"}, "--data must be a JSON object or array"),
        (b"null", {}, "--data must be a JSON object or array"),
    ],
)
def test_what_cannot_be_merged_is_refused(base, fields, message):
    with pytest.raises(UsageError) as error:
        merge(base, fields)
    assert str(error.value) == message


@pytest.mark.parametrize("base", [b"{", b'{"a":}'])
def test_a_base_that_is_not_json_is_refused(base):
    with pytest.raises(UsageError, match=r"^--data is not JSON: "):
        merge(base, {})


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (b"", "--data is empty: send {} for nothing"),
        (b" \n", "--data is empty: send {} for nothing"),
        (b"\xef\xbb\xbf{}", "--data begins with a byte order mark: save it without"),
        (b"[" * 100_000 + b"]" * 100_000, "--data is nested too deep"),
    ],
    ids=["nothing", "blanks", "a byte order mark", "levels"],
)
def test_what_is_wrong_with_a_base_is_named(base, message):
    with pytest.raises(UsageError) as error:
        merge(base, {})
    assert str(error.value) == message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.text(), json_values), st.dictionaries(st.text(), json_values))
def test_a_merge_is_the_union_or_a_refusal(base, fields):
    text = json.dumps(base).encode()
    if base.keys() & fields.keys():
        with pytest.raises(UsageError):
            merge(text, fields)
    else:
        assert json.loads(merge(text, fields)) == base | fields


def test_the_body_of_a_cast_holds_the_payload_byte_for_byte():
    body = cast_body("app.example.com", ["all"], [], b' {"a" : 1 }\n')
    assert body == b'{"host":"app.example.com","target":"all","data": {"a" : 1 }\n}'


def test_several_targets_are_a_union_and_several_exceptions_too():
    body = json.loads(cast_body("h", ["token:a", "socket:1"], ["1", "2"], b"[]"))
    assert body == {
        "host": "h",
        "target": ["token:a", "socket:1"],
        "except": ["1", "2"],
        "data": [],
    }


def test_a_field_is_added_once():
    fields = {}
    add(fields, "a", None)
    with pytest.raises(UsageError):
        add(fields, "a", 1)
    assert fields == {"a": None}


# Where an argument's bytes come from


def test_an_argument_is_itself_a_file_or_stdin(tmp_path, monkeypatch):
    (tmp_path / "m.json").write_bytes(b"\xff{}\n")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"[1]\n")))
    assert read_argument('{"ä":"\udcff"}') == '{"ä":"'.encode() + b'\xff"}'
    assert read_argument(f"@{tmp_path}/m.json") == b"\xff{}\n"
    assert read_argument("-") == b"[1]\n"


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    for name, why in (("missing", "No such file or directory"), (".", "Is a directory")):
        path = tmp_path / name
        with pytest.raises(UsageError) as error:
            read_argument(f"@{path}")
        assert str(error.value) == f"cannot read {path}: {why}"


def test_no_more_is_read_than_a_broker_could_take(tmp_path, monkeypatch):
    monkeypatch.setattr(items, "SIZE_LIMIT", 4)
    (tmp_path / "four").write_bytes(b"1234")
    (tmp_path / "five").write_bytes(b"12345")
    assert read_argument("@four") == b"1234"
    with pytest.raises(UsageError, match=r"^@five holds more than 4 bytes$"):
        read_argument("@five")


def test_json_of_an_item_may_stand_in_a_file(tmp_path):
    (tmp_path / "total.json").write_text("[1, 2]")
    assert to_json(parse_items(["total:=@total.json", "at=@home"])) == (
        b'{"total":[1, 2],"at":"@home"}'
    )
    with pytest.raises(UsageError, match="cannot read none"):
        parse_items(["total:=@none"])
