from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from phlows_cli import config
from phlows_cli.config import (
    Bridge,
    Interpreters,
    Limits,
    Server,
    check_config,
    default_config_path,
    find_config,
    load_config,
    read_host,
)
from phlows_cli.config_values import ENV_LIMIT, UNIX_PATH_LIMIT
from phlows_cli.errors import ConfigError
from phlows_cli.model import HOOK_NAMES, Host
from phlows_cli.settings import HOST, SECTIONS

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


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


def write(text, path="phlows.toml"):
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def problems(text):
    return [(problem.line, problem.message) for problem in check_config(write(text))]


def the_problem(text):
    found = problems(text)
    assert len(found) == 1, found
    return found[0]


# Finding the file


def test_the_file_that_is_named_comes_first_whether_it_exists_or_not(monkeypatch):
    write("")
    monkeypatch.setenv("PHLOWS_CONFIG", "from-environment.toml")
    assert find_config("named.toml") == Path("named.toml")
    assert find_config(None) == Path("from-environment.toml")


def test_without_a_name_the_working_folder_then_the_user_then_the_system(
    folder, monkeypatch, tmp_path
):
    system = write("", str(tmp_path / "etc/phlows.toml"))
    monkeypatch.setattr(config, "SYSTEM_FILE", system)
    monkeypatch.setenv("PHLOWS_CONFIG", "")
    assert find_config(None) == system
    import click

    user = write("", f"{click.get_app_dir('phlows')}/phlows.toml")
    assert str(user).startswith(str(tmp_path / "home"))
    assert find_config(None) == user
    write("")
    assert find_config(None) == folder / "phlows.toml" == default_config_path()


def test_no_file_anywhere_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "SYSTEM_FILE", tmp_path / "none")
    assert find_config(None) is None


def test_the_system_file_is_where_packages_put_it():
    assert Path("/etc/phlows/phlows.toml") == config.SYSTEM_FILE


def test_importing_the_configuration_is_light():
    heavy = "click asyncio requests rich uvloop websockets httptools msgspec shutil subprocess json"
    code = f"import sys, phlows_cli.config; print(*sorted(set({heavy.split()}) & set(sys.modules)))"
    source = Path(config.__file__).parents[1]
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=source)
    assert done.stdout.split() == []


# Defaults


def test_without_a_file_every_setting_has_its_default():
    loaded = load_config(None)
    assert loaded.path is None
    assert loaded.hosts == {}
    assert loaded.server == Server(
        listen=("127.0.0.1",),
        port=3001,
        paths=("/websocket",),
        trusted_proxies=(ip_network("127.0.0.1"), ip_network("::1")),
        ping_interval=25.0,
        drain_timeout=30.0,
        close_timeout=1.0,
        state_dir=loaded.server.state_dir,
        journal="sqlite",
        tls_cert="",
        tls_key="",
        log_format="text",
    )
    assert loaded.bridge == Bridge(
        allow=(ip_network("127.0.0.0/8"), ip_network("::1/128")),
        allow_unix=False,
        names=frozenset(),
        key_file=loaded.server.state_dir / "key",
        body_limit=1048576,
    )
    assert loaded.limits == Limits(
        max_connections=0,
        max_message=65536,
        send_buffer=262144,
        send_total=268435456,
        pending_events=64,
        message_rate=0.0,
        handshake_rate=0.0,
        per_address=0.0,
        handshake_timeout=10.0,
        auth_timeout=10.0,
        concurrency=4 * CORES,
        queue=1000,
        output=1048576,
    )


def test_an_empty_file_says_the_same_as_none():
    empty, none = load_config(write("")), load_config(None)
    assert (empty.server, empty.bridge, empty.limits) == (none.server, none.bridge, none.limits)
    assert empty.path == Path("phlows.toml")


def test_a_host_needs_no_more_than_its_app(folder):
    host = load_config(write('[hosts.a]\napp = "app.py"')).hosts["a"]
    assert host == Host(
        name="a",
        app=str(folder / "app.py"),
        hook_class="ws",
        hooks=frozenset(HOOK_NAMES),
        auth="message",
        token_cookie="token",
        origins=(),
        timeout=30.0,
        concurrency=max(4, 2 * CORES),
        env={},
    )


