from __future__ import annotations

import pytest

from phlows_cli.errors import ListenError


@pytest.fixture
def started(monkeypatch):
    """What the demo was started with; nothing is."""
    calls = []
    monkeypatch.setattr("phlows_cli.demo.run", lambda *given: calls.append(given) or 7)
    return calls


def test_without_options_it_is_in_python_on_the_usual_port_and_opens_nothing(phlows, started):
    assert phlows("demo").exit_code == 7
    assert started == [(3001, "python", False, "text")]


def test_options_are_passed_on(phlows, started):
    phlows("demo", "--port", "4000", "--lang", "php", "--open", "--json")
    assert started == [(4000, "php", True, "json")]


@pytest.mark.parametrize("options", [("--port", "0"), ("--port", "65536"), ("--lang", "cobol")])
def test_options_are_checked(phlows, started, options):
    assert phlows("demo", *options).exit_code == 2
    assert started == []


@pytest.mark.parametrize(("port", "another"), [(3001, 3002), (65535, 65534)])
def test_another_port_is_named_when_one_is_taken(phlows, monkeypatch, port, another):
    def run(*_):
        raise ListenError("it is in use")

    monkeypatch.setattr("phlows_cli.demo.run", run)
    told = phlows("demo", "--port", str(port))
    assert told.exit_code == 1
    assert told.stderr == f"error: it is in use, as in `phlows demo --port {another}`\n"
