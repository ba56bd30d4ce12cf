from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import phlows_cli
from phlows_cli import settings
from phlows_cli.cli import app_check
from phlows_cli.cli.main import cli
from phlows_cli.config import Interpreters
from phlows_cli.model import HOOK_NAMES

SOURCE = Path(phlows_cli.__file__).parents[1]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Stand in an empty folder, at home nowhere else."""
    for name in ("PHLOWS_CONFIG", "STATE_DIRECTORY", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def run(*args):
    return CliRunner().invoke(cli, ["host", *args])


def done(*args):
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result


def failed(code, *args):
    result = run(*args)
    assert (result.exit_code, result.stdout) == (code, "")
    return result.stderr


def app(name="app.py", text="import phlows_cli.app\n", mode=0o644):
    file = Path(name)
    file.write_text(text)
    file.chmod(mode)
    return file


def hosts():
    return tomllib.loads(Path("phlows.toml").read_text())["hosts"]


# add


def test_a_host_is_added_with_its_app_as_a_whole_path(folder):
    app()
    result = done("add", "App.Example.com:443", "./app.py")
    assert result.stdout == f"added app.example.com in {folder}/phlows.toml\n"
    assert result.stderr == (
        "a broker that is running sees app.example.com within two seconds, "
        "or with `phlows reload`\n"
    )
    assert hosts() == {"app.example.com": {"app": f"{folder}/app.py"}}


def test_a_link_to_the_current_release_stays_in_the_path(folder):
    (folder / "release-1").mkdir()
    (folder / "current").symlink_to("release-1")
    app("release-1/app.py")
    done("add", "a", "current/app.py")
    assert hosts()["a"]["app"] == f"{folder}/current/app.py"


def test_every_option_lands_in_the_file(folder):
    app()
    done(
        *("add", "a", "app.py", "--hooks", "connect, auth", "--hook-class", "websocket"),
        *("--auth", "upgrade", "--token-cookie", "", "--timeout", "2.5", "--concurrency", "3"),
        *("--origin", "https://b.example", "--origin", "https://c.example:8443"),
        *("--env", "A=b=c", "--env", "EMPTY="),
    )
    assert hosts() == {
        "a": {
            "app": f"{folder}/app.py",
            "hooks": ["connect", "auth"],
            "hook_class": "websocket",
            "auth": "upgrade",
            "token_cookie": "",
            "timeout": 2.5,
            "concurrency": 3,
            "origins": ["https://b.example", "https://c.example:8443"],
            "env": {"A": "b=c", "EMPTY": ""},
        }
    }


def test_a_push_only_host_needs_no_app():
    done("add", "a", "--hooks", "none")
    assert hosts() == {"a": {"hooks": []}}


@pytest.mark.parametrize("arguments", [["a"], ["a", "app.py"]])
def test_hooks_that_are_an_empty_text_are_refused(arguments):
    app()
    said = failed(2, "add", *arguments, "--hooks", "")
    assert said.startswith('error: --hooks is empty: name some, or give "none" for a push-only')
    assert not Path("phlows.toml").exists()


def test_a_push_only_host_with_an_app_is_refused():
    app()
    said = failed(2, "add", "a", "app.py", "--hooks", "none")
    assert said.startswith("error: --hooks none is a push-only host, which runs no app")
    assert not Path("phlows.toml").exists()


def test_a_host_with_hooks_needs_its_app():
    assert "name the APP, or give --hooks none" in failed(2, "add", "a")
    assert not Path("phlows.toml").exists()


def test_the_file_that_is_named_is_the_one_written(folder):
    app()
    Path("etc").mkdir()
    done("add", "a", "app.py", "--config", "etc/mine.toml")
    assert tomllib.loads(Path("etc/mine.toml").read_text())["hosts"]["a"] == {
        "app": f"{folder}/app.py"
    }
    assert not Path("phlows.toml").exists()


def test_a_folder_that_is_not_there_is_named():
    app()
    assert failed(1, "add", "a", "app.py", "-c", "etc/x.toml") == (
        "error: cannot write etc/x.toml: folder etc does not exist: make it,"
        " or use another --config\n"
    )


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc")
def test_a_folder_that_takes_no_file_is_not_blamed_on_a_temporary_one():
    app()
    said = failed(1, "add", "a", "app.py", "-c", "/proc/phlows.toml")
    assert said.startswith("error: cannot write /proc/phlows.toml: ")
    assert said.endswith(": use another --config, or another user\n")


def test_json_says_how_the_broker_will_see_the_host(folder):
    app()
    answer = json.loads(done("add", "a", "app.py", "--hooks", "receive", "--json").stdout)
    assert (answer["host"], answer["auth"], answer["timeout"]) == ("a", "none", 30.0)
    assert answer["config"] == f"{folder}/phlows.toml"


def test_a_host_that_is_there_needs_replace(folder):
    app()
    done("add", "a", "app.py", "--timeout", "9")
    before = Path("phlows.toml").read_bytes()
    assert "host 'a' is registered already: --replace" in failed(1, "add", "A", "app.py")
    assert Path("phlows.toml").read_bytes() == before
    result = done("add", "a", "app.py", "--replace")
    assert result.stdout == f"replaced a in {folder}/phlows.toml\n"
    assert hosts() == {"a": {"app": f"{folder}/app.py"}}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["a b", "app.py"], "'a b' is not a host name"),
        (["https://a/", "app.py"], "'https://a/' is not a host name: write it alone"),
        (["a", "ftp://b/app.php"], "a URL must begin with http:// or https://"),
        (["a", "app.py", "--timeout", "0"], "hosts.a.timeout is 0: it must be 0.1 to 3600 seconds"),
        (["a", "app.py", "--timeout", "x"], "'x' is not a valid float"),
        (["a", "app.py", "--auth", "cookie"], "'cookie' is not one of"),
        (["a", "app.py", "--hooks", "receive,x"], "'x', which is not a hook"),
        (["a", "app.py", "--hooks", "receive", "--auth", "upgrade"], "hooks has no auth"),
        (["a", "app.py", "--env", "A"], "--env takes NAME=TEXT, not 'A'"),
        (["a", "app.py", "--env", "=x"], 'hosts.a.env."" is not a name for an environment'),
        (["a", "app.py", "--origin", "b.example"], "'b.example', which is not \"scheme://"),
        (["a", os.fsdecode(b"\xff.py")], "hosts.a.app must be UTF-8"),
    ],
)
def test_what_cannot_be_is_a_usage_error_and_nothing_is_written(args, message):
    app()
    assert message in failed(2, "add", *args)
    assert not Path("phlows.toml").exists()


def test_a_config_file_with_a_problem_is_not_added_to():
    app()
    Path("phlows.toml").write_text("[server]\nprot = 1\n")
    assert "phlows.toml:2: unknown key server.prot" in failed(2, "add", "a", "app.py")
    assert Path("phlows.toml").read_text() == "[server]\nprot = 1\n"


# add looks at the app


RAN = "RAN"
"""What an app leaves behind when it is run, which no check may do."""


def test_a_python_app_that_parses_is_added_and_not_run():
    app("app.py", f"open({RAN!r}, 'w')\n")
    done("add", "a", "app.py")
    assert not Path(RAN).exists()
    assert not Path("__pycache__").exists()


@pytest.mark.php
def test_a_php_app_that_parses_is_added_and_not_run():
    app("app.php", f"<?php\ntouch('{RAN}');\n")
    done("add", "a", "app.php")
    assert not Path(RAN).exists()


def test_an_executable_is_added_and_not_run():
    app("app", f"#!/bin/sh\ntouch {RAN}\n", 0o755)
    done("add", "a", "app")
    assert not Path(RAN).exists()


def refused(name, code=2):
    message = failed(code, "add", "a", name)
    assert not Path("phlows.toml").exists()
    return message


def test_a_python_app_that_does_not_parse_is_refused(folder):
    app("app.py", "x = 1\ndef f(:\n")
    message = refused("app.py")
    assert message.startswith(f"error: {folder}/app.py: does not parse: ")
    assert "line 2" in message


def test_a_python_app_with_a_nul_is_refused():
    app("app.py", "x = '\0'\n")
    assert "does not parse" in refused("app.py")


@pytest.mark.php
def test_a_php_app_that_does_not_parse_is_refused(folder):
    app("app.php", "<?php\nfunction x( {\n")
    message = refused("app.php")
    assert message.startswith(f"error: {folder}/app.php: does not parse: ")
    assert "on line 2" in message
    assert message.count("on line 2") == 1


def test_a_php_app_without_php_says_what_to_install(folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder))
    app("app.php", "<?php\n")
    message = refused("app.php")
    assert f"{folder}/app.php: there is no PHP on PATH" in message
    assert "install PHP's command line (Debian: apt install php-cli" in message


def test_the_interpreter_of_the_config_does_the_parsing(folder):
    app("bin", "#!/bin/sh\necho it is my parser >&2\nexit 3\n", 0o755)
    app("app.php", "<?php\n")
    Path("phlows.toml").write_text('[interpreters]\nphp = "./bin"\n')
    message = failed(2, "add", "a", "app.php")
    assert f"{folder}/app.php: does not parse: it is my parser\n" in message


def test_a_parser_that_cannot_be_started_is_named(folder):
    app("bin", "no program\n", 0o755)
    app("app.PHP", "<?php\n")
    Path("phlows.toml").write_text('[interpreters]\nphp = "./bin"\n')
    assert f"{folder}/bin: cannot be started: Exec format" in failed(2, "add", "a", "app.PHP")


def test_a_parser_that_hangs_is_cut(folder, monkeypatch):
    monkeypatch.setattr(app_check, "LINT_TIMEOUT", 0.05)
    app("bin", "#!/bin/sh\nexec sleep 60\n", 0o755)
    app("app.py")
    Path("phlows.toml").write_text('[interpreters]\npy = "./bin"\n')
    message = failed(6, "add", "a", "app.py")
    assert f"{folder}/bin took over 0.05 seconds to parse it: --no-check" in message


def test_a_file_that_is_not_executable_is_refused():
    app("app", "#!/bin/sh\n", 0o644)
    assert "app: is not executable: run chmod +x, or name a .php or .py file" in refused("app")


def test_a_missing_file_is_refused(folder):
    assert f"{folder}/app.py: there is no such file" in refused("app.py")


def test_a_folder_is_not_an_app():
    Path("app.py").mkdir()
    assert "app.py: is not a file" in refused("app.py")


def refused_to_nobody(app):
    """What check_app says to a user without rights, in a process of his own."""
    said, say = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresuid(65534, 65534, 65534)
        try:
            app_check.check_app(str(app), Interpreters("", sys.executable))
        except app_check.AppError as error:
            os.write(say, str(error).encode())
        os._exit(0)
    os.close(say)
    os.waitpid(child, 0)
    with os.fdopen(said) as answer:
        return answer.read()


@pytest.fixture
def open_folder():
    """A folder that every user may look into: pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_file_that_cannot_be_read_is_refused(open_folder):
    unreadable = open_folder / "app.py"
    unreadable.touch(0o000)
    assert refused_to_nobody(unreadable).startswith(f"{unreadable}: cannot be read: ")


