"""phlows service: files for systemd, supervisor and pm2, tried with the real ones."""

from __future__ import annotations

import configparser
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from phlows_cli.cli.deploy import deployment, files
from tests.conformance.client import ClosedError, WebSocket
from tests.ports import free_port
from tests.started import DEADLINE, ROOT

EXAMPLES = ROOT / "examples" / "systemd"
INSTALLED = Path("/etc/phlows/phlows.toml")
KINDS = ("systemd", "supervisor", "pm2")


@pytest.fixture
def write(tmp_path):
    """Writes a configuration of this text for an app in a www folder."""

    def run(text="", app=""):
        path = tmp_path / "phlows.toml"
        app = app or str(tmp_path / "site" / "www" / "app.php")
        path.write_text(f'{text}\n[hosts."app.example.com"]\napp = "{app}"\n')
        return path

    return run


@pytest.fixture
def made(phlows):
    """The files that a command makes, by name, and what to type."""

    def run(*args):
        done = phlows("service", *args, "--json")
        assert done.exit_code == 0, done.stderr
        answer = json.loads(done.stdout)
        names = {Path(file["path"]).name: file["text"] for file in answer["files"]}
        return names, answer["commands"], answer["remarks"]

    return run


def settings(text):
    """The settings of a unit; those that come more than once as lists."""
    found = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


# systemd


def test_the_examples_are_what_the_command_prints(made, tmp_path, monkeypatch):
    path = tmp_path / "phlows.toml"
    # Which folders are hidden from the service is decided by where the file is.
    placed = files.existing_config
    monkeypatch.setattr(files, "existing_config", lambda name: (placed(name)[0], INSTALLED))
    path.write_text('[hosts."app.example.com"]\napp = "/srv/app/www/app.php"\n')
    units, *_ = made(
        "systemd", "--socket", "--user", "phlows", "--program", "/usr/local/bin/phlows"
    )
    for name, text in units.items():
        printed, kept = text.splitlines(), (EXAMPLES / name).read_text().splitlines()
        # A machine may have the user already.
        assert [p for p in printed if "useradd" not in p] == [k for k in kept if "useradd" not in k]
    assert {file.name for file in EXAMPLES.iterdir()} == set(units)


@pytest.mark.systemd
@pytest.mark.parametrize("args", [(), ("--socket",)])
def test_systemd_finds_no_fault_and_little_exposure(made, write, tmp_path, args):
    write('[server]\nlisten = ["127.0.0.1", "::1", "unix:/run/phlows/phlows.sock"]')
    files, *_ = made("systemd", *args, "--writable", "/srv/up loads", "--user", "root")
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    verified = analyze(tmp_path, "verify", "--man=no", *files)
    assert (verified.returncode, verified.stderr) == (0, "")
    # Out of 100: 96 without any hardening, 30 for the example in systemd 252.
    scored = analyze(tmp_path, "security", "--offline=yes", "--threshold=40", "phlows.service")
    assert scored.returncode == 0, scored.stdout[-300:]


