"""The configuration, and the broker that runs with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from phlows_cli import __version__
from phlows_cli.cli.doctor.check import Case, Check, Result, fail, ok, skip, warn
from phlows_cli.cli.output import duration, plural
from phlows_cli.errors import BrokerUnreachableError, PhlowsError

if TYPE_CHECKING:
    from phlows_cli.cli.client import BrokerClient

GROUP: Final = "Broker"

SHOWN: Final = 5


def _client(case: Case) -> BrokerClient:
    from phlows_cli.cli.client import client_for

    return client_for(case.config, case.url or None)


def _config(case: Case, _subject: str) -> Result:
    from phlows_cli.banner import problems
    from phlows_cli.config import check_config

    path = case.config.path
    if case.config_error:
        found = check_config(path) if path else []
        said = "; ".join(str(problem) for problem in found[:SHOWN]) or case.config_error
        return fail(
            said, "`phlows config check` prints every problem; the checks here took defaults"
        )
    if path is None:
        return warn(
            "there is no phlows.toml: no host is served",
            "`phlows new chat` writes a first app, `phlows host add` registers one",
        )
    if not case.config.hosts:
        return warn(f"{path} names no host", "`phlows host add app.example.com /path/to/app.php`")
    warnings = problems(case.config)
    if warnings:
        return warn("; ".join(warnings[:SHOWN]), f"mend {path}; `phlows config check` shows all")
    return ok(f"{path} is fine, with {plural(len(case.config.hosts), 'host')}")


def _running(case: Case, _subject: str) -> Result:
    client = _client(case)
    try:
        health = client.get("/health")
    except BrokerUnreachableError as error:
        return _unreachable(case, client.url, str(error))
    except PhlowsError as error:
        return fail(f"{client.url} does not let us ask: {error}", "see key-file")
    if not _is_ours(health):
        return fail(
            f"at {client.url} an older broker answers (Node's?)",
            'stop it, then `phlows serve`; docs/phlo.md, "The change", says how',
        )
    sockets = plural(int(health.get("connections", 0)), "socket")
    return ok(f"at {client.url}, up {duration(health.get('uptime', 0))}, {sockets}")


def _unreachable(case: Case, url: str, why: str) -> Result:
    if "is not a phlows broker" in why:
        return fail(why, "see what holds the port (`ss -ltnp`), or set server.port to another")
    if case.url or case.publics:
        return fail(why, "`phlows serve`, or see why its service does not start")
    return warn(f"no broker runs at {url}", "`phlows serve`, or start its service")


def _is_ours(health: dict[str, Any]) -> bool:
    return all(key in health for key in ("version", "connections", "dropped", "problems"))


def _health(case: Case) -> dict[str, Any] | None:
    """Ask a broker of ours how it is; None when there is none."""
    try:
        health: dict[str, Any] = _client(case).get("/health")
    except PhlowsError:
        return None
    return health if _is_ours(health) else None


_NONE: Final = "no broker of ours answers (see broker)"


def _version(case: Case, _subject: str) -> Result:
    health = _health(case)
    if health is None:
        return skip(_NONE)
    version = str(health["version"])
    if version == __version__:
        return ok(f"version {version}, as this command")
    return warn(
        f"the broker is {version}, this command {__version__}",
        "restart the broker after an update; nothing is lost: `phlows drain`, then start it",
    )


def _ready(case: Case, _subject: str) -> Result:
    if _health(case) is None:
        return skip(_NONE)
    try:
        _client(case).get("/ready")
    except PhlowsError as error:
        return fail(f"not ready: {error}", "`phlows status` and the broker's log say more")
    return ok("casts and hooks can be served")


def _problems(case: Case, _subject: str) -> Result:
    health = _health(case)
    if health is None:
        return skip(_NONE)
    found = dict(health["problems"])
    if not found:
        return ok("every app can be run")
    said = "; ".join(f"{host}: {why}" for host, why in list(found.items())[:SHOWN])
    return fail(said, "mend the app, then `phlows workers reload`")


def _drops(case: Case, _subject: str) -> Result:
    health = _health(case)
    if health is None:
        return skip(_NONE)
    found = {why: count for why, count in dict(health["dropped"]).items() if count}
    since = duration(health.get("uptime", 0))
    if not found:
        return ok(f"nothing was dropped in {since}")
    most = sorted(found.items(), key=lambda item: -item[1])[:SHOWN]
    said = ", ".join(f"{count} {why}" for why, count in most)
    return warn(
        f"dropped in {since}: {said}",
        'docs/operations.md, "What is dropped where", says why, and what to change',
    )


CHECKS: Final = (
    Check(GROUP, "config", _config),
    Check(GROUP, "broker", _running),
    Check(GROUP, "version", _version),
    Check(GROUP, "ready", _ready),
    Check(GROUP, "problems", _problems),
    Check(GROUP, "drops", _drops),
)
