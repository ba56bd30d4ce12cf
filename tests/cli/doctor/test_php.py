from __future__ import annotations

import json
from dataclasses import replace

import pytest

from phlows_cli.cli.doctor import php
from phlows_cli.errors import PhlowsError, TimedOutError

ONE_SHOT = '[hosts."app.test"]\napp = "app.php"\n'
RESIDENT = ONE_SHOT + 'runtime = "resident"\n'
FACTS = {
    "version": "8.3.1",
    "sapi": "cli",
    "zts": 0,
    "extensions": ["Core", "json"],
    "ini": "/etc/php.ini",
    "opcache": "0",
    "file_cache": "",
    "jit": "off",
    "jit_buffer": "0",
}
CACHED = {"extensions": ["Zend OPcache"], "opcache": "1", "file_cache": "/var/cache/php"}


@pytest.fixture
def with_php(case, tmp_path):
    """A case whose PHP is a script that says this of itself."""

    def make(text="", script=None, **facts):
        program = tmp_path / "php"
        told = json.dumps({**FACTS, **facts})
        program.write_text(script or f"#!/bin/sh\ncat <<'END'\n{told}\nEND\n")
        program.chmod(0o755)
        return case(f'[interpreters]\nphp = "{program}"\n{text}')

    return make


@pytest.mark.php
@pytest.mark.parametrize("name", ["php", "php-start", "php-extensions", "jit"])
def test_the_real_php_is_looked_at(look, case, name):
    given = case(ONE_SHOT)
    result = look(name, given)
    assert result.status in ("ok", "warn")
    if name == "php":
        assert result.message.startswith(f"{given.config.interpreters.php}, version ")


@pytest.mark.php
def test_the_real_php_tells_whether_opcache_keeps_what_it_compiles(look, case):
    result = look("opcache", case(ONE_SHOT))
    assert result.status in ("ok", "warn")
    assert "opcache" in result.message or "compiled code is kept" in result.message


def test_no_php_is_a_failure_only_where_an_app_needs_it(look, case, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert look("php", case(ONE_SHOT)).status == "fail"
    assert look("php", case()).status == "skip"
    for name in ("php-start", "php-extensions", "opcache", "jit"):
        assert look(name, case(ONE_SHOT)).status == "skip", name


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({}, "ok"),
        ({"zts": 1}, "ok"),
        ({"version": "7.4.33"}, "fail"),
        ({"sapi": "cgi-fcgi"}, "fail"),
    ],
)
def test_a_php_that_cannot_run_apps_is_a_failure(look, with_php, facts, status):
    assert look("php", with_php(ONE_SHOT, **facts)).status == status


@pytest.mark.parametrize(
    "script", ["#!/bin/sh\necho hello\n", "#!/none/such\n", "#!/bin/sh\nexit 1\n"]
)
def test_a_php_that_is_none_is_told(look, with_php, script):
    result = look("php", with_php(ONE_SHOT, script=script))
    assert result.status == "fail"
    assert "php-cli" in result.hint
    assert look("php", with_php(script=script)).status == "warn"


def test_a_php_that_hangs_is_ended_in_time(with_php, look):
    given = replace(with_php(ONE_SHOT, script="#!/bin/sh\nsleep 600\n"), timeout=0.15)
    assert look("php", given).status == "fail"
    for name in ("php-start", "php-extensions", "jit"):
        with pytest.raises((TimedOutError, PhlowsError)):
            look(name, given)


def test_a_slow_start_matters_to_one_shot_apps_only(look, with_php, monkeypatch):
    assert look("php-start", with_php(ONE_SHOT)).status == "ok"
    monkeypatch.setattr(php, "SLOW_START", 0.0)
    result = look("php-start", with_php(ONE_SHOT))
    assert (result.status, 'runtime = "resident"' in result.hint) == ("warn", True)
    assert look("php-start", with_php(RESIDENT)).status == "ok"


def test_extensions_that_slow_everything_are_named(look, with_php):
    assert look("php-extensions", with_php()).status == "ok"
    result = look("php-extensions", with_php(extensions=["Core", "xdebug"]))
    assert (result.status, "xdebug slows" in result.message) == ("warn", True)
    assert "phpdismod -s cli xdebug" in result.hint


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({}, "warn"),
        ({**CACHED, "opcache": "0"}, "warn"),
        ({**CACHED, "file_cache": ""}, "warn"),
        (CACHED, "ok"),
    ],
)
def test_one_shot_apps_want_a_file_cache(look, with_php, facts, status):
    assert look("opcache", with_php(ONE_SHOT, **facts)).status == status
    assert look("opcache", with_php(RESIDENT, **facts)).status == "skip"


def test_jit_is_for_resident_apps(look, with_php):
    facts = {**CACHED, "jit": "tracing", "jit_buffer": "64M"}
    assert look("jit", with_php(ONE_SHOT, **facts)).status == "warn"
    assert look("jit", with_php(RESIDENT, **facts)).status == "ok"
    assert look("jit", with_php(ONE_SHOT)).message == "JIT is off"