def test_a_file_in_a_folder_that_is_closed_is_refused(open_folder):
    closed = open_folder / "closed"
    closed.mkdir(0o700)
    (closed / "app.py").touch()
    if os.geteuid() != 0:
        closed.chmod(0)
    said = refused_to_nobody(closed / "app.py")
    closed.chmod(0o700)
    assert said == f"{closed / 'app.py'}: cannot be reached: Permission denied"


def test_no_check_adds_an_app_that_is_not_there_yet(folder):
    done("add", "a", "app.php", "--no-check")
    assert hosts() == {"a": {"app": f"{folder}/app.php"}}


# remove


def test_a_removed_host_is_gone_and_the_rest_stays(folder):
    Path("phlows.toml").write_text("# mine\n[server]\nport = 1 # one\n\n[hosts.a]\nhooks = []\n")
    result = done("remove", "A:80")
    assert result.stdout == f"removed a from {folder}/phlows.toml\n"
    assert "a broker that is running drops a within two seconds" in result.stderr
    assert Path("phlows.toml").read_text() == "# mine\n[server]\nport = 1 # one\n"


def test_a_host_with_a_problem_can_still_be_removed():
    Path("phlows.toml").write_text("[hosts.a]\ntimeout = 0\n")
    answer = json.loads(done("remove", "a", "--json").stdout)
    assert answer["host"] == "a"
    assert Path("phlows.toml").read_text() == ""


