from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phlows_cli.errors import RequestError, TargetError
from phlows_cli.model import (
    EVERYONE,
    CloseCode,
    Hook,
    HookResult,
    Outcome,
    Receipt,
    Target,
    normalise_host,
    parse_excluded,
    token_hash,
)

ID = "0123456789abcdef"
OTHER = "fedcba9876543210"

HOSTS = {
    "app.example.com": "app.example.com",
    "App.Example.COM": "app.example.com",
    "app.example.com:3001": "app.example.com",
    "app.example.com:": "app.example.com",
    "app.example.com.": "app.example.com",
    "app.example.com.:443": "app.example.com",
    " app.example.com ": "app.example.com",
    "localhost": "localhost",
    "127.0.0.1:3001": "127.0.0.1",
    "::1": "::1",
    "[::1]": "::1",
    "[::1]:3001": "::1",
    "[FE80::1]": "fe80::1",
    "2001:db8::1": "2001:db8::1",
    "[::1": "",
    "[::1]evil.org": "",
    "[]": "",
    ":3001": "",
    ".": "",
    "": "",
    "   ": "",
}


@pytest.mark.parametrize("text", HOSTS)
def test_a_host_is_known_by_its_bare_name(text):
    assert normalise_host(text) == HOSTS[text]


@given(st.from_regex(r"[A-Za-z0-9-]{1,20}(\.[A-Za-z0-9-]{1,20}){0,3}", fullmatch=True))
@settings(deadline=None)
def test_port_case_and_trailing_dot_never_matter(name):
    spellings = [name, name.upper(), f"{name}.", f"{name}:80", f"{name}.:8080", f" {name} "]
    assert {normalise_host(spelling) for spelling in spellings} == {name.lower()}
    assert normalise_host(normalise_host(name)) == normalise_host(name)


def tokens(*names):
    return frozenset(names)


TARGETS = [
    ("all", Target(everyone=True)),
    ("token:alice", Target(tokens=tokens("alice"))),
    ("token:", Target(tokens=tokens(""))),
    ("token:not", Target(tokens=tokens("not"))),
    ("token:a:b", Target(tokens=tokens("a:b"))),
    ("token:not:alice", Target(not_tokens=tokens("alice"))),
    ("token:not:", Target(not_tokens=tokens(""))),
    ("token:not:not:x", Target(not_tokens=tokens("not:x"))),
    ("token:all", Target(tokens=tokens("all"))),
    (f"socket:{ID}", Target(sockets=tokens(ID))),
    (ID, Target(sockets=tokens(ID))),
    ([], Target()),
    (["all"], Target(everyone=True)),
    ([ID, f"socket:{ID}"], Target(sockets=tokens(ID))),
    (
        ["token:a", "token:b", "token:not:c", ID, "all"],
        Target(True, tokens("a", "b"), tokens("c"), tokens(ID)),
    ),
]


@pytest.mark.parametrize(("value", "target"), TARGETS)
def test_each_form_of_target_is_an_audience(value, target):
    assert Target.parse(value) == target


FORMS = (
    "all, token:<token>, token:not:<token>, socket:<id> or "
    "an id alone (16 hex characters), or a list of these"
)
NOT_TARGETS = [
    ("", "of 0 characters"),
    (None, "null"),
    (0, "a number"),
    (1.5, "a number"),
    (True, "true"),
    (False, "false"),
    ({}, "an object"),
    ({"all": True}, "an object"),
    ("ALL", "of 3 characters"),
    ("my-token", "of 8 characters"),
    ("tokens:alice", "'tokens:...'"),
    ("Token:alice", "'Token:...'"),
    (" all", "of 4 characters"),
    ("socket:", "'socket:...'"),
    ("socket:abc", "'socket:...'"),
    (f"socket:{ID}0", "'socket:...'"),
    (f"socket:socket:{ID}", "'socket:...'"),
    (ID[:-1], "of 15 characters"),
    (ID + "0", "of 17 characters"),
    (ID.upper(), "of 16 characters"),
    (ID + "\n", "of 17 characters"),
    ([""], "of 0 characters"),
    ([None], "null"),
    ([["all"]], "a list"),
    (["all", "x"], "of 1 characters"),
    (("all",), "a list"),
    ("x" * 65, "of 65 characters"),
]


@pytest.mark.parametrize(("value", "shown"), NOT_TARGETS)
def test_a_typo_in_a_target_is_loud(value, shown):
    with pytest.raises(TargetError) as caught:
        Target.parse(value)
    assert str(caught.value) == f"target {shown} is not one of: {FORMS}"
    assert isinstance(caught.value, RequestError)
    assert caught.value.status == 400