@pytest.mark.parametrize("table", [*SECTIONS, "hosts"])
def test_the_table_of_settings_names_every_field(table):
    made = {"server": Server, "bridge": Bridge, "limits": Limits, "interpreters": Interpreters}
    kind = made.get(table, Host)
    names = {setting.name for setting in SECTIONS.get(table, HOST)}
    apart = {"path": "paths"}
    assert {apart.get(name, name) for name in names} == {f.name for f in fields(kind)} - {
        "allow_unix" if kind is Bridge else "name" if kind is Host else ""
    }


# Values


def test_every_setting_can_be_set(folder):
    python = Path(sys.executable)
    (folder / "bin").mkdir()
    (folder / "bin" / "php").symlink_to("/bin/sh")
    loaded = load_config(
        write(
            f"""
            [server]
            listen = ["0.0.0.0", "::1", "localhost", "unix:/run/phlows.sock"]
            port = 8080
            path = ["/websocket", "*"]
            trusted_proxies = ["10.0.0.0/8", "fe80::1"]
            ping_interval = 5
            drain_timeout = 0
            close_timeout = 0.5
            state_dir = "state"
            journal = "memory"
            tls_cert = "cert.pem"
            tls_key = "key.pem"
            log_format = "json"
            [bridge]
            allow = ["unix", "192.168.1.1"]
            names = ["Bridge.Local:3001"]
            key_file = "/run/key"
            body_limit = 2048
            [limits]
            max_connections = 10
            max_message = 1000
            send_buffer = 2000
            send_total = 3000
            pending_events = 4
            message_rate = 0.5
            handshake_rate = 2.5
            per_address = 1.5
            handshake_timeout = 1
            auth_timeout = 2
            concurrency = 3
            queue = 5
            output = 6000
            [interpreters]
            php = "bin/php"
            py = "{python}"
            [hosts."App.Example.com:443"]
            app = "/srv/app.php"
            runtime = "resident"
            max_jobs = 1
            spare = 3
            idle_timeout = 0.5
            watch_app = true
            tick = "tasks::run"
            hook_class = 'App\\websocket'
            hooks = ["receive", "auth"]
            auth = "upgrade"
            token_cookie = ""
            origins = ["HTTPS://Other.example:8443", "capacitor://localhost", "http://[::1]:80"]
            timeout = 1.5
            concurrency = 2
            max_connections = 7
            key_file = "host.key"
            env = {{ APP_ENV = "production", EMPTY = "" }}
            """
        )
    )
    assert loaded.server == Server(
        listen=("0.0.0.0", "::1", "localhost", "unix:/run/phlows.sock"),
        port=8080,
        paths=("/websocket", "*"),
        trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("fe80::1")),
        ping_interval=5.0,
        drain_timeout=0.0,
        close_timeout=0.5,
        state_dir=folder / "state",
        journal="memory",
        tls_cert=str(folder / "cert.pem"),
        tls_key=str(folder / "key.pem"),
        log_format="json",
    )
    assert loaded.bridge == Bridge(
        allow=(ip_network("192.168.1.1"),),
        allow_unix=True,
        names=frozenset({"bridge.local"}),
        key_file=Path("/run/key"),
        body_limit=2048,
    )
    assert loaded.limits == Limits(10, 1000, 2000, 3000, 4, 0.5, 2.5, 1.5, 1.0, 2.0, 3, 5, 6000)
    assert loaded.interpreters == Interpreters(str(folder / "bin" / "php"), str(python))
    assert loaded.hosts == {
        "app.example.com": Host(
            name="app.example.com",
            app="/srv/app.php",
            hook_class="App\\websocket",
            hooks=frozenset({"receive", "auth"}),
            auth="upgrade",
            token_cookie="",
            origins=("https://other.example:8443", "capacitor://localhost", "http://[::1]:80"),
            timeout=1.5,
            concurrency=2,
            env={"APP_ENV": "production", "EMPTY": ""},
            runtime="resident",
            max_jobs=1,
            spare=3,
            idle_timeout=0.5,
            watch_app=True,
            tick="tasks::run",
            max_connections=7,
            key_file=str(folder / "host.key"),
        )
    }


@pytest.mark.parametrize("name", ["message_rate", "handshake_rate", "per_address", "auth_timeout"])
def test_a_whole_number_will_do_for_a_time_or_a_rate(name):
    value = getattr(load_config(write(f"[limits]\n{name} = 7")).limits, name)
    assert (value, type(value)) == (7.0, float)


