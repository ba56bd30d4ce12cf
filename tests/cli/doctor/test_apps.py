from __future__ import annotations

import socket
import ssl
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from phlows_cli.cli.doctor.app_text import AppText
from tests.certs import ONE

ROOT = Path(__file__).parents[3]
PHLOWS_PHP = ROOT / "phlows_cli" / "assets" / "phlows.php"
HOST = '[hosts."app.test"]\n'
FIRST = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom phlows_cli.app import run\n"
PROOF = "def {hook}(*args, **data):\n    open('hook-ran', 'w').close()\n    return True\n"
GOOD = (
    FIRST
    + "".join(PROOF.format(hook=f"ws_{name}") for name in ("connect", "auth", "receive", "close"))
    + "run()\n"
)


@pytest.fixture
def examined(look, case, tmp_path):
    """Makes a check of the app of this text."""

    def run(name, text, kind="py", more="", **changes):
        path = tmp_path / f"app.{kind}"
        path.write_text(text)
        return look(name, replace(case(f'{HOST}app = "{path}"\n{more}'), **changes), "app.test")

    return run


RESIDENT = 'runtime = "resident"'


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("app-file", ""),
        ("app-parses", ""),
        ("app-boots", RESIDENT),
        ("app-hooks", ""),
    ],
)
def test_a_good_app_is_ok_and_none_of_its_hooks_is_run(examined, tmp_path, name, more):
    result = examined(name, GOOD, more=more)
    assert (result.status, result.hint) == ("ok", "")
    assert not (tmp_path / "hook-ran").exists()


def test_an_app_that_is_not_there_is_told_once(look, case):
    given = case(f'{HOST}app = "none.py"\n{RESIDENT}')
    assert look("app-file", given, "app.test").status == "fail"
    for name in ("app-parses", "app-boots", "app-hooks"):
        result = look(name, given, "app.test")
        assert (result.status, "see app-file" in result.message) == ("skip", True)


def test_an_app_that_is_a_folder_or_open_to_all_is_told(look, case, tmp_path, examined):
    (tmp_path / "folder.py").mkdir()
    assert look("app-file", case(f'{HOST}app = "folder.py"'), "app.test").status == "fail"
    assert examined("app-file", GOOD).status == "ok"
    (tmp_path / "app.py").chmod(0o666)
    result = look("app-file", case(f'{HOST}app = "app.py"'), "app.test")
    assert (result.status, "chmod o-w" in result.hint) == ("warn", True)


def test_a_syntax_error_in_python_is_told_with_its_line(examined):
    result = examined("app-parses", "x = 1\ndef broken(:\n")
    assert result.status == "fail"
    assert "line 2" in result.message


@pytest.mark.php
def test_a_syntax_error_in_php_is_told_with_its_line(examined):
    assert examined("app-parses", "<?php\necho 1;\n", "php").status == "ok"
    result = examined("app-parses", "<?php\n\nfunction {\n", "php")
    assert result.status == "fail"
    assert "on line 3" in result.message


def test_a_parser_that_hangs_is_told(examined, tmp_path):
    hangs = tmp_path / "php"
    hangs.write_text("#!/bin/sh\nexec sleep 600\n")
    hangs.chmod(0o755)
    more = f'[interpreters]\nphp = "{hangs}"\n'
    result = examined("app-parses", "<?php\n", "php", more, timeout=0.3)
    assert (result.status, "did not answer in" in result.message) == ("fail", True)


@pytest.mark.php
def test_a_php_app_boots_and_one_that_dies_is_told_with_its_words(examined):
    good = f"<?php\nrequire '{PHLOWS_PHP}';\nphlows_run();\n"
    assert examined("app-boots", good, "php", RESIDENT).status == "ok"
    bad = f"<?php\nrequire '{PHLOWS_PHP}';\nthrow new Exception('no database');\n"
    result = examined("app-boots", bad, "php", RESIDENT)
    assert result.status == "fail"
    assert "no database" in result.message


def test_a_python_app_that_dies_at_boot_is_told_with_its_words(examined):
    result = examined("app-boots", "raise SystemExit('no database here')\n", more=RESIDENT)
    assert result.status == "fail"
    assert "no database here" in result.message


def test_an_app_whose_python_lacks_phlows_is_told_what_to_install(examined):
    text = "raise ModuleNotFoundError(\"No module named 'phlows_cli'\")\n"
    result = examined("app-boots", text, more=RESIDENT)
    assert (result.status, "-m pip install phlows" in result.hint) == ("fail", True)
    assert "Traceback" not in result.message


def test_an_app_that_ends_without_a_word_or_hangs_is_told(examined):
    silent = examined("app-boots", "pass\n", more=RESIDENT)
    assert (silent.status, "said nothing" in silent.message) == ("fail", True)
    hangs = "import time\ntime.sleep(600)\n"
    result = examined("app-boots", hangs, more=RESIDENT, timeout=0.5)
    assert (result.status, "did not say that it is ready" in result.message) == ("fail", True)


