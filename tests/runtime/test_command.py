from __future__ import annotations

import errno
import os

import pytest

from phlows_cli.config import Interpreters
from phlows_cli.errors import ConfigError
from phlows_cli.model import Host
from phlows_cli.runtime.command import (
    ARGUMENT_LIMIT,
    INHERITED,
    command_for,
    encode_argument,
    environment_for,
    unfit_arguments,
    unreadable_app,
    why_not_started,
)
from tests.runtime.apps import NAME, URL, hook, host

BOTH = Interpreters(php="/usr/bin/php", py="/usr/bin/python3")


@pytest.mark.parametrize(
    ("app", "command"),
    [
        ("/srv/app.php", ["/usr/bin/php", "/srv/app.php"]),
        ("/srv/APP.PHP", ["/usr/bin/php", "/srv/APP.PHP"]),
        ("/srv/app.py", ["/usr/bin/python3", "/srv/app.py"]),
        ("/srv/app", ["/srv/app"]),
        ("/srv/app.sh", ["/srv/app.sh"]),
        ("/srv/my.php.d/app", ["/srv/my.php.d/app"]),
    ],
)
def test_the_apps_name_decides_who_runs_it(app, command):
    assert command_for(host(app), BOTH) == command


def test_a_php_app_without_php_says_what_to_install():
    with pytest.raises(ConfigError, match=r"apt install php-cli.*interpreters\.php"):
        command_for(host("/srv/app.php"), Interpreters("", "/usr/bin/python3"))


def test_a_host_without_an_app_has_no_command():
    with pytest.raises(ConfigError, match=r'has no app: set hosts\."push\.example"\.app'):
        command_for(Host("push.example"), BOTH)


def test_the_environment_is_the_named_variables_the_bridge_and_the_hosts_own(monkeypatch):
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name in (*INHERITED, "PHLOWS_KEY", "SECRET"):
        monkeypatch.setenv(name, f"the broker's {name}")
    monkeypatch.delenv("TMPDIR")
    made = environment_for(host("/srv/app", env={"APP_ENV": "test", "LANG": "C"}), URL)
    expected = {name: f"the broker's {name}" for name in INHERITED if name != "TMPDIR"}
    assert made == {
        **expected,
        "PHLOWS_URL": URL,
        "PHLOWS_HOST": NAME,
        "APP_ENV": "test",
        "LANG": "C",
    }


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("caf\u00e9", b"caf\xc3\xa9"),
        ("\udce9", b"\xe9"),
        ("\U0001f600", b"\xf0\x9f\x98\x80"),
        ("\ud800", b"\xed\xa0\x80"),
        ("", b""),
    ],
)
def test_any_text_becomes_an_argument(text, encoded):
    assert encode_argument(text) == encoded


def test_arguments_up_to_the_limit_fit():
    assert unfit_arguments(hook(data="x" * (ARGUMENT_LIMIT - 1))) == ""
    assert "limits.max_message" in unfit_arguments(hook(data="x" * ARGUMENT_LIMIT))
    assert "131072 bytes exceeds 131071" in unfit_arguments(hook(data="\u00e9" * 65536))


@pytest.mark.parametrize("event", [hook(token="a\0b"), hook(data="\0"), hook(socket="\0")])
def test_a_nul_does_not_fit(event):
    assert "NUL" in unfit_arguments(event)


def test_an_app_that_cannot_be_read_is_told_with_its_setting(tmp_path):
    app = tmp_path / "app.php"
    reason = unreadable_app(host(app))
    assert reason.startswith(f"app {app} does not exist")
    assert 'hosts."app.example.com".app' in reason
    app.touch()
    assert unreadable_app(host(app)) == ""


def test_an_app_of_another_user_is_told_so(tmp_path, monkeypatch):
    app = tmp_path / "app.php"
    app.touch()
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)  # root may read everything
    assert "is not readable by this user" in unreadable_app(host(app))


@pytest.mark.parametrize(
    ("number", "part"),
    [
        (errno.ENOEXEC, "#! line"),
        (errno.EMFILE, "LimitNOFILE"),
        (errno.ENFILE, "fs.file-max"),
        (errno.EAGAIN, "TasksMax"),
        (errno.ENOMEM, "no memory"),
        (errno.ETXTBSY, "renaming"),
        (errno.E2BIG, "more arguments"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_failed_start_says_what_to_do(number, part):
    reason = why_not_started(OSError(number, os.strerror(number)), "/srv/app", host("/srv/app"))
    assert reason.startswith("/srv/app ")
    assert part in reason