def test_one_text_will_do_for_a_list_of_addresses_or_paths():
    server = load_config(write('[server]\nlisten = "::"\npath = "/"')).server
    assert (server.listen, server.paths) == (("::",), ("/",))


def test_a_host_that_has_no_auth_hook_has_auth_none():
    hosts = load_config(
        write(
            '[hosts.a]\napp = "x"\nhooks = ["receive"]\n[hosts.b]\nhooks = []\nauth = "none"\n'
            '[hosts.c]\napp = "x"\nauth = "none"\n'
        )
    ).hosts
    assert [hosts[name].auth for name in "abc"] == ["none", "none", "none"]
    assert hosts["b"].app == ""
    assert hosts["c"].hooks == frozenset(HOOK_NAMES)


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path):
    file = write(
        '[server]\nstate_dir = "s"\n[hosts.a]\napp = "../a.py"', str(tmp_path / "c/p.toml")
    )
    loaded = load_config(file)
    assert loaded.server.state_dir == tmp_path / "c" / "s"
    assert loaded.bridge.key_file == tmp_path / "c" / "s" / "key"
    assert loaded.hosts["a"].app == str(tmp_path / "c" / "../a.py")


def test_a_tilde_is_the_home_folder(tmp_path):
    loaded = load_config(write('[bridge]\nkey_file = "~/key"'))
    assert loaded.bridge.key_file == tmp_path / "home" / "key"


# The state folder