def test_an_app_that_cannot_be_started_is_told(examined, tmp_path):
    result = examined("app-boots", "#!/none/such\n", "bin", RESIDENT)
    assert (result.status, "cannot be started" in result.message) == ("fail", True)


def test_a_one_shot_app_is_not_started(examined):
    result = examined("app-boots", "open('ran', 'w')\n")
    assert (result.status, "one-shot" in result.message) == ("skip", True)


def test_a_host_without_an_app_has_nothing_to_look_at(look, case):
    given = case('[hosts."app.test"]\nhooks = []')
    for name in ("app-file", "app-parses", "app-boots", "app-hooks", "app-url"):
        assert look(name, given, "app.test").message == "only pushed to: it has no app"


@contextmanager
def listening(tls=None):
    """Takes connections, and keeps what they send."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            taken, _ = server.accept()
            with taken:
                try:
                    with tls.wrap_socket(taken, server_side=True) if tls else taken as stream:
                        heard.append(stream.recv(100))
                except OSError:  # a client that does not trust us
                    heard.append(b"")

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], heard
        thread.join()


def test_a_url_is_connected_to_and_no_hook_is_called(look, case):
    with listening() as (port, heard):
        given = case(f'{HOST}app = "http://user:secret@127.0.0.1:{port}/hooks"')
        result = look("app-url", given, "app.test")
    assert (result.status, "secret" in result.message) == ("ok", False)
    assert heard == [b""]


def test_a_url_whose_certificate_nobody_trusts_is_told(look, case, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ONE)
    with listening(context) as (port, _):
        given = case(f'{HOST}app = "https://127.0.0.1:{port}/"')
        assert look("app-url", given, "app.test").status == "fail"
    monkeypatch.setenv("SSL_CERT_FILE", str(ONE[0]))
    with listening(context) as (port, heard):
        given = case(f'{HOST}app = "https://127.0.0.1:{port}/"')
        assert "TLSv1.3" in look("app-url", given, "app.test").message
    assert heard == [b""]


def test_a_url_that_nobody_serves_is_told_without_its_secrets(look, case):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    given = case(f'{HOST}app = "http://user:secret@127.0.0.1:{port}/hooks?key=secret"')
    result = look("app-url", given, "app.test")
    assert result.status == "fail"
    assert "secret" not in result.message
    assert look("app-url", case(f'{HOST}app = "{sys.executable}"'), "app.test").status == "skip"


def test_an_auth_hook_that_is_missing_lets_everyone_in(examined):
    result = examined("app-hooks", "from phlows_cli.app import run\ndef ws_receive(*a): pass\n")
    assert (result.status, "every token is let in" in result.message) == ("warn", True)


def test_hooks_that_are_configured_for_nothing_are_named(examined):
    text = "from phlows_cli.app import run, ws_cast\nasync def ws_auth(*a): return True\n"
    result = examined("app-hooks", text)
    assert result.status == "ok"
    assert "take close, connect, receive out of hooks" in result.hint
    assert examined("app-hooks", text, more=RESIDENT).hint == ""
    assert examined("app-hooks", "from phlows_cli.app import run\n").status == "warn"


def test_an_app_that_defines_another_class_is_told(examined):
    text = "<?php\nclass websocket {\n static function connect() {}\n}\n"
    result = examined("app-hooks", text, "php")
    assert result.status == "warn"
    assert 'hook_class = "websocket"' in result.hint
    assert examined("app-hooks", text, "php", 'hook_class = "websocket"').status == "ok"


@pytest.mark.parametrize(
    ("kind", "text", "status"),
    [
        ("php", "<?php\nfunction hello() { echo 'hello'; }\n", "warn"),
        ("php", "<?php\nrequire 'app.php';\n", "ok"),
        ("php", "<?php\n[$class, $hook] = explode('::', $argv[1]);\n", "ok"),
        ("php", "<?php\necho 'true';\n", "ok"),
        ("py", "import os, re as r\nfrom time import sleep\nprint(os.getpid())\n", "warn"),
        ("py", "import framework\nframework.start()\n", "ok"),
        ("py", "from . import app\n", "ok"),
        ("py", "import sys\nprint(sys.argv[1:])\n", "ok"),
    ],
)
def test_only_an_app_that_plainly_cannot_answer_is_warned_of(examined, kind, text, status):
    result = examined("app-hooks", text, kind)
    assert (result.status, "will fail" in result.message) == (status, status == "warn")


PHP = "<?php\nrequire __DIR__ . '/phlows.php';\nfunction wsAuth($h) {}\nphlows_run();\n"


@pytest.mark.parametrize(
    ("app", "text", "defined"),
    [
        ("a.php", PHP, {"auth"}),
        ("a.php", PHP + "require 'other.php';\n", None),
        ("a.php", "<?php echo 1;", None),
        ("a.py", "from phlows_cli.app import run\nfrom other import ws_auth\n", None),
        ("a.py", "from phlows_cli.app import run\nfrom other import *\n", None),
        ("a.py", "print(1)", None),
        ("a.sh", "ws_auth", None),
    ],
)
def test_a_text_that_cannot_tell_is_not_made_to(app, text, defined):
    assert AppText.read(app, text).defined == defined
