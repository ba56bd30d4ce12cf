"""Two things at once, each pair brought about on purpose."""

from __future__ import annotations

import itertools
import json

import pytest

from tests.conformance.client import CLOSE, WebSocket, upgrade_bytes
from tests.conformance.stage import SECRET
from tests.conformance.stream import dial
from tests.conformance.web import read_answer, request_bytes

pytestmark = pytest.mark.usefixtures("unharmed")


TOKEN = f"{SECRET}-of-races"
MODES = ["message", "upgrade", "none"]


def reset(client):
    client.stream.reset()


def end(client):
    client.drop()


def close(client):
    client.send_frame(CLOSE, b"\x03\xe8")


LEAVINGS = pytest.mark.parametrize("leave", [reset, end, close])


def finished(broker, stage, socket_id):
    """The hooks of a socket, once another's whole life has shown that none is to come."""
    stage.plan()
    client = WebSocket.open(broker.address, stage.host, cookie=TOKEN)
    client.close()
    broker.hook_done(broker.socket_of(client), "close")
    return stage.hooks_of(socket_id)


# The client leaves while a hook runs


@LEAVINGS
@pytest.mark.parametrize("case", list(itertools.product(MODES, ["true", "false"])), ids=" ".join)
def test_a_client_that_leaves_during_connect_is_registered_nowhere(
    broker, take, connect, gate, case, leave
):
    auth, answer = case
    stage = take(auth)
    stage.plan(connect=[["gate", gate.port], ["print", answer]])
    client = connect(stage, cookie=TOKEN)
    visitor = gate.arrival()
    leave(client)
    broker.ended(visitor.socket)
    assert broker.presence(stage.host) == []
    visitor.let_on()
    broker.hook_done(visitor.socket, "connect")
    before = ["auth", "connect"] if auth == "upgrade" else ["connect"]
    after = ["close"] if answer == "true" else []
    if after:
        broker.hook_done(visitor.socket, "close")
    assert finished(broker, stage, visitor.socket) == before + after
    assert broker.health()["hosts"][stage.host]["sockets"] == 0
    if auth != "upgrade":
        assert broker.events.of("auth", visitor.socket) is None


@LEAVINGS
@pytest.mark.parametrize("answer", ["true", "false", "neither"])
def test_a_client_that_leaves_during_auth_is_registered_nowhere_and_has_its_close(
    broker, take, connect, gate, answer, leave
):
    stage = take()
    stage.plan(auth=[["gate", gate.port], ["print", answer]])
    client = connect(stage)
    client.authenticate(TOKEN)
    visitor = gate.arrival()
    leave(client)
    broker.ended(visitor.socket)
    visitor.let_on()
    broker.hook_done(visitor.socket, "close")
    assert finished(broker, stage, visitor.socket) == ["connect", "auth", "close"]
    assert broker.events.of("auth", visitor.socket) is None
    # The token of an auth that was not refused is the one close is told.
    told = next(c.argv[2] for c in stage.started() if c.argv[0] == "ws::close")
    assert told == (TOKEN if answer == "true" else "")


@LEAVINGS
def test_a_client_that_leaves_during_receive_has_its_waiting_messages_run_then_close(
    broker, take, connect, gate, leave
):
    stage = take()
    client = connect(stage, cookie=TOKEN)
    socket_id = broker.admitted(client)
    client.send({"do": [["gate", gate.port], ["print", '{"nobody":"reads this"}']]})
    visitor = gate.arrival()
    for number in range(4):
        client.send({"n": number})
    broker.events.until(lambda _: broker.events.count("receive", socket_id) == 5)
    leave(client)
    broker.ended(socket_id)
    assert broker.cast(stage.host, {"n": 1}, socket_id)["matched"] == 0
    visitor.let_on()
    broker.hook_done(socket_id, "close")
    messages = [call.argv[4] for call in stage.started() if call.hook == "receive"]
    assert [json.loads(text).get("n") for text in messages] == [None, 0, 1, 2, 3]
    assert finished(broker, stage, socket_id) == ["connect", "auth", *["receive"] * 5, "close"]


# A host is removed while its hooks run

RACED = "raced.example.com"


@pytest.fixture(params=["removed", "removed and added again"])
def remove(request):
    """Takes a host out of a running broker, perhaps to put it back at once."""

    def removed(program, host=RACED):
        kept = {}
        program.configure(lambda hosts: kept.update({host: hosts.pop(host)}))
        assert program.ask_with_key("POST", "/reload", {}).json["removed"] == [host]
        if request.param != "removed":
            program.configure(lambda hosts: hosts.update(kept))
            assert program.ask_with_key("POST", "/reload", {}).json["added"] == [host]
        return request.param != "removed"

    return removed


@pytest.fixture
def own(start):
    def begin(auth):
        return start({RACED: {"app": "python", "auth": auth}, "push.example.com": {"hooks": []}})

    return begin