def test_systemd_says_where_the_state_is(monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two")
    assert load_config(None).server.state_dir == Path("/var/lib/one")


def test_root_keeps_its_state_in_var_lib(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert load_config(None).server.state_dir == Path("/var/lib/phlows")


@pytest.mark.skipif(sys.platform != "linux", reason="the XDG folders are Linux's")
@pytest.mark.parametrize(
    ("given", "state"),
    [("/x/state", "/x/state/phlows"), ("not/absolute", None), ("", None)],
)
def test_a_user_keeps_its_state_in_the_xdg_folder(monkeypatch, tmp_path, given, state):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", given)
    wanted = Path(state) if state else tmp_path / "home/.local/state/phlows"
    assert load_config(None).server.state_dir == wanted


def test_without_any_home_the_state_folder_must_be_named(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 987654)
    monkeypatch.setattr(os, "getuid", lambda: 987654)
    monkeypatch.delenv("HOME")
    with pytest.raises(ConfigError, match=r"server\.state_dir has no default without a home"):
        load_config(None)
    assert load_config(write('[server]\nstate_dir = "/s"')).server.state_dir == Path("/s")
    text = '[server]\nstate_dir = "/s"\n[bridge]\nkey_file = "~/key"'
    sentence = "bridge.key_file is '~/key', in a home that is not known: write it whole"
    assert the_problem(text) == (4, sentence)


# Interpreters


def program(name):
    file = write("#!/bin/sh\n", name)
    file.chmod(0o755)
    return file


def test_php_zts_goes_before_php(folder, monkeypatch):
    program("b/php")
    monkeypatch.setenv("PATH", f"a:{folder}/b")
    assert load_config(None).interpreters.php == str(folder / "b/php")
    program("b/php-zts")
    assert load_config(None).interpreters.php == str(folder / "b/php-zts")
    program("a/php-zts")
    # Hooks run in the app's folder, so a relative PATH must not stay relative.
    assert load_config(None).interpreters.php == str(folder / "a/php-zts")


def test_without_php_there_is_none_and_python_is_our_own(folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder))
    assert load_config(None).interpreters == Interpreters("", sys.executable)


def test_a_name_is_looked_up_on_the_path(folder, monkeypatch):
    found = program("bin/pypy")
    monkeypatch.setenv("PATH", str(folder / "bin"))
    loaded = load_config(write('[interpreters]\npy = "pypy"'))
    assert loaded.interpreters.py == str(folder / found)


@pytest.mark.parametrize(
    ("name", "where"), [("no-such-php", "not on PATH"), ("./phlows.toml", "not a program")]
)
def test_an_interpreter_that_is_not_there_is_a_problem(name, where):
    line, message = the_problem(f'[interpreters]\n\nphp = "{name}"')
    assert line == 3
    assert message.startswith("interpreters.php is ")
    assert message.endswith(f"which is {where}: install it or name another")


# Problems


@pytest.mark.parametrize("setting", [s for s in SECTIONS["server"] if s.high], ids=lambda s: s.name)
def test_a_number_of_the_server_is_bounded(setting):
    _check_bounds("server", setting)


@pytest.mark.parametrize("setting", [s for s in SECTIONS["limits"] if s.high], ids=lambda s: s.name)
def test_a_limit_is_bounded(setting):
    _check_bounds("limits", setting)


@pytest.mark.parametrize("setting", [s for s in HOST if s.high], ids=lambda s: s.name)
def test_a_number_of_a_host_is_bounded(setting):
    _check_bounds("hosts.a", setting, "hooks = []\n")


def _check_bounds(table, setting, more=""):
    for bound in (setting.low, setting.high):
        value = int(bound) if bound == int(bound) else bound
        assert problems(f"[{table}]\n{more}{setting.name} = {value}") == []
    for value in (setting.low - 1, setting.high + 1):
        shown = int(value) if value == int(value) else value
        line, message = the_problem(f"[{table}]\n{more}{setting.name} = {shown}")
        assert line == 2 + more.count("\n")
        assert message.startswith(f"{table}.{setting.name} is {shown}: it must be ")
        assert message.endswith(setting.bounds)


def test_every_number_has_a_bound_a_default_inside_it_and_a_reason():
    numbers = 0
    for setting in (*HOST, *(s for table in SECTIONS.values() for s in table)):
        assert setting.reason
        is_number = type(setting.default) in (int, float)
        assert is_number == bool(setting.high), setting.name
        assert bool(setting.unit) == (is_number and setting.name != "port"), setting.name
        if is_number:
            assert setting.low <= setting.default <= setting.high
            numbers += 1
    assert numbers >= 21


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[sever]\n", 1, "unknown key sever: did you mean server?"),
        ("[server]\nprot = 1\n", 2, "unknown key server.prot: did you mean port?"),
        ("server.prot = 1\n", 1, "unknown key server.prot: did you mean port?"),
        ("x = 1\n", 1, "unknown key x: known are server, bridge, limits, interpreters, hosts"),
        ("[interpreters]\nruby = 'x'\n", 2, "unknown key interpreters.ruby: known are php, py"),
        (
            '[hosts."a.b"]\nhooks = []\nhook_clas = "x"\n',
            3,
            'unknown key hosts."a.b".hook_clas: did you mean hook_class?',
        ),
        ("[hosts]\na = { hooks = [], spares = 1 }\n", 2, "unknown key hosts.a.spares: "),
        ("server = 1\n", 1, "server must be a table, not a whole number"),
        ("hosts = 1\n", 1, "hosts must be a table, not a whole number"),
        ("[hosts]\na = 'x'\n", 2, "hosts.a must be a table, not text"),
        ("[[hosts]]\n", 1, "hosts must be a table, not a list"),
        ("[server]\nport = 3001.0\n", 2, "server.port is 3001.0: it must be a whole number"),
        ("[server]\nport = true\n", 2, "server.port is true: it must be a whole number"),
        ("[limits]\nconcurrency = 2.5\n", 2, "concurrency is 2.5: it must be a whole number"),
        ("[server]\nport = 'abc'\n", 2, "port is 'abc': it must be a whole number, without quotes"),
        ("[server]\nport = [1]\n", 2, "server.port must be a whole number, not a list"),
        (f"[server]\nport = '{'x' * 99}'\n", 2, f"port is '{'x' * 39}...: it must be a whole"),
        (
            "[server]\nping_interval = '9'\n",
            2,
            "ping_interval is '9': it must be a number, ",
        ),
        (f"[server]\nport = 1{'0' * 4000}\n", 2, "port is 10000000000000000000...: it must be 0 "),
        (f"[server]\ndrain_timeout = 1{'0' * 4000}\n", 2, "must be a number, not inf"),
        ("[server]\nping_interval = nan\n", 2, "server.ping_interval must be a number, not nan"),
        ("[server]\ndrain_timeout = inf\n", 2, "server.drain_timeout must be a number, not inf"),
        ("[server]\ndrain_timeout = 1979-05-27\n", 2, "must be a number, not a date or time"),
        ("[server]\nlisten = []\n", 2, "server.listen must not be empty"),
        ("[server]\nlisten = 1\n", 2, "server.listen must be text, not a whole number"),
        ("[server]\nlisten = ['::1', '::1']\n", 2, "server.listen has '::1' twice"),
        ("[server]\nlisten = 'a:80'\n", 2, "'a:80', which is not an address alone: the port is"),
        ("[server]\nlisten = '[::1]'\n", 2, "'[::1]', which is not an address alone"),
        ("[server]\nlisten = 'a b'\n", 2, "'a b', which is not an address, a host name or unix:"),
        ("[server]\nlisten = '::zz'\n", 2, "server.listen has '::zz', which is not an address"),
        ("[server]\nlisten = 'unix:x'\n", 2, "'unix:x': a unix socket needs its whole path"),
        ("[server]\nlisten = ''\n", 2, "server.listen has '', which is not an address"),
        ("[server]\npath = 'ws'\n", 2, "'ws', which is not a URL path: it must begin with"),
        ("[server]\npath = ['/a', '/b?c', '/d e']\n", 2, "'/b?c', which is not"),
        ("[server]\ntrusted_proxies = '::1'\n", 2, "must be a list of text, not text"),
        ("[server]\ntrusted_proxies = ['unix']\n", 2, "'unix', which need not be named"),
        (
            "[server]\ntrusted_proxies = ['10.0.0.1/8', 'x']\n",
            2,
            "(did you mean 10.0.0.0/8?); 'x', which is not an address or network such as",
        ),
        ("[server]\nlog_format = 'xml'\n", 2, "is 'xml': it must be text or json"),
        ("[server]\nstate_dir = ['x']\n", 2, "server.state_dir must be text, not a list"),
        ("[server]\nstate_dir = 'a\\u0000'\n".replace("'", '"'), 2, "must not hold a NUL"),
        ("[bridge]\nallow = ['unixx']\n", 2, "bridge.allow has 'unixx', which is not an address"),
        ("[bridge]\nnames = ['a/b']\n", 2, "bridge.names has 'a/b' is not a host name"),
        ("[hosts.a]\n", 1, "hosts.a has hooks but no app: name its app, or write hooks = []"),
        ("[hosts.a]\napp = ''\n", 1, "hosts.a has hooks but no app"),
        ("[hosts.a]\napp = 1\n", 2, "hosts.a.app must be text, not a whole number: write it in q"),
        ("[hosts.a]\napp = 'ftp://x/'\n", 2, "is 'ftp://x/': a URL must begin with http:// or"),
        ("[hosts.a]\napp = 'http://'\n", 2, "is not a URL such as http://127.0.0.1:8080/hooks"),
        ("[hosts.a]\napp = 'http://x:99999/'\n", 2, "hosts.a.app is not a URL such as http"),
        ("[hosts.a]\napp = 'http://x/a b'\n", 2, "is not a URL such as http://127.0.0.1:8080"),
        ("[hosts.a]\napp = 'http://x/#a'\n", 2, "is not a URL such as http://127.0.0.1:8080/h"),
        (
            "[hosts.a]\napp = 'x'\nruntime = 'fast'\n",
            3,
            "hosts.a.runtime is 'fast': it must be oneshot or resident",
        ),
        ("[hosts.a]\napp = 'x'\nwatch_app = 1\n", 3, "must be true or false, not a whole number"),
        ("[hosts.a]\napp = 'x'\ntick = '1'\n", 3, "is '1', which is not a call such as \"tasks"),
        ("[hosts.a]\nhooks = []\ntick = 'a'\n", 3, "hosts.a.tick is set, but no app to run it"),
        ("[hosts.a]\napp = 'x'\nhook_class = 'a::b'\n", 3, "hosts.a.hook_class is 'a::b', which"),
        ("[hosts.a]\napp = 'x'\nhook_class = ''\n", 3, "hosts.a.hook_class is '', which is not"),
        ("[hosts.a]\napp = 'x'\nhooks = ['recieve']\n", 3, "'recieve', which is not a hook: the h"),
        ("[hosts.a]\napp = 'x'\nhooks = 'auth'\n", 3, "hooks must be a list of text, not text"),
        ("[hosts.a]\napp = 'x'\nauth = 'cookie'\n", 3, "must be message, upgrade or none"),
        ("[hosts.a]\napp = 'x'\nauth = ''\n", 3, "hosts.a.auth is '': it must be message"),
        (
            "[hosts.a]\napp = 'x'\nauth = 'upgrade'\nhooks = ['connect']\n",
            3,
            "hosts.a.auth is 'upgrade', but hooks has no auth: write \"none\"",
        ),
        ("[hosts.a]\nhooks = []\nauth = 'message'\n", 3, "is 'message', but hooks has no auth"),
        ("[hosts.a]\nhooks = []\ntoken_cookie = 'a b'\n", 3, "is 'a b', which is not a cookie na"),
        ("[hosts.a]\nhooks = []\norigins = ['a.com']\n", 3, "'a.com', which is not \"scheme://ho"),
        ("[hosts.a]\nhooks = []\norigins = ['http://a/']\n", 3, "'http://a/', which is not"),
        ("[hosts.a]\nhooks = []\norigins = ['http://a:0']\n", 3, "'http://a:0', which is not"),
        ("[hosts.a]\nhooks = []\norigins = ['http://*.a']\n", 3, "'http://*.a', which is not"),
        ("[hosts.a]\nhooks = []\norigins = ['null']\n", 3, "'null', which is not"),
        ("[hosts.a]\nhooks = []\nenv = ['A=1']\n", 3, "hosts.a.env must be a table of text, not a"),
        ("[hosts.a]\nhooks = []\nenv.A = 1\n", 3, "hosts.a.env.A must be text, not a whole number"),
        (
            "[hosts.a]\nhooks = []\n[hosts.a.env]\nB = '1'\n'A=' = '1'\n",
            5,
            'hosts.a.env."A=" is not a name for an environment variable',
        ),
        ("[hosts.a.b]\n", 1, "unknown key hosts.a.b"),
        ("[hosts.'a b']\nhooks = []\n", 1, "'a b' is not a host name"),
        ("[hosts.'']\nhooks = []\n", 1, "'' is not a host name"),
        ("[hosts.'*.a']\nhooks = []\n", 1, "'*.a' is not a host name"),
        ("[hosts.'https://a']\nhooks = []\n", 1, "'https://a' is not a host name: write it alone"),
        ("[hosts.'a..b']\nhooks = []\n", 1, "'a..b' is not a host name"),
        (f"[hosts.'ü{'x' * 70}']\nhooks = []\n", 1, "is not a host name"),
        ("[hosts.'::zz']\nhooks = []\n", 1, "'::zz'"),
        ("[hosts.'bücher.de']\nhooks = []\n", 1, "browsers send 'xn--bcher-kva.de', so write that"),
    ],
)
def test_a_problem_is_reported_with_its_line_and_what_to_do(text, line, message):
    found = problems(text)
    assert found[0][0] == line
    assert message in found[0][1]
    assert len(found) == 1 + (found[0][1].startswith("unknown key hosts.a.b"))
    with pytest.raises(ConfigError) as caught:
        load_config(Path("phlows.toml"))
    assert str(caught.value) == f"phlows.toml:{line}: {found[0][1]}"
    assert caught.value.exit_code == 2


