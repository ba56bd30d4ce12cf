"""What a reload is told to change, by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from phlows_cli.changes import changes_between
from phlows_cli.config import Interpreters
from tests.builders import make_bridge, make_config, make_host, make_limits, make_server


def named(old, new):
    """The parts that are not empty."""
    return {name: names for name, names in changes_between(old, new).as_dict().items() if names}


def test_between_equal_configurations_there_is_nothing():
    assert named(make_config(make_host()), make_config(make_host())) == {}
    assert changes_between(make_config(), make_config()).as_dict() == {
        "added": [],
        "removed": [],
        "changed": [],
        "settings": [],
        "needs_restart": [],
    }


def test_hosts_are_added_removed_and_changed_by_name_in_order():
    old = make_config(*(make_host(name) for name in ("d.test", "c.test", "b.test", "same.test")))
    new = make_config(
        *(make_host(name) for name in ("f.test", "e.test", "same.test")),
        make_host("b.test", timeout=1.0),
    )
    assert named(old, new) == {
        "added": ["e.test", "f.test"],
        "removed": ["c.test", "d.test"],
        "changed": ["b.test"],
    }


@pytest.mark.parametrize(
    "change",
    [
        {"app": "/srv/other.php"},
        {"auth": "upgrade"},
        {"env": {"APP_ENV": "production"}},
        {"hooks": frozenset()},
        {"origins": ("https://other.test",)},
    ],
)
def test_any_other_setting_makes_a_host_a_changed_one(change):
    assert named(make_config(make_host()), make_config(make_host(**change))) == {
        "changed": ["app.test"]
    }


def test_settings_are_named_as_they_are_written_in_the_file():
    old = make_config()
    new = replace(
        make_config(
            server=make_server(ping_interval=5.0, log_format="json"),
            bridge=make_bridge(allow_unix=True),
            limits=make_limits(queue=7, auth_timeout=1.0),
        ),
        interpreters=Interpreters("/usr/bin/php", "python"),
    )
    assert named(old, new) == {
        "settings": [
            "server.ping_interval",
            "server.log_format",
            "bridge.allow_unix",
            "limits.auth_timeout",
            "limits.queue",
            "interpreters.php",
        ]
    }


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"listen": ("::1",)}, "server.listen"),
        ({"port": 1}, "server.port"),
        ({"paths": ("*",)}, "server.path"),
        ({"state_dir": "elsewhere"}, "server.state_dir"),
        ({"journal": "sqlite"}, "server.journal"),
    ],
)
def test_what_is_bound_at_start_needs_a_restart(change, name):
    assert named(make_config(), make_config(server=make_server(**change))) == {
        "needs_restart": [name]
    }


TLS = {"tls_cert": "a.pem", "tls_key": "a.key"}


@pytest.mark.parametrize(("old", "new"), [({}, TLS), (TLS, {})])
def test_tls_is_neither_begun_nor_ended_without_a_restart(old, new):
    old, new = (make_config(server=make_server(**server)) for server in (old, new))
    assert named(old, new) == {"needs_restart": ["server.tls_cert", "server.tls_key"]}


def test_another_certificate_needs_none():
    old = make_config(server=make_server(**TLS))
    new = make_config(server=make_server(**TLS | {"tls_cert": "b.pem"}))
    assert named(old, new) == {"settings": ["server.tls_cert"]}
