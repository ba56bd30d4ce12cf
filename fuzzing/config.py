"""phlows.toml: any bytes are a config, or a list of problems with their lines."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fuzzing.target import Target
from phlows_cli.config import check_config, load_config
from phlows_cli.errors import ConfigError
from phlows_cli.settings import HOST, SECTIONS

FILE = Path(tempfile.gettempdir()) / "phlows-fuzz" / f"{os.getpid()}.toml"


def check(data: bytes) -> None:
    """Hold a file to the rule."""
    _write(data)
    path, os.environ["PATH"] = os.environ["PATH"], ""  # interpreters are looked for there
    try:
        judge(data, check_config(FILE))
    finally:
        os.environ["PATH"] = path


def judge(data: bytes, problems: list[ConfigError]) -> None:
    """Hold what was found to the rule."""
    lines = data.count(b"\n") + 1
    for problem in problems:
        assert isinstance(problem, ConfigError)
        assert 0 <= problem.line <= lines, problem
        assert problem.message
        assert str(problem).startswith(str(FILE))
    if not problems:
        assert load_config(FILE).path == FILE
    elif not problems[0].message.startswith("not "):  # not TOML, not UTF-8: no way to differ
        _refuses()


def _write(data: bytes) -> None:
    try:
        FILE.write_bytes(data)
    except FileNotFoundError:
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_bytes(data)


def _refuses() -> None:
    try:
        load_config(FILE)
    except ConfigError:
        return
    raise AssertionError("loaded in spite of its problems")


NAMES = [setting.name for table in (*SECTIONS.values(), HOST) for setting in table]
TARGET = Target(
    "config",
    check,
    (
        b'[server]\nlisten = ["127.0.0.1", "unix:/run/p.sock"]\nport = 3001\npath = "*"\n',
        b'[bridge]\nallow = ["10.0.0.0/8", "unix"]\nnames = ["a.test"]\nbody_limit = 4096\n',
        b"[limits]\nmax_message = 65536\nmessage_rate = 1.5\nqueue = 1\n[interpreters]\npy = 'p'\n",
        b'[hosts."a.test"]\napp = "app.py"\nruntime = "resident"\nhooks = ["receive"]\nspare = 2\n',
        b'[hosts."a.test"]\napp = "app.py"\ntimeout = 2\nenv = { A = "b" }\n',
        b'[hosts.b]\napp = "https://b.test/hook"\nauth = "upgrade"\norigins = ["https://c.test"]\n',
        b'hosts = { a = { hooks = [] } } # x\nserver.port = 0x10\n[limits]\n"queue" = 1_000\n',
    ),
    (
        *(name.encode() for name in sorted(set(NAMES))),
        *(b"[server]\n", b"[hosts.a]\n", b"[[hosts]]\n", b" = ", b"\n", b'"', b"'", b'"""', b"'''"),
        *(b"[", b"]", b"{", b"}", b".", b",", b"#", b"=", b"\\", b"\\u0000", b"\\ud800", b"\xff"),
        *(b"true", b"1979-05-27", b"07:32:00", b"inf", b"nan", b"-1", b"1e400", b"9" * 20),
        *(b"9" * 5000, b"0x", b"::1", b"unix:", b"http://", b"https://a:b@c", b"*", b"\r\n", b"\0"),
    ),
)
