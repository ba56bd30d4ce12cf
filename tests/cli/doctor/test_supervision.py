from __future__ import annotations

import pytest

from phlows_cli.cli.doctor.supervision import judge, judge_unit, managers


@pytest.fixture
def files(tmp_path):
    def write(**texts):
        for name, text in texts.items():
            path = tmp_path / NAMES[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return managers(tmp_path, tmp_path / "home")

    return write


NAMES = {
    "unit": "etc/systemd/system/push.service",
    "supervisor": "etc/supervisor/conf.d/push.conf",
    "pm2": "home/.pm2/dump.pm2",
}
STARTS = "ExecStart=/usr/bin/phlows serve"


def test_nobody_who_starts_phlows_is_no_matter(files):
    assert judge(files(unit="ExecStart=/bin/true")).status == "skip"


def test_one_manager_is_ok_and_named(files):
    result = judge(files(unit=STARTS, pm2="other"))
    assert result.status == "ok"
    assert "systemd" in result.message
    assert "push.service" in result.message


def test_two_managers_that_start_phlows_are_told(files):
    result = judge(files(unit=STARTS, supervisor="command=phlows serve", pm2='"phlows"'))
    assert result.status == "warn"
    for name in ("systemd", "supervisor", "pm2"):
        assert name in result.message


@pytest.mark.parametrize(
    ("told", "status"), [("524288", "ok"), ("1024", "fail"), ("", "skip"), ("infinity", "ok")]
)
def test_a_unit_needs_descriptors_for_its_sockets(case, told, status):
    result = judge_unit(case("[limits]\nmax_connections = 2000"), "push.service", told)
    assert result.status == status
    assert ("LimitNOFILE=2256" in result.hint) == (status == "fail")
