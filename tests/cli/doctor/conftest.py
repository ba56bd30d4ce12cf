from __future__ import annotations

import pytest

from phlows_cli.cli.doctor.catalogue import CHECKS
from phlows_cli.cli.doctor.check import Case
from phlows_cli.config import load_config


@pytest.fixture
def case(tmp_path):
    """What is examined: phlows.toml of this text, with a state folder of its own."""

    def make(text="", server="", **changes):
        state = tmp_path / "state"
        state.mkdir(exist_ok=True)
        path = tmp_path / "phlows.toml"
        path.write_text(f'[server]\nstate_dir = "{state}"\n{server}\n{text}\n')
        config = load_config(path)
        return Case(config=config, hosts=tuple(config.hosts), **{"timeout": 20.0, **changes})

    return make


@pytest.fixture
def look():
    """Makes one check, by its name, for one subject."""

    def run(name, case, subject=""):
        (check,) = [check for check in CHECKS if check.name == name]
        assert subject or "" in check.subjects(case)
        return check.run(case, subject)

    return run
