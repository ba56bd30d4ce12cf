"""Resident workers of a running broker: new code without a lost event or socket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.conformance.command import phlows
from tests.conformance.program import APPS

HOST = "app.example.com"
BEHAVING = APPS.parents[1] / "apps" / "behaving.py"
RESIDENT = {"runtime": "resident", "auth": "none", "hooks": ["receive"]}

WORKER = """
import json, os, sys
VERSION = {version}
print('{{"t":"ready"}}', flush=True)
for line in sys.stdin:
    job = json.loads(line)
    answer = {{"version": VERSION, "pid": os.getpid(), "got": json.loads(job["args"][-1])}}
    print(json.dumps({{"id": job["id"], "t": "line", "data": json.dumps(answer)}}), flush=True)
    print(json.dumps({{"id": job["id"], "t": "done", "result": None}}), flush=True)
"""
BROKEN = "raise SystemExit('the database is not there')\n"


class Code:
    """The file of an app, replaced as a deployment does."""

    def __init__(self, path):
        self.path = path
        self.deploy(1)

    def deploy(self, version):
        self.write(WORKER.format(version=version))

    def write(self, text):
        draft = self.path.with_suffix(".draft")
        draft.write_text(text)
        draft.rename(self.path)


@pytest.fixture
def code(tmp_path):
    (tmp_path / "www").mkdir()
    return Code(tmp_path / "www" / "app.py")


@pytest.fixture
def serve(start, code):
    return lambda **more: start({HOST: {"app": str(code.path), **RESIDENT, **more}})


def asked(client, value=0):
    client.send({"n": value})
    answer = client.receive_json()
    assert answer["got"] == {"n": value}
    return answer


def pids(program):
    return [worker["pid"] for worker in listed(program)]


def listed(program):
    return program.ask_with_key("GET", "/workers").json["workers"]


def test_new_code_answers_after_a_reload_under_a_stream_of_events_and_nothing_is_lost(
    serve, code, join
):
    program = serve(concurrency=2)
    clients = [join(program.stages[HOST], to=program)[0] for _ in range(4)]
    asked(clients[0])  # there is a worker to replace from the first round on
    rounds, each = 4, 20
    for version in range(1, rounds + 1):
        for number in range(each):
            for client in clients:
                client.send({"n": [version, number]})
        code.deploy(version + 1)
        answer = program.ask_with_key("POST", "/workers/reload", {"host": HOST})
        assert (answer.status, answer.json["failed"]) == (200, {})
        assert answer.json["replaced"][HOST] in (1, 2)
    sent = [[version, number] for version in range(1, rounds + 1) for number in range(each)]
    for client in clients:
        answers = [client.receive_json() for _ in sent]
        assert [answer["got"]["n"] for answer in answers] == sent
        old = [it for it in answers if it["version"] < it["got"]["n"][0]]
        assert not old, "sent after a reload, and answered by what was before it"
        assert asked(client)["version"] == rounds + 1
    assert program.health()["dropped"] == {}


def test_the_command_lists_and_replaces_workers(serve, code, join):
    program = serve()
    client, _ = join(program.stages[HOST], to=program)
    first = asked(client)
    status, said, _ = phlows(program, "workers", "--json")
    (worker,) = json.loads(said)
    assert (status, worker["host"], worker["pid"], worker["state"]) == (
        0,
        HOST,
        first["pid"],
        "idle",
    )
    assert worker["jobs"] == 1
    code.deploy(2)
    assert phlows(program, "workers", "reload", HOST) == (0, f"{HOST}: 1 worker replaced\n", "")
    second = asked(client)
    assert (first["version"], second["version"]) == (1, 2)
    assert pids(program) == [second["pid"]]


def test_code_that_does_not_boot_leaves_the_old_workers_at_work(serve, code, join):
    program = serve()
    client, _ = join(program.stages[HOST], to=program)
    before = asked(client)
    code.write(BROKEN)
    status, said, errors = phlows(program, "workers", "reload")
    assert status == 1
    assert f"{HOST}: not replaced: " in said
    assert "exit code 1" in said
    assert errors == ""
    assert asked(client, 1)["pid"] == before["pid"]
    problem = program.health()["problems"][HOST]
    assert problem == "new workers do not boot, the old ones go on: the worker ended: exit code 1"
    code.deploy(3)
    assert phlows(program, "workers", "reload")[0] == 0
    assert asked(client, 2)["version"] == 3
    assert program.health()["problems"] == {}


def test_a_host_that_is_not_there_is_refused(serve):
    program = serve()
    status, said, errors = phlows(program, "workers", "reload", "none.example.com")
    assert (status, said) == (4, "")
    assert "none.example.com" in errors


def test_workers_boot_anew_when_a_file_of_a_watched_app_changes(serve, code, join):
    program = serve(watch_app=True)
    client, _ = join(program.stages[HOST], to=program)
    assert asked(client)["version"] == 1
    code.deploy(2)
    program.says("workers replaced")
    assert asked(client)["version"] == 2
    assert program.health()["dropped"] == {}


def test_an_app_that_does_not_boot_is_a_problem_until_it_does(serve, code, connect):
    code.write(BROKEN)
    program = serve(spare=1)
    program.says("app does not boot")
    problem = program.health()["problems"]
    assert list(problem) == [HOST]
    assert "exit code 1" in problem[HOST]
    client = connect(program.stages[HOST], to=program)
    client.send({"n": 1})
    assert list(client.receive_json()) == ["error"]
    code.deploy(2)
    program.says("app boots again")
    assert program.health()["problems"] == {}
    assert asked(client, 2)["version"] == 2


def test_an_app_without_workers_must_boot_to_be_taken_for_mended(serve, code, connect):
    code.write(BROKEN)
    program = serve()
    client = connect(program.stages[HOST], to=program)
    client.send({"n": 1})
    assert list(client.receive_json()) == ["error"]
    assert list(program.health()["problems"]) == [HOST]
    assert phlows(program, "workers", "reload")[0] == 1
    assert list(program.health()["problems"]) == [HOST]
    code.deploy(2)
    assert phlows(program, "workers", "reload")[0] == 0
    assert program.health()["problems"] == {}
    assert asked(client, 2)["version"] == 2


# Another runtime


@pytest.fixture
def url():
    """behaving.py behind a URL."""
    program = BEHAVING.with_name("behaving_url.py")
    with subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        yield server.stdout.readline().strip()
        server.stdin.close()


def test_a_live_socket_goes_on_through_every_runtime(start, connect, url):
    usual = {"auth": "none", "hooks": ["receive"]}
    runtimes = {
        "oneshot": {**usual, "app": str(BEHAVING)},
        "resident": {**usual, "app": str(BEHAVING), "runtime": "resident"},
        "url": {**usual, "app": url},
    }
    program = start({HOST: runtimes["oneshot"]})
    client = connect(program.stages[HOST], to=program)
    order = ["oneshot", "resident", "url", "resident", "oneshot", "url", "oneshot"]
    for number, name in enumerate(order):
        if number:
            program.configure(lambda hosts, name=name: hosts.update({HOST: runtimes[name]}))
            program.signal(signal.SIGHUP)
            program.says_again("reloaded", number)
        client.send([["print", json.dumps({"n": number})]])
        assert client.receive_json() == {"n": number}
        assert list(program.health()["pools"]) == [runtimes[name]["app"]]
        assert len(listed(program)) == (name == "resident")
    assert program.health()["dropped"] == {}


def test_a_hook_that_runs_ends_with_the_runtime_it_began_with(start, connect, tmp_path):
    usual = {"app": str(BEHAVING), "auth": "none", "hooks": ["receive"]}
    program = start({HOST: {**usual, "runtime": "resident"}})
    client = connect(program.stages[HOST], to=program)
    other = connect(program.stages[HOST], to=program)
    client.send([["print", '{"began":1}'], ["wait", str(fifo(tmp_path))], ["pid", 0]])
    assert client.receive_json() == {"began": 1}
    (worker,) = listed(program)
    assert worker["state"] == "busy"
    program.configure(lambda hosts: hosts.update({HOST: usual}))
    program.signal(signal.SIGHUP)
    program.says("reloaded")
    other.send([["print", '{"new":1}']])
    assert other.receive_json() == {"new": 1}
    (tmp_path / "fifo").write_text("go on")
    client.send([["print", '{"last":1}']])
    assert client.receive_json() == {"last": 1}
    assert program.health()["dropped"] == {}


def fifo(folder):
    os.mkfifo(folder / "fifo")
    return folder / "fifo"