def first_of(text):
    """The line and sentence of the one problem that a start names."""
    with pytest.raises(ConfigError) as caught:
        load_config(write(text))
    return caught.value.line, caught.value.message


def test_an_unknown_key_is_told_before_what_may_come_of_it():
    text = "[hosts.foo]\ntimeout = 'x'\nap = 'x.php'\n"
    assert first_of(text) == (3, "unknown key hosts.foo.ap: did you mean app?")
    assert [line for line, _ in problems(text)] == [1, 2, 3], "check still tells all, in order"


def test_an_unknown_key_of_another_table_waits_for_its_line():
    text = "[hosts.a]\n[hosts.b]\nap = 'x.php'\n[server]\nprot = 1\n"
    assert first_of(text)[1].startswith("hosts.a has hooks but no app")


def test_a_host_name_may_be_an_address():
    text = "[hosts.'[::1]:3001']\nhooks = []\n[hosts.'127.0.0.1']\nhooks = []\n"
    assert list(load_config(write(text)).hosts) == ["::1", "127.0.0.1"]


def test_a_host_that_is_there_twice_is_a_problem_that_names_both_lines():
    text = "[hosts.'A.b.']\nhooks = []\n[hosts.c]\nhooks = []\n[hosts.'a.B:443']\nhooks = []\n"
    assert the_problem(text) == (5, 'hosts."a.B:443" is the same host as in line 1: keep one')