@pytest.mark.parametrize(
    "case",
    [
        ("message", "connect"),
        ("message", "auth"),
        ("message", "receive"),
        ("upgrade", "connect"),
        ("upgrade", "receive"),
    ],
    ids=" ".join,
)
def test_a_host_that_is_removed_while_its_hook_runs_closes_4004_and_runs_close(
    own, connect, join, gate, remove, case
):
    auth, hook = case
    program = own(auth)
    stage = program.stages[RACED]
    bystander, _ = join(program.stages["push.example.com"], to=program)
    stage.plan(**{hook: [["gate", gate.port], ["print", "true"]]})
    client = connect(stage, to=program, cookie=TOKEN)
    if hook == "receive":
        client.send({"n": 1})
    visitor = gate.arrival()
    client.send({"n": 2})  # it waits, and is dropped with its socket
    program.events.until(
        lambda _: program.events.count("receive", visitor.socket) == 1 + (hook == "receive")
    )
    is_back = remove(program)
    assert client.closed() == 4004
    assert program.ended(visitor.socket)["code"] == 4004
    status = 200 if is_back else 400
    assert program.ask("POST", "/message", {"host": RACED}).status == status
    stage.plan()
    if is_back:
        newcomer, _ = join(stage, TOKEN, to=program)
        newcomer.send({"do": [["print", '{"new":"life"}']]})
        assert newcomer.receive_json() == {"new": "life"}
        newcomer.close()
    visitor.let_on()
    program.hook_done(visitor.socket, "close")
    hooks = stage.hooks_of(visitor.socket)
    assert hooks[-2:] == [hook, "close"]
    assert hooks.count("receive") == (hook == "receive")
    assert program.health()["dropped"]["message of a socket that was closed"] == 1
    assert program.cast("push.example.com", {"n": 1})["sent"] == 1
    assert bystander.receive_json() == {"n": 1}


def test_a_host_that_is_removed_while_an_upgrade_waits_for_its_auth_is_421(own, gate, remove):
    program = own("upgrade")
    stage = program.stages[RACED]
    stage.plan(auth=[["gate", gate.port], ["print", "true"]])
    stream = dial(program.address)
    stream.send(upgrade_bytes(RACED, headers=[("Cookie", f"token={TOKEN}")]))
    visitor = gate.arrival()
    remove(program)
    visitor.let_on()
    assert read_answer(stream).status == 421
    stream.close()
    program.hook_done(visitor.socket, "auth")
    assert stage.hooks_of(visitor.socket) == ["auth"]


def test_a_host_that_is_removed_while_its_close_hook_runs_lets_it_end(own, connect, gate, remove):
    program = own("message")
    stage = program.stages[RACED]
    client = connect(stage, to=program, cookie=TOKEN)
    socket_id = program.admitted(client)
    stage.plan(close=[["gate", gate.port], ["cast", {"data": {"n": 1}}]])
    client.close()
    visitor = gate.arrival()
    is_back = remove(program)
    visitor.let_on()
    program.hook_done(socket_id, "close")
    assert stage.answers()[0]["status"] == ("ok" if is_back else "error")
    assert stage.records("end")[-1]["hook"] == "close"


# Casts to sockets that come or go


def test_a_cast_behind_a_disconnect_finds_nobody_and_the_one_before_arrives(
    broker,
    take,
    join,
):
    stage = take("upgrade", "quick")
    clients = [join(stage, TOKEN)[0] for _ in range(20)]
    key = ("Authorization", f"Bearer {broker.key}")
    cast = {"host": stage.host, "data": {"n": 1}}
    end_all = {"host": stage.host, "target": "all", "code": 4321}
    stream = dial(broker.address)
    stream.send(
        request_bytes("POST", "/message", cast)
        + request_bytes("POST", "/disconnect", end_all, [key])
        + request_bytes("POST", "/message", {**cast, "data": {"n": 2}})
    )
    before, ended, after = (read_answer(stream).json for _ in range(3))
    stream.close()
    assert (before["sent"], before["dropped"]) == (20, 0)
    assert ended["disconnected"] == 20
    assert (after["matched"], after["sent"], after["held"]) == (0, 0, 0)
    for client in clients:
        assert client.closed_after() == ['{"n": 1}', 4321]


def test_casts_to_a_socket_whose_client_does_not_answer_its_close_find_nobody(
    broker,
    take,
    join,
):
    stage = take("upgrade", "quick")
    client, socket_id = join(stage, TOKEN)
    broker.ask_with_key("POST", "/disconnect", {"host": stage.host, "target": socket_id})
    for target in (socket_id, f"socket:{socket_id}", f"token:{TOKEN}", "all"):
        assert broker.cast(stage.host, {"n": 1}, target)["matched"] == 0
    assert broker.presence(stage.host) == []
    assert client.closed_after() == [1000]


