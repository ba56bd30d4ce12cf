from __future__ import annotations

import json

import pytest


def test_a_file_without_problems_is_said_to_be_fine(phlows, config):
    path = config("app.example.com")
    done = phlows("config", "check")
    assert (done.exit_code, done.stdout) == (0, f"{path} is fine\n")


def test_every_problem_is_told_with_its_line_and_what_was_meant(phlows, tmp_path):
    path = tmp_path / "other.toml"
    path.write_text(
        '[server]\nprot = 1\nport = 70000\n\n[hosts."a.test"]\ntimeuot = 3\nhooks = []\n'
    )
    done = phlows("config", "check", "--config", str(path))
    assert done.exit_code == 2
    assert done.stdout.splitlines() == [
        f"{path}:2: unknown key server.prot: did you mean port?",
        f"{path}:3: server.port is 70000: it must be 0 to 65535",
        f'{path}:6: unknown key hosts."a.test".timeuot: did you mean timeout?',
        f"3 problems in {path}",
    ]


def test_one_problem_is_one_problem(phlows, tmp_path):
    path = tmp_path / "phlows.toml"
    path.write_text("[server\n")
    done = phlows("config", "check")
    assert done.exit_code == 2
    assert done.stdout.splitlines()[-1] == f"1 problem in {path}"


def test_as_json_it_is_a_list_of_problems(phlows, config):
    path = config(text="prot = 1")
    done = phlows("config", "check", "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout) == [
        {
            "path": str(path),
            "line": 4,
            "message": "unknown key server.prot: did you mean port?",
        }
    ]
    config()
    done = phlows("config", "check", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])


def test_lone_tls_files_are_a_problem(phlows, config):
    config(text='tls_cert = "cert.pem"')
    done = phlows("config", "check")
    assert done.exit_code == 2
    assert "server.tls_cert is set alone: tls_cert and tls_key belong together" in done.stdout


@pytest.mark.parametrize("args", [(), ("--config", "missing.toml")])
def test_without_a_file_the_exit_code_is_2(program, args, tmp_path, environ):
    done = program("config", "check", *args, env=environ | {"HOME": str(tmp_path / "home")})
    assert done.returncode == 2
    assert "config file" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_valid_and_yet_not_as_it_was_meant_is_a_warning(phlows, tmp_path):
    path = tmp_path / "phlows.toml"
    path.write_text('[hosts.a]\napp = "nosuch.php"\nspare = 2\n')
    done = phlows("config", "check")
    assert (done.exit_code, done.stdout) == (0, f"{path} is fine\n")
    assert done.stderr.splitlines() == [
        f"warning: host a: app {tmp_path}/nosuch.php is missing, its hooks will fail",
        "warning: host a: spare and watch_app have no effect without resident workers",
    ]
