"""Clients that do not read."""

from __future__ import annotations

import json
from pathlib import Path

FRAME = {"filler": "x" * 60_000}
STALLED = 20


def memory(pid):
    """The broker's resident memory now and at its highest, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return [int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM")]


def test_clients_that_do_not_read_are_cut_and_the_others_get_everything(broker, take, join, token):
    stage = take("upgrade", "quick")
    stalled = [join(stage, token, receive_buffer=4096) for _ in range(STALLED)]
    reader, _ = join(stage, token)
    counted = "frame to a slow consumer"
    before = broker.health()["dropped"].get(counted, 0)
    if has_proc := Path("/proc/self/status").exists():
        used, _ = memory(broker.pid)
    dropped = sent = 0
    while dropped < STALLED:
        receipt = broker.cast(stage.host, {"n": sent, **FRAME})
        assert receipt["matched"] == receipt["sent"] + receipt["dropped"]
        assert reader.receive_json()["n"] == sent
        dropped += receipt["dropped"]
        sent += 1
        assert sent < 200, "nobody was cut"
    if has_proc:
        # Each may have 256 KiB (limits.send_buffer) waiting, and the kernel holds some more.
        assert memory(broker.pid)[1] - used < 32 << 20
    assert broker.cast(stage.host, {"end": 1})["matched"] == 1
    assert reader.receive_json() == {"end": 1}
    assert broker.health()["dropped"][counted] > before
    for _, socket_id in stalled:
        assert broker.ended(socket_id)["code"] == 4000


def test_a_client_that_is_cut_reads_whole_frames_in_order_and_then_4000(broker, take, join, token):
    stage = take("upgrade", "python")
    slow, socket_id = join(stage, token, receive_buffer=4096)
    number = 0
    while not broker.cast(stage.host, {"n": number, **FRAME})["dropped"]:
        number += 1
        assert number < 200, "it was not cut"
    *got, code = slow.closed_after()
    assert code == 4000
    assert "limits.send_buffer" in slow.close_reason
    got = [json.loads(text)["n"] for text in got]
    assert got == list(range(len(got)))
    assert len(got) < number
    assert stage.call("close").socket == socket_id


def test_a_client_that_reads_late_but_in_time_loses_nothing(broker, take, join, token):
    stage = take("upgrade", "quick")
    late, _ = join(stage, token, receive_buffer=4096)
    for number in range(4):
        assert broker.cast(stage.host, {"n": number, **FRAME})["sent"] == 1
    assert [late.receive_json()["n"] for _ in range(4)] == [0, 1, 2, 3]


def test_one_frame_larger_than_the_buffer_goes_to_a_client_that_has_nothing_waiting(
    broker, take, join, token
):
    stage = take("upgrade", "quick")
    client, _ = join(stage, token)
    large = {"filler": "x" * 900_000}
    assert broker.cast(stage.host, large)["sent"] == 1
    assert client.receive_json() == large


def test_what_waits_for_all_clients_together_is_bounded(start, join, token):
    host = "all.example.com"
    program = start(
        {host: {"app": "quick", "auth": "upgrade"}},
        limits={"send_buffer": 8 << 20, "send_total": 1 << 20},
    )
    stage = program.stages[host]
    stalled = [join(stage, token, to=program, receive_buffer=4096) for _ in range(3)]
    reader, _ = join(stage, token, to=program)
    sent = dropped = 0
    while dropped < 2:
        receipt = program.cast(host, {"n": sent, **FRAME})
        assert reader.receive_json()["n"] == sent
        gone = sum(e["type"] == "close" for e in program.events.all())
        dropped = max(dropped, gone)
        sent += 1
        assert receipt["sent"] >= 1
        assert sent < 60, "nobody was cut, though each has room for 8 MiB of its own only"
    ids = {socket_id for _, socket_id in stalled}
    closed = [e for e in program.events.all() if e["type"] == "close"]
    assert {e["socket"] for e in closed} <= ids
    assert {e["code"] for e in closed} == {4000}