AUDIENCES = [
    # target, (token, socket) reached, not reached
    ("all", [("", ID), ("alice", ID)], []),
    ([], [], [("", ID), ("alice", ID)]),
    ("token:alice", [("alice", ID)], [("", ID), ("bob", ID), ("Alice", ID)]),
    ("token:", [("", ID)], [("alice", ID)]),
    ("token:not:alice", [("bob", ID), ("", ID)], [("alice", ID)]),
    ("token:not:", [("alice", ID)], [("", ID)]),
    (ID, [("alice", ID), ("", ID)], [("alice", OTHER)]),
    (["token:alice", OTHER], [("alice", ID), ("bob", OTHER)], [("bob", ID)]),
    (["token:not:alice", "token:alice"], [("alice", ID), ("bob", ID)], []),
    (["token:not:alice", "token:not:bob"], [("alice", ID), ("bob", ID), ("eve", ID)], []),
    (["token:not:alice", ID], [("alice", ID), ("bob", OTHER)], [("alice", OTHER)]),
]


@pytest.mark.parametrize(("value", "reached", "missed"), AUDIENCES)
def test_a_target_reaches_its_union_and_no_one_else(value, reached, missed):
    target = Target.parse(value)
    assert [who for who in reached if not target.matches(*who)] == []
    assert [who for who in missed if target.matches(*who)] == []


PARTS = st.sampled_from(["all", "token:a", "token:", "token:not:a", "token:not:b", ID, OTHER])


@given(st.lists(PARTS, max_size=5), st.sampled_from(["", "a", "b"]), st.sampled_from([ID, OTHER]))
@settings(deadline=None)
def test_a_list_reaches_whom_one_of_its_parts_reaches(parts, token, socket):
    reached = any(Target.parse(part).matches(token, socket) for part in parts)
    assert Target.parse(parts).matches(token, socket) == reached


@pytest.mark.parametrize(
    ("value", "only_sockets"),
    [("all", False), ("token:a", False), ("token:not:a", False), (ID, True), ([], True)],
)
def test_only_a_target_of_ids_is_closed_to_newcomers(value, only_sockets):
    assert Target.parse(value).only_sockets is only_sockets
    assert not Target.parse([value, ID, "all"] if value else ["all"]).only_sockets


EXCLUDED = [
    ("", set()),
    (None, set()),
    ([], set()),
    (["", None], set()),
    (ID, {ID}),
    (f"socket:{ID}", {ID}),
    ("socket:", set()),
    ([ID, f"socket:{ID}", f"socket:{OTHER}", ""], {ID, OTHER}),
    ("unknown", {"unknown"}),
]


@pytest.mark.parametrize(("value", "sockets"), EXCLUDED)
def test_an_exception_is_an_id_or_several(value, sockets):
    assert parse_excluded(value) == sockets


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, "a number"),
        (True, "true"),
        (False, "false"),
        ({}, "an object"),
        ([1], "a number"),
        ([[ID]], "a list"),
        (1.5, "a number"),
    ],
)
def test_an_exception_that_is_not_text_is_loud(value, kind):
    with pytest.raises(TargetError, match=f"^except takes socket ids, not {kind}$"):
        parse_excluded(value)


def test_a_receipt_matches_those_it_sent_to_or_dropped():
    receipt = Receipt("a", sent=3, dropped=2, held=7)
    assert receipt.matched == 5
    assert Receipt("a").matched == 0


def test_everyone_is_one_value():
    assert Target.parse("all") is EVERYONE


def test_a_token_is_shown_as_its_hash():
    assert token_hash("café") == hashlib.sha256("café".encode()).hexdigest()
    assert len(token_hash("\ud800")) == 64


def test_a_hook_hands_over_its_message_only_when_it_has_one():
    assert Hook("connect", "h", "t", "s").args() == ["h", "t", "s"]
    assert Hook("receive", "h", "t", "s", "").args() == ["h", "t", "s", ""]


@pytest.mark.parametrize("outcome", Outcome)
def test_only_an_accepted_outcome_is_accepted(outcome):
    assert HookResult(outcome).is_accepted is (outcome == "accepted")


def test_close_codes_tell_whether_to_come_back():
    private = {code.name for code in CloseCode if code >= 4000}
    final = {code.name for code in CloseCode if code >= 4500}
    assert final == {"CONNECT_REFUSED", "AUTH_REFUSED", "AUTH_EXPECTED"}
    assert private - final == {"SLOW_CONSUMER", "AUTH_TIMEOUT", "TOO_FAST", "HOST_REMOVED"}