def test_a_close_hook_that_casts_to_its_own_socket_and_all_reaches_the_others_only(
    broker,
    take,
    join,
):
    stage = take("upgrade")
    stage.plan(
        close=[
            ["cast", {"target": "$socket", "data": {"to": "me"}}],
            ["cast", {"target": "all", "data": {"to": "all"}}],
        ]
    )
    (stays, _), (leaves, leaver) = join(stage, TOKEN), join(stage, TOKEN)
    leaves.close()
    broker.hook_done(leaver, "close")
    assert [answer["matched"] for answer in stage.answers(2)] == [0, 1]
    assert stays.receive_json() == {"to": "all"}


@pytest.mark.parametrize("auth", MODES)
def test_a_connect_hook_that_casts_to_its_own_socket_and_to_all_is_heard_by_both(
    broker, take, connect, join, auth, kind
):
    stage = take(auth, kind)
    there, there_id = join(stage, TOKEN)
    broker.hook_done(there_id, "connect")
    stage.plan(
        connect=[
            ["cast", {"target": "$socket", "data": {"to": "me"}}],
            ["cast", {"target": "all", "data": {"to": "all"}}],
            ["cast", {"target": "all", "except": "$socket", "data": {"to": "others"}}],
            ["print", "true"],
        ]
    )
    client = connect(stage, cookie=TOKEN)
    got = [client.receive_json() for _ in range(2)]
    assert got == [{"to": "me"}, {"to": "all"}]
    assert [there.receive_json() for _ in range(2)] == [{"to": "all"}, {"to": "others"}]
    me, everyone, others = stage.answers(3)
    is_live = auth == "upgrade"
    assert (me["sent"], me["held"]) == (1, 0)
    assert (everyone["sent"], everyone["held"]) == ((2, 0) if is_live else (1, 1))
    assert (others["sent"], others["held"]) == (1, 0)
    socket_id = broker.admitted(client)
    assert broker.cast(stage.host, {"n": 1}, socket_id)["sent"] == 1
    assert client.receive_json() == {"n": 1}


def test_a_connect_hook_whose_socket_is_refused_forgets_what_it_cast_to_all(
    broker,
    take,
    connect,
):
    stage = take("none")
    stage.plan(connect=[["cast", {"data": {"to": "all"}}], ["print", "false"]])
    client = connect(stage, cookie=TOKEN)
    assert client.closed_after() == [4500]
    assert stage.answers()[0]["held"] == 1


# Sockets that are ended from elsewhere while their hook runs


def test_a_socket_that_is_disconnected_during_receive_drops_what_waits_and_runs_close(
    broker, take, connect, gate
):
    stage = take("upgrade")
    client = connect(stage, cookie=TOKEN)
    socket_id = broker.admitted(client)
    client.send({"do": [["gate", gate.port], ["print", '{"too":"late"}']]})
    gate.arrival()
    for _ in range(3):
        client.send({"do": []})
    broker.events.until(lambda _: broker.events.count("receive", socket_id) == 4)
    dropped = broker.health()["dropped"]
    body = {"host": stage.host, "target": socket_id, "code": 4321}
    assert broker.ask_with_key("POST", "/disconnect", body).json["disconnected"] == 1
    assert client.closed_after() == [4321]
    gate.let_all_on()
    broker.hook_done(socket_id, "close")
    assert stage.hooks_of(socket_id) == ["auth", "connect", "receive", "close"]
    now = broker.health()["dropped"]
    for reason, count in (
        ("message of a socket that was closed", 3),
        ("answer to a socket that is gone", 1),
    ):
        assert now[reason] - dropped.get(reason, 0) == count


@LEAVINGS
def test_a_client_that_leaves_while_it_is_not_read_has_one_close_and_it_is_the_last(
    start, connect, gate, leave
):
    program = start({RACED: {"app": "python", "auth": "none"}}, limits={"pending_events": 4})
    stage = program.stages[RACED]
    client = connect(stage, to=program)
    socket_id = program.admitted(client)
    client.send({"do": [["gate", gate.port]]})
    gate.arrival()
    for number in range(4):
        client.send({"n": number})
    program.events.until(lambda _: program.events.count("receive", socket_id) == 5)
    # From here on the broker does not read: it learns of the rest, and of the end, later.
    client.send({"n": 4})
    leave(client)
    assert program.events.of("close", socket_id) is None
    gate.let_all_on()
    program.hook_done(socket_id, "close")
    got = [call.argv[4] for call in stage.started() if call.hook == "receive"][1:]
    whole = [json.dumps({"n": number}) for number in range(5)]
    # A reset may take what was not read with it; an end in order takes nothing.
    assert got == whole or (leave is reset and got == whole[:4])
    assert finished(program, stage, socket_id)[-1] == "close"
    assert program.health()["connections"] == 0
