from __future__ import annotations

import pytest

from phlows_cli import __version__
from phlows_cli.cli.doctor.visit import case_of

HEALTH = {
    "status": "ok",
    "version": __version__,
    "uptime": 11520.25,
    "connections": 15,
    "problems": {},
    "dropped": {},
}
ASKING = ("version", "ready", "problems", "drops")


@pytest.fixture
def told(look, case, recorder):
    """Makes a check of a broker that answers so."""

    def run(name, ready=(200, {"status": "ok"}), **health):
        recorder.answers["/health"] = (200, {**HEALTH, **health})
        recorder.answers["/ready"] = ready
        return look(name, case(url=recorder.url))

    return run


@pytest.mark.parametrize("name", ["broker", *ASKING])
def test_a_broker_that_is_well_is_ok(told, name):
    assert told(name).status == "ok"


def test_a_broker_that_is_not_there_is_a_failure_where_it_was_expected(look, case, tmp_path):
    nowhere = f"unix:{tmp_path}/none"
    missing = case(server=f'listen = "{nowhere}"')
    result = look("broker", missing)
    assert (result.status, "`phlows serve`" in result.hint) == ("warn", True)
    assert look("broker", case(url=nowhere)).status == "fail"
    for name in ASKING:
        assert look(name, missing).status == "skip", name


def test_something_else_on_the_port_is_a_failure(look, case, recorder):
    recorder.answers["/health"] = (200, b"hello")
    result = look("broker", case(url=recorder.url))
    assert (result.status, "ss -ltnp" in result.hint) == ("fail", True)


def test_an_older_broker_on_the_port_is_a_failure(look, case, recorder):
    recorder.answers["/health"] = (200, {"status": "ok", "hosts": {}, "uptime": 3})
    result = look("broker", case(url=recorder.url))
    assert (result.status, "older broker" in result.message) == ("fail", True)
    assert look("drops", case(url=recorder.url)).status == "skip"


def test_a_broker_that_refuses_us_is_a_failure(look, case, recorder):
    recorder.answers["/health"] = (401, {"status": "error", "message": "no key"})
    assert look("broker", case(url=recorder.url)).status == "fail"


def test_another_version_is_told(told):
    result = told("version", version="0.0.9")
    assert (result.status, "0.0.9" in result.message) == ("warn", True)


def test_a_broker_that_is_not_ready_is_a_failure(told):
    stopping = (503, {"status": "error", "message": "the broker is stopping"})
    result = told("ready", ready=stopping)
    assert (result.status, "is stopping" in result.message) == ("fail", True)


def test_an_app_that_does_not_boot_is_a_failure(told):
    result = told("problems", problems={"app.test": "exit code 1"})
    assert (result.status, result.message) == ("fail", "app.test: exit code 1")


def test_what_was_dropped_is_told_the_most_first(told):
    result = told("drops", dropped={"slow consumer": 2, "receive failed": 9, "other": 0})
    assert result.status == "warn"
    assert result.message == "dropped in 3 h 12 min: 9 receive failed, 2 slow consumer"


def test_a_configuration_without_a_problem_is_ok(look, case):
    assert look("config", case('[hosts."app.test"]\nhooks = []')).status == "ok"


def test_a_configuration_without_a_host_or_with_a_missing_app_is_told(look, case):
    assert look("config", case()).status == "warn"
    result = look("config", case('[hosts."app.test"]\napp = "none.py"'))
    assert (result.status, "is missing" in result.message) == ("warn", True)


def test_no_configuration_at_all_is_told(look):
    assert look("config", case_of(None, None, (), ())).status == "warn"


@pytest.mark.parametrize("text", ["nonsense", "[server]\nprot = 1"])
def test_a_configuration_that_cannot_be_used_is_a_failure(look, tmp_path, text):
    (tmp_path / "phlows.toml").write_text(text)
    result = look("config", case_of(None, None, (), ()))
    assert result.status == "fail"
    assert "phlows.toml" in result.message