def test_a_unix_path_and_an_environment_are_bounded():
    path = "/" + "x" * UNIX_PATH_LIMIT
    assert problems(f"[server]\nlisten = 'unix:{path[:-1]}'") == []
    line, message = the_problem(f"[server]\nlisten = 'unix:{path}'")
    assert message.endswith(f"its path is {UNIX_PATH_LIMIT + 1} bytes; at most 103 fit")
    value = "é" * (ENV_LIMIT // 2 - 1)
    assert problems(f"[hosts.a]\nhooks = []\nenv.A = '{value}'") == []
    line, message = the_problem(f"[hosts.a]\nhooks = []\nenv.A = '{value}x'")
    assert (line, message) == (3, "hosts.a.env.A is 65537 bytes with its name; at most 65536 fit")


def test_every_problem_is_reported_from_the_top_down():
    text = "[limits]\nqueue = 0\nx = 1\n[hosts.a]\ntimeout = 0\n[server]\nport = -1\n"
    assert [line for line, _ in problems(text)] == [2, 3, 4, 5, 7]
    assert first_of(text.replace("x = 1", "")) == (2, problems(text)[0][1])


def test_a_missing_file_is_an_error_that_names_it():
    with pytest.raises(ConfigError, match=r"nowhere\.toml: there is no such config file"):
        load_config(Path("nowhere.toml"))
    assert [str(problem) for problem in check_config(Path("nowhere.toml"))] == [
        "nowhere.toml: there is no such config file"
    ]


def test_a_folder_is_not_a_config_file(folder):
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(folder)


def test_a_huge_file_is_refused_unread(monkeypatch):
    monkeypatch.setattr(config, "SIZE_LIMIT", 10)
    assert check_config(write("#123456789")) == []
    with pytest.raises(ConfigError, match="over 10 bytes: not a config file"):
        load_config(write("#1234567890"))


def test_a_file_that_is_not_toml_says_where():
    assert the_problem("[server]\nport = \n") == (2, "not valid TOML: invalid value")


# A table that is not in the file yet


def test_a_host_can_be_read_before_it_is_written(folder):
    host = read_host("A.b:80", {"app": "x.py", "timeout": 2}, folder / "etc" / "phlows.toml")
    assert (host.name, host.app, host.timeout) == ("a.b", str(folder / "etc/x.py"), 2.0)
    with pytest.raises(ConfigError) as caught:
        read_host("a.b", {"app": "x.py", "timeout": 0}, folder / "phlows.toml")
    assert str(caught.value) == 'hosts."a.b".timeout is 0: it must be 0.1 to 3600 seconds'
    with pytest.raises(ConfigError, match="is not a host name"):
        read_host("a b", {"app": "x.py"}, folder / "phlows.toml")
    with pytest.raises(ConfigError, match=r"hosts\.a\.app must be UTF-8"):
        read_host("a", {"app": "\udcff.py"}, folder / "phlows.toml")


# Anything at all


VALUES = st.recursive(
    st.none().map(lambda _: True)
    | st.integers(-10, 2**40)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["auth", "::1", "unix:/x", "http://a", "*", "/", "upgrade", "1979-05-27"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=4,
)


def _table(settings):
    known = st.sampled_from([setting.name for setting in settings])
    return st.dictionaries(known | st.text(max_size=4), VALUES, max_size=5) | VALUES


@given(
    st.fixed_dictionaries(
        {},
        optional={name: _table(settings) for name, settings in SECTIONS.items()}
        | {"hosts": st.dictionaries(st.text(max_size=5), _table(HOST), max_size=3)},
    )
)
def test_any_toml_is_a_config_or_a_list_of_problems_with_lines(tmp_path_factory, root):
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(tomli_w.dumps(root).encode("utf-8", "replace"))
    lines = file.read_bytes().count(b"\n") + 1
    found = check_config(file)
    assert all(0 < problem.line <= lines for problem in found)
    assert [problem.line for problem in found] == sorted(problem.line for problem in found)
    if found:
        with pytest.raises(ConfigError):
            load_config(file)
    else:
        assert len(load_config(file).hosts) == len(root.get("hosts", {}))


@given(st.binary(max_size=40))
def test_any_bytes_are_a_config_or_an_error(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "bytes.toml"
    file.write_bytes(content)
    for problem in check_config(file):
        assert str(problem).startswith(str(file))