def test_removing_a_host_that_is_not_there_names_those_that_are():
    Path("phlows.toml").write_text("[hosts.a]\nhooks = []\n")
    assert "there is no host 'b': registered are a" in failed(2, "remove", "b")


def test_removing_without_a_config_file_says_so():
    assert "there is no config file: phlows host add makes one" in failed(2, "remove", "b")
    assert "x.toml: there is no config file" in failed(2, "remove", "b", "-c", "x.toml")


def test_an_app_that_cannot_answer_is_added_with_a_warning():
    app("mute.py", "print('hello')\n")
    said = done("add", "mute.local", "mute.py").stderr
    assert re.search(r"^warning: .*mute.py neither calls run\(\)", said)
    assert "warning" not in done("add", "a.local", "mute.py", "--hooks", "receive").stderr
    assert "warning" not in done("add", "b.local", "mute.py", "--no-check").stderr
    app("good.py", "from phlows_cli.app import run\nrun()\n")
    assert "warning" not in done("add", "c.local", "good.py").stderr


# list and show


TWO = """\
[hosts."long.example.com"]
app = "/srv/long.py"
origins = ["https://x.example"]
timeout = 2.5
concurrency = 7
env = { A = "1", B = "\\u001b[31m" }
[hosts.b]
hooks = []
"""


