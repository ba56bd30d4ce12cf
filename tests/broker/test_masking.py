from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phlows_cli.broker import masking
from phlows_cli.broker.masking import AllButTokens, Shape, Tokens, masked_token
from phlows_cli.model import token_hash

SECRET = b"s" * 32
SOCKET = "5" * 16

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=7, max_size=20)
leaves = st.none() | st.booleans() | st.integers(10**9) | st.floats(allow_nan=False) | texts
keys = st.text("abcdefgh", min_size=1, max_size=3)
payloads = st.recursive(
    st.dictionaries(keys, leaves) | st.lists(leaves),
    lambda inner: st.dictionaries(keys, inner | leaves) | st.lists(inner | leaves),
    max_leaves=20,
)


def known(*tokens):
    made = Tokens()
    for token in tokens:
        made.add(token)
    return made


def shape(*tokens, kept=(), secret=SECRET):
    return Shape(known(*tokens), secret, kept)


def masked(value, *tokens, token="", **how):
    return shape(*tokens, **how).payload(value, SOCKET, token)


def shape_of(value):
    """A value with nothing but types in it."""
    if isinstance(value, dict):
        return {key: shape_of(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape_of(inner) for inner in value]
    return value if value is None or isinstance(value, bool) else type(value).__name__


def leaves_of(value):
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves_of(inner)
    else:
        yield value


# A payload that leaves as a shape


@settings(max_examples=40, deadline=None)
@given(payloads)
def test_the_shape_is_kept(payload):
    assert shape_of(masked(payload)) == shape_of(payload)


@settings(max_examples=40, deadline=None)
@given(payloads)
def test_no_text_and_no_large_number_of_the_payload_is_in_what_leaves(payload):
    said = json.dumps(masked(payload), ensure_ascii=False)
    left = set(map(repr, leaves_of(masked(payload))))
    for leaf in leaves_of(payload):
        if isinstance(leaf, str):
            assert leaf not in said
        elif leaf is not None and not isinstance(leaf, bool):
            assert repr(leaf) not in left


@settings(max_examples=40, deadline=None)
@given(st.lists(texts | st.integers(), min_size=2))
def test_what_was_equal_is_equal_and_what_was_not_is_not(leaves):
    made = masked(leaves)
    for one, other in zip(leaves, made, strict=True):
        for two, another in zip(leaves, made, strict=True):
            assert (one == two) == (other == another)


def test_another_recording_has_other_masks():
    one, other = (masked(["yes", 1], secret=secret * 32) for secret in (b"a", b"b"))
    assert one[0] != other[0]
    assert one[1] != other[1]


def test_a_mask_is_not_a_hash_that_anyone_can_make():
    (mask,) = masked(["yes"])
    assert re.fullmatch("masked-[0-9a-f]{12}", mask)
    assert mask.removeprefix("masked-") not in token_hash("yes")


def test_nothing_stays_nothing_and_the_sockets_id_is_no_secret():
    assert masked(["", None, True, SOCKET]) == ["", None, True, SOCKET]


@pytest.mark.parametrize("name", ["say", "chat.say", "room/join", "a" * 64])
def test_a_type_that_looks_like_a_name_stays(name):
    assert masked({"type": name})["type"] == name


@pytest.mark.parametrize("text", ["a" * 65, "hello there", "é", "", 5, ["say"], "1"])
def test_a_type_that_looks_like_none_does_not(text):
    assert masked({"type": text, "x": text})["type"] == masked({"x": text})["x"]


def test_only_the_type_at_the_top_stays():
    assert masked({"user": {"type": "admin"}})["user"]["type"].startswith("masked-")
    assert masked([{"type": "admin"}])[0]["type"].startswith("masked-")


def test_the_values_of_kept_keys_stay_whole_but_for_tokens():
    payload = {"room": {"name": "Ann's", "by": "tok-of-ann", "n": 3}, "text": "hi"}
    made = masked(payload, "tok-of-ann", kept=["room"])
    assert made["room"] == {"name": "Ann's", "by": masked_token("tok-of-ann"), "n": 3}
    assert made["text"].startswith("masked-")


# Tokens, whatever else leaves


def in_clear(value, *tokens, token=""):
    return AllButTokens(known(*tokens)).payload(value, SOCKET, token)


@settings(max_examples=40, deadline=None)
@given(payloads, texts.map("t".__add__))  # no part of a number
def test_a_token_is_nowhere_though_all_else_is(payload, token):
    value = {"before": payload, token: [f"<b>{token}</b>", token], "x": f"{token}{token}"}
    for others, own in (((token,), ""), ((), token)):
        made = in_clear(value, *others, token=own)
        said = json.dumps(made, ensure_ascii=False)
        assert token not in said.replace(masked_token(token), "")
        assert made[masked_token(token)] == [
            f"<b>{masked_token(token)}</b>",
            masked_token(token),
        ]


@settings(max_examples=40, deadline=None)
@given(payloads)
def test_without_tokens_in_it_a_payload_leaves_as_it_is(payload):
    assert in_clear(payload, "\x00never", token="\x00never") == payload


def test_a_token_that_is_a_number_is_found_as_one():
    assert in_clear([4711, 4711.0, 47110], "4711") == [masked_token("4711"), 4711.0, 47110]


def test_a_short_token_is_found_where_it_is_the_whole_text():
    assert in_clear(["ab", "cab"], "ab") == [masked_token("ab"), "cab"]
    assert in_clear(["ab", "cab"], token="ab") == [masked_token("ab"), "cab"]


def test_of_two_tokens_the_longer_is_found_where_both_stand():
    assert known("abcd", "abcdefgh").without("xabcdefghx") == f"x{masked_token('abcdefgh')}x"


def test_tokens_with_one_beginning_or_one_ending_are_all_found():
    tokens = [f"eyJhbGci{n:08}" for n in range(50)] + [f"{'u' * n}-same" for n in range(1, 10)]
    said = known(*tokens).without(" ".join(tokens))
    assert said.split() == [masked_token(token) for token in tokens]


def test_the_eldest_token_is_forgotten_for_a_new_one_and_leaves_nothing(monkeypatch):
    monkeypatch.setattr(masking, "TOKENS", 3)
    tokens = known(*(f"token number {n}" for n in range(20)), "a", "b", "other same", "x same")
    assert [text in tokens for text in ("a", "b", "other same", "x same")] == [False] + [True] * 3
    assert tokens._endings == {"same": {10: 1, 6: 1}}
    tokens.clear()
    assert tokens.without("x same") == "x same"


def test_more_lengths_than_can_be_looked_for_are_still_found_as_whole_texts(monkeypatch):
    monkeypatch.setattr(masking, "LENGTHS", 2)
    tokens = known("1-same", "22-same", "333-same")
    assert tokens.without("333-same") == masked_token("333-same")
    assert tokens.without("<22-same>") == f"<{masked_token('22-same')}>"
    assert tokens.without("<333-same>") == "<333-same>"


def test_no_token_is_no_secret():
    assert known("").without("abc") == "abc"
    assert masked_token("") == ""
