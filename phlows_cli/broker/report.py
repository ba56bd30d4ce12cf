"""Who is connected and how it goes, as the bridge tells it. Reads only."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import phlows_cli
from phlows_cli.model import token_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from phlows_cli.broker.broker import Broker
    from phlows_cli.broker.hooks import Application
    from phlows_cli.broker.session import Session

Report = dict[str, Any]

RECOVERING: Final = "close hooks that a broker before has left run first"


def health(broker: Broker, started: float, only: frozenset[str] | None = None) -> Report:
    """The body of /health: the union of what both upstream brokers answer.

    Args:
        broker: counted are its authenticated sockets.
        started: when the broker started, in seconds of time.monotonic().
        only: the hosts that are told of; None: all.

    Source: docs/protocol.md, "Health".
    """
    apps = {name: app for name, app in broker.apps.items() if only is None or name in only}
    sockets = {host: _sockets(broker, host) for host in broker.hub.hosts if host in apps}
    pools = _pools(apps.values())
    return {
        "status": "ok",
        "version": phlows_cli.__version__,
        "uptime": round(time.monotonic() - started, 3),
        "hosts": sockets,
        "sockets": sockets,
        "connections": broker.connected,
        "leaving": broker.leaving,
        "configured": sorted(apps),
        "registered": sorted(host for host, counts in sockets.items() if counts["sockets"]),
        "workers": sum(pool["workers"] for pool in pools.values()),
        "cap": broker.limits.concurrency,
        "pools": pools,
        "problems": _problems(apps),
        "dropped": dict(sorted(broker.drops.totals.items())),
    }


def unready_reason(broker: Broker) -> str:
    """Why casts or hooks cannot be served now; "" when they can."""
    if broker.is_draining:
        return "the broker is stopping"
    if not broker.apps:
        return "no host is registered: `phlows host add`"
    if broker.journal.problem:
        return broker.journal.problem
    full = sorted(name for name, app in broker.apps.items() if app.is_full)
    return f"events queue up to limits.queue for {', '.join(full)}" if full else ""


def presence(broker: Broker, hosts: Iterable[str]) -> list[Report]:
    """Every socket from accept until it leaves, host by host.

    Raises:
        UnknownHostError: one of the hosts is not registered.
    """
    return [
        _socket(session, host, is_authenticated=is_authenticated)
        for host in hosts
        for session, is_authenticated in broker.hub.sockets(host)
    ]


def _sockets(broker: Broker, host: str) -> Report:
    tokens = broker.hub.tokens(host)
    return {
        "tokens": len(tokens),
        "sockets": broker.hub.count(host),
        "perToken": {token_hash(token): len(members) for token, members in tokens.items()},
    }


def _pools(apps: Iterable[Application]) -> Report:
    pools: Report = {}
    for app in apps:
        if app.runtime is None:
            continue
        pool = pools.setdefault(app.host.shown_app, {"workers": 0, "busy": 0, "queued": 0})
        # one-shot: a worker lives for one hook
        pool["workers"] += app.runtime.worker_count or app.runtime.busy
        pool["busy"] += app.runtime.busy
        pool["queued"] += app.runtime.queued
    return pools


def _problems(apps: Mapping[str, Application]) -> Report:
    """Why the events of a host cannot be run now, for the hosts where that is so."""
    found = {
        name: app.runtime.problem or app.stale or (RECOVERING if app.is_recovering else "")
        for name, app in apps.items()
        if app.runtime is not None
    }
    return {name: problem for name, problem in found.items() if problem}


def workers(broker: Broker) -> list[Report]:
    """Every resident worker, host by host."""
    return [
        {"host": name, **worker._asdict()}
        for name, app in broker.apps.items()
        if app.runtime is not None
        for worker in app.runtime.workers()
    ]


def _socket(session: Session, host: str, *, is_authenticated: bool) -> Report:
    return {
        "host": host,
        "socket": session.id,
        "token": token_hash(session.claim),
        "authenticated": is_authenticated,
        "since": round(session.since, 3),
        "address": session.peer.address,
        "agent": session.peer.agent,
        "in": session.received,
        "out": session.sent + session.peer.shared,
    }
