from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from phlows_cli.broker.hub import Hub
from phlows_cli.errors import UnknownHostError
from phlows_cli.model import EVERYONE, Target

NOBODY = frozenset()
HOSTS = ("a.test", "b.test")
TOKENS = ("", "alice", "bob", "not:alice")


@dataclass(eq=False)
class Socket:
    """What the hub needs of a session."""

    id: str
    token: str = ""


@dataclass
class Row:
    """The model's line for one socket."""

    host: str
    socket: Socket
    is_live: bool = False


IDS = [f"{number:016x}" for number in range(6)]
hosts = st.sampled_from(HOSTS)
ids = st.sampled_from(IDS)
tokens = st.sampled_from(TOKENS)
parts = st.one_of(
    st.just("all"),
    tokens.map("token:{}".format),
    tokens.map("token:not:{}".format),
    ids,
    ids.map("socket:{}".format),
)
audiences = st.one_of(parts, st.lists(parts, max_size=3))


def says(part, row):
    """Whether one part of a target names a socket, read as the contract is."""
    if part in (row.socket.id, f"socket:{row.socket.id}"):
        return True
    if not row.is_live:
        return False
    if part == "all":
        return True
    if part.startswith("token:not:"):
        return row.socket.token != part.removeprefix("token:not:")
    return part == f"token:{row.socket.token}"


class HubAgainstAList(RuleBasedStateMachine):
    """The hub finds whom a plain list of sockets, searched from end to end, has."""

    def __init__(self):
        super().__init__()
        self.hub = Hub()
        self.known = set()
        self.rows = []

    def row(self, host, id_):
        return next((r for r in self.rows if r.host == host and r.socket.id == id_), None)

    @rule(host=hosts)
    def add_host(self, host):
        self.hub.add_host(host)
        self.known.add(host)

    @rule(host=hosts)
    def remove_host(self, host):
        gone = [row.socket for row in self.rows if row.host == host]
        assert set(self.hub.remove_host(host)) == set(gone)
        self.rows = [row for row in self.rows if row.host != host]
        self.known.discard(host)

    @rule(host=hosts, id_=ids)
    def accept(self, host, id_):
        if host not in self.known:
            with pytest.raises(UnknownHostError):
                self.hub.accept(host, Socket(id_))
        elif self.row(host, id_) is None:
            self.rows.append(Row(host, Socket(id_)))
            self.hub.accept(host, self.rows[-1].socket)

    @rule(host=hosts, id_=ids, token=tokens)
    def authenticate(self, host, id_, token):
        row = self.row(host, id_)
        if row is not None and not row.is_live:
            row.socket.token = token
            row.is_live = True
            self.hub.authenticate(host, row.socket)

    @rule(host=hosts, id_=ids)
    def remove(self, host, id_):
        row = self.row(host, id_)
        self.hub.remove(host, row.socket if row else Socket(id_))
        self.rows = [other for other in self.rows if other is not row]

    @precondition(lambda self: self.known)
    @rule(host=hosts, audience=audiences, excluded=st.frozensets(ids, max_size=3))
    def select(self, host, audience, excluded):
        if host not in self.known:
            return
        found = self.hub.select(host, Target.parse(audience), excluded)
        wanted = audience if isinstance(audience, list) else [audience]
        named = [
            row.socket
            for row in self.rows
            if row.host == host
            and row.socket.id not in excluded
            and any(says(part, row) for part in wanted)
        ]
        assert len(found) == len(set(found)), "a socket was found twice"
        assert set(found) == set(named)

    @rule(host=hosts, audience=audiences)
    def matching_one_by_one_agrees_with_select(self, host, audience):
        parsed = Target.parse(audience)
        for row in self.rows:
            if row.host == host and row.is_live:
                is_found = row.socket in self.hub.select(host, parsed, NOBODY)
                assert parsed.matches(row.socket.token, row.socket.id) == is_found

    @invariant()
    def every_view_agrees_with_the_list(self):
        assert set(self.hub.hosts) == self.known
        for host in self.known:
            mine = [row for row in self.rows if row.host == host]
            live = [row for row in mine if row.is_live]
            assert self.hub.count(host) == len(live)
            assert set(self.hub.waiting(host)) == {r.socket.id for r in mine if not r.is_live}
            assert dict(self.hub.sockets(host)) == {row.socket: row.is_live for row in mine}
            by_token = self.hub.tokens(host)
            assert {t: set(members) for t, members in by_token.items()} == {
                row.socket.token: {r.socket.id for r in live if r.socket.token == row.socket.token}
                for row in live
            }