def test_a_list_has_a_line_for_each_host():
    Path("phlows.toml").write_text(TWO)
    assert done("list").stdout == (
        "HOST              APP           AUTH     HOOKS\n"
        "b                 -             none     -\n"
        "long.example.com  /srv/long.py  message  connect auth receive close\n"
    )


def test_a_list_in_json_holds_every_setting():
    Path("phlows.toml").write_text(TWO)
    b, long = json.loads(done("list", "--json").stdout)
    assert (b["host"], b["app"], b["hooks"], b["auth"]) == ("b", "", [], "none")
    assert long == {
        "host": "long.example.com",
        "app": "/srv/long.py",
        "hooks": list(HOOK_NAMES),
        "hook_class": "ws",
        "auth": "message",
        "token_cookie": "token",
        "origins": ["https://x.example"],
        "timeout": 2.5,
        "concurrency": 7,
        "env": {"A": "1", "B": "\x1b[31m"},
        "runtime": "oneshot",
        "max_jobs": 10_000,
        "spare": 0,
        "idle_timeout": 60.0,
        "watch_app": False,
        "tick": "",
        "max_connections": 0,
        "key_file": "",
    }
    assert long.keys() - {"host"} == {setting.name for setting in settings.HOST}


def test_a_list_of_nothing_says_how_to_add():
    result = done("list")
    assert (result.stdout, result.stderr) == (
        "",
        "no host is registered: phlows host add registers one\n",
    )
    result = done("list", "--json")
    assert (json.loads(result.stdout), result.stderr) == ([], "")


def test_what_is_said_of_workers_is_shown():
    done("add", "a", "x.php", "--runtime", "resident", "--max-jobs", "1", "--spare", "2",
         "--idle-timeout", "3", "--watch-app", "--tick", "tasks::run", "--no-check")  # fmt: skip
    shown = json.loads(done("show", "a", "--json").stdout)
    assert [shown[name] for name in ("runtime", "max_jobs", "spare", "idle_timeout")] == [
        "resident", 1, 2, 3.0
    ]  # fmt: skip
    assert (shown["watch_app"], shown["tick"]) == (True, "tasks::run")
    assert re.search("^idle_timeout +3 seconds$", done("show", "a").stdout, re.MULTILINE)


