"""A disk that is full: nobody comes in whose close could be lost, and all is well again."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress

import pytest

from phlows_cli.errors import ConfigError
from phlows_cli.journal.groups import Groups
from tests.chaos import witness
from tests.chaos.arena import mount
from tests.conformance.client import RefusedError, WebSocket
from tests.conformance.program import Program

HOST = "full.example.com"


@pytest.fixture
def disk(tmp_path):
    """A small file system where the journal is."""
    folder = tmp_path / "broker" / "state"
    folder.mkdir(parents=True)
    if not mount(folder):
        pytest.skip("a small file system takes root, and leave to mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def start(tmp_path, disk):
    programs = []

    def begin():
        env = {"LEDGER": str(tmp_path / "ledger"), "STAGE": str(tmp_path)}
        host = {"app": witness.ONE_SHOT, "hooks": ["connect", "receive", "close"], "env": env}
        programs.append(Program(tmp_path / "broker", {HOST: host}, watches=False))
        return programs[-1]

    yield begin
    for program in programs:
        program.stop()


def fill(disk):
    """Take all the room there is."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(disk).free == 0
    return ballast


def test_a_broker_that_was_killed_starts_on_a_full_disk(start, disk, tmp_path):
    program = start()
    client = WebSocket.open(program.address, HOST)
    client.send({"n": 1})
    assert client.receive_json() == {"n": 1}
    ballast = fill(disk)
    program.process.kill()
    client.stream.read_to_end()
    client.drop()
    program.start_again()
    assert come(program).closed() == 1013
    ballast.unlink()
    again = come(program)
    again.send({"n": 1})
    assert again.receive_json() == {"n": 1}
    again.close()
    program.stop()
    lines = witness.read(tmp_path / "ledger")
    assert len(witness.lives(lines)) == 2
    assert witness.Rules({HOST: "none"}).check(lines) == []


def come(program):
    """Upgrade, as soon as what was left has been closed."""
    while True:
        try:
            return WebSocket.open(program.address, HOST)
        except RefusedError as refused:
            if refused.status != 503:
                raise


def test_no_room_for_the_groups_is_an_error_that_says_what_to_do(disk):
    fill(disk)
    with pytest.raises(ConfigError, match=r"No space left on device; set server\.state_dir"):
        Groups(disk / "groups")