def analyze(folder, *args):
    return subprocess.run(
        [shutil.which("systemd-analyze"), *args],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_limits_and_times_are_those_of_the_configuration(made, write):
    write("[server]\ndrain_timeout = 90.5\n[limits]\nmax_connections = 100000\nconcurrency = 2000")
    unit = settings(made("systemd")[0]["phlows.service"])
    assert int(unit["TimeoutStopSec"]) >= 90.5 + 15
    assert int(unit["LimitNOFILE"]) >= 100_000 + 256
    assert int(unit["TasksMax"]) >= 2000
    assert unit["Type"] == "notify"
    assert unit["KillMode"] == "mixed"
    assert "StateDirectory" in unit


def test_what_the_broker_starts_with_is_absolute_and_there(made, write):
    path = write()
    start = settings(made("systemd")[0]["phlows.service"])["ExecStart"].split()
    assert Path(start[0]).is_absolute()
    assert os.access(start[0], os.X_OK)
    assert start[-3:] == ["serve", "--config", str(path)]


def test_a_state_folder_of_the_file_is_made_and_writable(made, write, tmp_path):
    write('[server]\nstate_dir = "state"')
    files, commands, _ = made("systemd", "--user", "nobody")
    unit = settings(files["phlows.service"])
    assert "StateDirectory" not in unit
    assert f"-{tmp_path}/state" in unit["ReadWritePaths"]
    assert f"install -d -m 0700 -o nobody {tmp_path}/state" in commands


def test_hardening_leaves_what_the_app_needs(made, write):
    write(app="/srv/shop/www/app.php")
    unit = settings(made("systemd", "--program", "/usr/bin/phlows")[0]["phlows.service"])
    assert unit["ReadWritePaths"] == ["-/srv/shop", "-/var/lib/php"]
    assert unit["ProtectHome"] == "true"
    assert not {"MemoryDenyWriteExecute", "SystemCallFilter", "PrivateUsers"} & unit.keys()
    write(app="/home/ann/site/app.py")
    unit = settings(made("systemd", "--program", "/usr/bin/phlows")[0]["phlows.service"])
    assert unit["ProtectHome"] == "read-only"
    assert unit["ReadWritePaths"] == "-/home/ann/site"


def test_a_low_port_needs_its_right_only_without_a_socket_unit(made, write):
    write("[server]\nport = 443")
    assert settings(made("systemd")[0]["phlows.service"])["AmbientCapabilities"]
    unit = settings(made("systemd", "--socket")[0]["phlows.service"])
    assert "AmbientCapabilities" not in unit
    assert unit["CapabilityBoundingSet"] == ""


def test_the_socket_unit_listens_where_the_configuration_says(made, write):
    write('[server]\nport = 4000\nlisten = ["0.0.0.0", "::1", "unix:/run/x/p.sock"]')
    files, *_ = made("systemd", "--socket")
    streams = settings(files["phlows.socket"])["ListenStream"]
    assert streams == ["0.0.0.0:4000", "[::1]:4000", "/run/x/p.sock"]
    assert "RuntimeDirectory" not in settings(files["phlows.service"])
    assert settings(made("systemd")[0]["phlows.service"])["RuntimeDirectory"] == "x"


def test_another_name_is_another_service(made, write):
    write()
    files, commands, remarks = made("systemd", "--socket", "--name", "staging")
    assert set(files) == {"staging.socket", "staging.service"}
    assert settings(files["staging.service"])["StateDirectory"] == "staging"
    assert "systemctl enable --now staging.socket staging.service" in commands
    assert any("server.state_dir" in remark for remark in remarks)


# The user


def test_the_owner_of_the_apps_runs_it_and_root_never_by_itself(write, tmp_path, monkeypatch, made):
    write(app=str(tmp_path / "app.py"))
    (tmp_path / "app.py").touch()
    monkeypatch.setattr(Path, "owner", lambda _: "nobody")
    files, commands, _ = made("systemd")
    assert settings(files["phlows.service"])["User"] == "nobody"
    assert not [command for command in commands if command.startswith("useradd")]
    monkeypatch.setattr(Path, "owner", lambda _: "root")
    assert settings(made("systemd")[0]["phlows.service"])["User"] == "phlows"


def test_a_user_that_is_not_there_is_made_first(made, write):
    write()
    _, commands, _ = made("systemd", "--user", "nobody-here")
    assert re.fullmatch("useradd --system .* nobody-here", commands[0])


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--user", "a b"), "--user 'a b' is not a name"),
        (("--name", "../x"), "--name '../x' is not a name"),
        (("--program", "/x\nUser=root"), "cannot be written into such a file"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_can_be_smuggled_into_a_file(phlows, write, kind, args, sentence):
    write()
    done = phlows("service", kind, *args)
    assert (done.exit_code, done.stdout) == (2, "")
    assert sentence in done.stderr


# supervisor


@pytest.mark.parametrize("state", ["", 'state_dir = "100%"'])
def test_the_section_of_supervisor_is_one(made, write, state):
    path = write(f"[server]\n{state}\ndrain_timeout = 10")
    files, commands, _ = made("supervisor", "--user", "nobody")
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    parser.read_string(files["phlows.conf"])
    section = parser["program:phlows"]
    assert section["command"].endswith(f"serve --config {path}")
    assert int(section["stopwaitsecs"]) >= 10 + 15
    assert section["stopsignal"] == "TERM"
    assert ("STATE_DIRECTORY" in section["environment"]) == (not state)
    assert commands[-3:] == [
        "supervisorctl reread",
        "supervisorctl update",
        "supervisorctl status phlows",
    ]


SUPERVISORD = """\
[supervisord]
nodaemon=true
logfile=NONE
logfile_maxbytes=0
pidfile={folder}/supervisord.pid
[include]
files={folder}/phlows.conf
"""


@pytest.mark.supervisor
def test_supervisord_starts_it_and_its_stop_drains(made, write, tmp_path):
    app = tmp_path / "app.py"
    app.write_text("print('true')\n")
    port = free_port()
    write(f'[server]\nport = {port}\nstate_dir = "state"', str(app))
    user = pwd.getpwuid(os.getuid()).pw_name
    text = made("supervisor", "--user", user)[0]["phlows.conf"]
    # Its log goes where supervisord's own goes, to be waited for.
    text = re.sub("(?m)^stderr_logfile=.*", "stderr_logfile=/dev/fd/2", text)
    text = re.sub("(?m)^stderr_logfile_maxbytes=.*", "stderr_logfile_maxbytes=0", text)
    text = text.replace("startsecs=2", "startsecs=1")
    text = text.replace("environment=", f'environment=PYTHONPATH="{ROOT}",')
    text = text if os.getuid() == 0 else text.replace(f"user={user}\n", "")
    (tmp_path / "phlows.conf").write_text(text)
    (tmp_path / "supervisord.conf").write_text(SUPERVISORD.format(folder=tmp_path))
    command = [shutil.which("supervisord"), "-c", str(tmp_path / "supervisord.conf")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    missing = {"entered RUNNING state", f"listening  http://127.0.0.1:{port}"}
    try:
        for line in process.stdout:
            missing = {text for text in missing if text not in line}
            if not missing:
                break
        assert not missing
        client = WebSocket.open(("127.0.0.1", port), "app.example.com")
        process.send_signal(signal.SIGTERM)
        with pytest.raises(ClosedError) as closed:
            client.receive()
        assert closed.value.code == 1012
        client.drop()
        rest = process.communicate(timeout=DEADLINE)[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert "stopped: phlows (exit status 0)" in rest
    assert "stopping reason=SIGTERM" in rest


# pm2


@pytest.mark.node
def test_node_reads_the_ecosystem_file(phlows, write, tmp_path):
    path = write("[server]\ndrain_timeout = 20.5")
    done = phlows("service", "pm2", "--output", str(tmp_path / "out"), "--user", "nobody")
    assert done.exit_code == 0, done.stderr
    program = "console.log(JSON.stringify(require(process.argv[1])))"
    read = subprocess.run(
        [shutil.which("node"), "-e", program, str(tmp_path / "out" / "phlows.config.cjs")],
        capture_output=True,
        text=True,
        check=True,
    )
    (app,) = json.loads(read.stdout)["apps"]
    assert [app["script"], *app["args"]] == [
        *deployment.this_command(),
        "serve",
        "--config",
        str(path),
    ]
    assert app["kill_timeout"] >= (20.5 + 15) * 1000
    assert (app["interpreter"], app["exec_mode"], app["instances"]) == ("none", "fork", 1)
    assert app["treekill"] is False  # hooks end by themselves
    assert app["env"] == {"STATE_DIRECTORY": "/var/lib/phlows"}


def test_what_root_types_for_pm2_stands_apart_from_what_the_user_types(phlows, write):
    write()
    text = phlows("service", "pm2", "--user", "somebody-new").stdout
    first, own, last = re.findall(r"((?://   .*\n)+)", text)[:3]
    assert ("useradd" in first, "install -d" in first, "pm2" in first) == (True, True, False)
    assert re.findall(r"//   (\w+ \w+)", own) == ["export PM2_HOME", "pm2 start", "pm2 save"]
    assert "export PM2_HOME=/var/lib/phlows/.pm2\n" in own
    assert last == "//   pm2 startup -u somebody-new --hp /var/lib/phlows\n"


# All three


@pytest.mark.parametrize("kind", KINDS)
def test_printed_it_says_where_it_goes_and_what_to_type(phlows, made, write, kind):
    write()
    done = phlows("service", kind)
    _, commands, remarks = made(kind)
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    assert re.match(r"(#|;|//) /\S+\n", done.stdout)
    assert all(command in done.stdout for command in commands)
    assert all(remark in done.stderr for remark in remarks)


@pytest.mark.parametrize("kind", KINDS)
def test_output_writes_the_files_and_never_over_others_unless_forced(phlows, write, tmp_path, kind):
    write()
    folder = tmp_path / "new" / "out"
    done = phlows("service", kind, "--output", str(folder))
    assert done.exit_code == 0, done.stderr
    (file,) = folder.iterdir()
    assert done.stdout == f"wrote {file}\n"
    assert re.search(rf"next:\n  install -m 0644 {file} /\S+/{file.name}\n", done.stderr)
    text = file.read_text()
    file.write_text("mine")
    refused = phlows("service", kind, "--output", str(folder))
    assert (refused.exit_code, file.read_text()) == (2, "mine")
    assert f"{file} exists: give --force" in refused.stderr
    assert phlows("service", kind, "--output", str(folder), "--force").exit_code == 0
    assert file.read_text() == text


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_configuration_it_says_how_to_get_one(phlows, kind):
    done = phlows("service", kind)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "`phlows config init` writes one" in done.stderr


def test_the_command_is_this_phlows(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert deployment.this_command() == (str(tmp_path / "python"), "-m", "phlows_cli")
    (tmp_path / "phlows").touch()
    assert deployment.this_command() == (str(tmp_path / "phlows"),)