def test_a_url_is_an_app_that_is_not_parsed():
    done("add", "a", "http://127.0.0.1:9/hooks")
    shown = json.loads(done("show", "a", "--json").stdout)
    assert shown["app"] == "http://127.0.0.1:9/hooks"


def test_show_writes_a_line_for_each_setting():
    Path("phlows.toml").write_text(TWO)
    assert done("show", "Long.Example.com").stdout == (
        "SETTING          VALUE\n"
        "host             long.example.com\n"
        "app              /srv/long.py\n"
        "hooks            connect auth receive close\n"
        "hook_class       ws\n"
        "auth             message\n"
        "token_cookie     token\n"
        "origins          https://x.example\n"
        "timeout          2.5 seconds\n"
        "concurrency      7 processes at once\n"
        "env              A=1 B=\\x1b[31m\n"
        "runtime          oneshot\n"
        "max_jobs         10000\n"
        "spare            0\n"
        "idle_timeout     60 seconds\n"
        "watch_app        no\n"
        "tick             -\n"
        "max_connections  no limit of its own\n"
        "key_file         -\n"
    )


def test_show_in_json_is_the_same_object_as_in_the_list():
    Path("phlows.toml").write_text(TWO)
    listed = json.loads(done("list", "--json").stdout)
    assert json.loads(done("show", "b", "--json").stdout) == listed[0]


def test_show_of_a_host_that_is_not_there_names_those_that_are():
    Path("phlows.toml").write_text(TWO)
    assert "there is no host 'c': registered are b, long.example.com" in failed(2, "show", "c")


def test_a_terminal_gets_a_list_that_fits_it():
    Path("phlows.toml").write_text(TWO.replace("/srv/long", "/srv" + "/folder" * 12))
    ours, theirs = pty.openpty()
    environment = dict(os.environ, PYTHONPATH=str(SOURCE), TERM="xterm", COLUMNS="60")
    command = [sys.executable, "-m", "phlows_cli", "host", "list"]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = _read_to_end(ours)
    assert process.returncode == 0
    lines = shown.decode().splitlines()
    assert "\x1b[1mHOST" in lines[0]
    assert len(lines) > 3
    assert max(map(len, lines[1:])) <= 60


def _read_to_end(terminal):
    shown = b""
    try:
        while block := os.read(terminal, 4096):
            shown += block
    except OSError:
        pass  # how Linux says that the other side of a terminal is gone
    os.close(terminal)
    return shown


# help


@pytest.mark.parametrize("command", ["", "add", "remove", "list", "show"])
def test_help_begins_with_an_example(command):
    lines = done(*filter(None, [command]), "--help").stdout.splitlines()
    assert lines[0].startswith("Usage: ")
    assert lines[2].strip().startswith(f"Example: phlows host {command}".strip())
    assert lines[3] == ""


def test_the_group_lists_its_commands_with_a_line_each():
    shown = done("--help").stdout
    for line in ("Register a host and its app.", "Take a host out.", "List the", "Show every"):
        assert line in shown


@pytest.mark.parametrize(
    "line",
    ["host show app.exmaple.com", "hook auth --host app.exmaple.com", "call app.exmaple.com a"],
)
def test_a_host_that_is_nearly_right_is_told_which_was_probably_meant(
    phlows, tmp_path, monkeypatch, line
):
    hosts = [f'[hosts."{name}"]\nhooks = []\n' for name in ("app.example.com", "other.test")]
    (tmp_path / "phlows.toml").write_text("".join(hosts))
    monkeypatch.setenv("PHLOWS_CONFIG", str(tmp_path / "phlows.toml"))
    done = phlows(*line.split())
    assert done.exit_code in (1, 2)
    assert done.stderr.endswith("'app.exmaple.com': did you mean 'app.example.com'?\n")