HubAgainstAList.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestHubAgainstAList = HubAgainstAList.TestCase


@pytest.fixture
def hub():
    hub = Hub()
    hub.add_host("a.test")
    return hub


def live(hub, id_, token=""):
    socket = Socket(id_, token)
    hub.accept("a.test", socket)
    hub.authenticate("a.test", socket)
    return socket


def test_a_waiting_socket_is_found_by_its_id_and_by_nothing_else(hub):
    socket = Socket(IDS[0])
    hub.accept("a.test", socket)
    assert hub.select("a.test", Target.parse(IDS[0]), NOBODY) == [socket]
    for target in ("all", "token:", "token:not:x"):
        assert hub.select("a.test", Target.parse(target), NOBODY) == []


def test_everyone_comes_in_the_order_of_their_authentication(hub):
    sockets = [live(hub, id_) for id_ in IDS]
    assert hub.select("a.test", EVERYONE, NOBODY) == sockets
    assert hub.select("a.test", EVERYONE, frozenset({IDS[2], "unknown"})) == [
        socket for socket in sockets if socket.id != IDS[2]
    ]


def test_hosts_do_not_see_each_other_though_ids_and_tokens_are_equal(hub):
    hub.add_host("b.test")
    mine = live(hub, IDS[0], "alice")
    other = Socket(IDS[0], "alice")
    hub.accept("b.test", other)
    hub.authenticate("b.test", other)
    assert hub.select("a.test", Target.parse("token:alice"), NOBODY) == [mine]
    hub.remove("b.test", other)
    assert hub.select("a.test", Target.parse("token:alice"), NOBODY) == [mine]


def test_the_selection_is_the_callers_own_and_may_shrink_the_hub_while_it_is_walked(hub):
    for id_ in IDS:
        live(hub, id_, "alice")
    for target in ("all", "token:alice", IDS):
        found = hub.select("a.test", Target.parse(target), NOBODY)
        assert len(found) == len(IDS)
        for socket in found:
            hub.remove("a.test", socket)
            hub.accept("a.test", socket)
            hub.authenticate("a.test", socket)


def test_a_host_that_is_added_again_keeps_its_sockets(hub):
    socket = live(hub, IDS[0])
    hub.add_host("a.test")
    assert hub.select("a.test", EVERYONE, NOBODY) == [socket]


def test_an_unknown_host_is_an_error_that_tells_how_to_register_it(hub):
    for ask in (hub.count, hub.tokens, hub.waiting):
        with pytest.raises(UnknownHostError, match=r"unknown host 'c\.test'.*phlows host add"):
            ask("c.test")
    with pytest.raises(UnknownHostError):
        hub.select("c.test", EVERYONE, NOBODY)


def test_a_socket_that_is_removed_from_a_forgotten_host_does_no_harm(hub):
    socket = live(hub, IDS[0])
    assert hub.remove_host("a.test") == [socket]
    hub.remove("a.test", socket)
    assert hub.remove_host("a.test") == []


def test_the_last_socket_of_a_token_takes_the_token_along(hub):
    first, second = live(hub, IDS[0], "alice"), live(hub, IDS[1], "alice")
    hub.remove("a.test", first)
    assert list(hub.tokens("a.test")) == ["alice"]
    hub.remove("a.test", second)
    assert dict(hub.tokens("a.test")) == {}
