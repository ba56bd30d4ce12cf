"""Every check, in the order in which findings are shown."""

from __future__ import annotations

from typing import Final

from phlows_cli.cli.doctor import (
    apps,
    broker,
    certificates,
    idle,
    network,
    php,
    security,
    storage,
    supervision,
    system,
)
from phlows_cli.cli.doctor.check import GROUPS

_ALL: Final = (
    *system.CHECKS,
    *storage.CHECKS,
    *supervision.CHECKS,
    *php.CHECKS,
    *apps.CHECKS,
    *network.CHECKS,
    *idle.CHECKS,
    *certificates.CHECKS,
    *security.CHECKS,
    *broker.CHECKS,
)

CHECKS: Final = tuple(sorted(_ALL, key=lambda check: GROUPS.index(check.group)))
