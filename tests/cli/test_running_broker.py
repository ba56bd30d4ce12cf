"""reload, drain and status against the real thing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.certs import ONE, TWO


class Running:
    """A `phlows serve` and the commands that call it."""

    def __init__(self, program, environ, path):
        self._program = program
        self.path = path
        self.process = subprocess.Popen(
            [sys.executable, "-m", "phlows_cli", "serve", "--config", str(path), "--json"],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self.process.stderr.readline()
        (self.url,) = json.loads(line)["addresses"]

    def __call__(self, *args, **settings):
        return self._program(*args, "--url", self.url, "--config", str(self.path), **settings)

    def ends(self):
        """Its exit code, once it has ended."""
        _, rest = self.process.communicate(timeout=30)
        assert "Traceback" not in rest
        return self.process.returncode


@pytest.fixture
def broker(program, environ, config):
    path = config("app.test", port=0)
    running = Running(program, environ, path)
    yield running
    if running.process.poll() is None:
        running.process.terminate()
        assert running.ends() == 0
    running.process.stderr.close()


def test_reload_tells_what_it_changed_and_then_that_nothing_has(broker, config):
    config("app.test", "new.test", port=0)
    done = broker("reload", "--json")
    changes = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    # The broker looks at the file every second: it may have been first.
    assert changes["added"] in (["new.test"], [])
    assert json.loads(broker("status", "--json").stdout)["configured"] == ["app.test", "new.test"]
    assert broker("reload").stdout == "nothing has changed\n"


def test_reload_names_what_needs_a_restart(broker, config):
    config("app.test", port=0, text='path = "/ws"')
    assert broker("reload").stdout == "needs a restart: server.path\n"


def test_a_file_that_is_wrong_is_exit_code_2_and_changes_nothing(broker, config):
    config("other.test", port=0, text="prot = 1")
    done = broker("reload")
    assert done.returncode == 2
    assert "phlows.toml:4: unknown key server.prot: did you mean port?" in done.stderr
    config("app.test", port=0)
    assert broker("reload").stdout == "nothing has changed\n"


def test_a_file_that_only_the_broker_can_tell_is_wrong_is_exit_code_4(broker, config):
    config("other.test", port=0, text=f'tls_cert = "{ONE[0]}"\ntls_key = "{TWO[1]}"')
    done = broker("reload")
    assert done.returncode == 4
    assert done.stderr.startswith("error: nothing was changed: server.tls_cert ")
    assert json.loads(broker("status", "--json").stdout)["configured"] == ["app.test"]


@pytest.mark.parametrize("command", ["reload", "drain"])
def test_without_the_right_key_nothing_is_done(broker, environ, command):
    done = broker(command, env=environ | {"PHLOWS_KEY": "wrong"})
    assert done.returncode == 4
    assert "the key is not the one of this broker" in done.stderr
    assert broker.process.poll() is None


@pytest.mark.parametrize("command", ["reload", "drain"])
def test_without_a_broker_the_exit_code_is_3(program, config, command):
    config("app.test")
    done = program(command, "--url", "http://127.0.0.1:1")
    assert done.returncode == 3
    assert "no broker answers at http://127.0.0.1:1" in done.stderr


@pytest.mark.parametrize("wait", [(), ("--wait",)])
def test_drain_ends_the_broker_with_exit_code_0(broker, wait):
    done = broker("drain", *wait)
    said = "the broker has ended\n" if wait else "the broker is stopping\n"
    assert (done.returncode, done.stdout) == (0, said)
    assert broker.ends() == 0
    assert broker("status").returncode == 3


def test_metrics_are_served_to_who_has_the_key(broker, tmp_path):
    import requests
    from prometheus_client.parser import text_string_to_metric_families

    key = (tmp_path / "state" / "key").read_text().strip()
    url = f"{broker.url}/metrics"
    assert requests.get(url, timeout=10).status_code == 401
    answer = requests.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=10)
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    assert "phlows_connections" in families
    assert "text/plain" in answer.headers["content-type"]
