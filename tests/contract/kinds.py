"""The runtimes of the contract tests, and what their app can be told."""

from __future__ import annotations

import json

import pytest

from phlows_cli.model import Task
from phlows_cli.runtime.http import Url
from phlows_cli.runtime.oneshot import OneShot
from phlows_cli.runtime.resident import Resident
from tests.runtime.apps import APPS, NAME, hook, host

GRACE = 0.2
"""Seconds between the signals for a process that does not listen."""

PATIENCE = 1.25
"""Seconds that a hook may take which is meant to take longer; a worker must boot in less."""


def oneshot(logged, host_settings, settings, _url):
    app = host(APPS / "behaving.py", **host_settings)
    return OneShot(app, settings, logged, GRACE)


def resident(logged, host_settings, settings, _url):
    app = host(APPS / "behaving.py", runtime="resident", **host_settings)
    return Resident(app, settings, logged, GRACE)


def single_use(logged, host_settings, settings, _url):
    return resident(logged, {"max_jobs": 1, "spare": 2, **host_settings}, settings, _url)


def url(_logged, host_settings, settings, served):
    return Url(host(served, **host_settings), settings)


PROCESSES = (oneshot, resident, single_use)
WORKERS = (resident, single_use)
KINDS = (*PROCESSES, url)


def only(*kinds):
    """Run a test for some kinds, where what an app can do differs."""
    return pytest.mark.parametrize("make", kinds, indirect=True, ids=lambda kind: kind.__name__)


def told(*steps, name="receive", socket="0123456789abcdef"):
    """An event that makes the app do these steps."""
    text = json.dumps(steps)
    return hook(name, token=text, data=text, socket=socket)


def task(*steps, parameters=()):
    """A call of the app's own making that makes it do these steps."""
    return Task(NAME, "tasks::run", (json.dumps(steps), *parameters))


def nobody(_line):
    """Takes lines that the test does not look at."""
