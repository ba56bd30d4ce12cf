"""Casts and questions to the broker, from a hook or from anywhere else.

The broker is found by PHLOWS_URL, which it sets for every hook, else on port
3001 of this machine. PHLOWS_KEY, when set, is sent with each request: the
broker hands an app the key of its host (`key_file`), and never its own.
"""

from __future__ import annotations

import os
import sys

from phlows_cli.app.hooks import Current
from phlows_cli.errors import BrokerUnreachableError, UsageError

TYPE_CHECKING = False  # typing's own costs each hook 8 ms of start
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

DEFAULT_URL = "http://127.0.0.1:3001"


def ws_cast(
    ws_target: str | Sequence[str] = "all",
    ws_host: str | None = None,
    ws_port: int | str | None = None,
    ws_except: str | Sequence[str] = "",
    **data: object,
) -> dict[str, Any] | None:
    """Send a message to open sockets; the keywords are its keys.

    Takes at most a second to connect and three in all, and never raises for
    what the broker says or does not say.

    Args:
        ws_target: "all", "token:<t>", "token:not:<t>", a socket id, or several.
        ws_host: whose sockets; inside a hook, by default, the hook's host.
        ws_port: the broker: a port, "http://host:port" or "unix:/path".
        ws_except: socket ids that do not get it.
        **data: the message, usually apply commands: toast="hi".

    Returns:
        The receipt ("sent", "matched", "dropped", "held"); None when the
        broker is down, and when it refused, which is told on stderr.
    """
    import json

    cast = {"target": ws_target, "except": ws_except, "data": data}
    host = ws_host or _own_host()
    body = json.dumps({"host": host, **cast} if host else cast, allow_nan=False)
    return _answer("ws_cast", "POST /message", ws_port, body.encode())


def ws_count(ws_host: str | None = None, ws_port: int | str | None = None) -> int | None:
    """Count a host's authenticated sockets; None when that is unknown.

    A socket counts from the moment its auth hook (without one, its connect
    hook) has accepted, so a connect hook does not see its own yet.
    """
    host = _host("ws_count", ws_host)
    health = _answer("ws_count", "GET /health", ws_port)
    if health is None:
        return None
    counts = health["hosts"].get(host)
    if counts is None:
        sys.stderr.write(f"ws_count: unknown host {host!r}\n")
        return None
    return int(counts["sockets"])


def ws_presence(
    ws_host: str | None = None, ws_port: int | str | None = None
) -> list[dict[str, Any]] | None:
    """List a host's open sockets, from accept on; None when that is unknown.

    Needs the broker's key in PHLOWS_KEY: it tells addresses and user agents.
    A socket's "token" is the sha256 of its token.
    """
    from urllib.parse import quote

    host = _host("ws_presence", ws_host)
    presence = _answer("ws_presence", f"GET /presence?host={quote(host, safe='')}", ws_port)
    return None if presence is None else list(presence["sockets"])


def _own_host() -> str:
    """Name the hook's host; outside of hooks the one that the broker started us for."""
    return Current.host or os.environ.get("PHLOWS_HOST", "")


def _host(asker: str, ws_host: str | None) -> str:
    """Name the host that is asked about, as the broker spells it."""
    own = _own_host()
    if not ws_host and not own:
        raise UsageError(f"{asker} outside a hook needs ws_host")
    if not ws_host:
        return own
    from phlows_cli.model import normalise_host

    return normalise_host(ws_host)


def _answer(
    asker: str, request: str, ws_port: int | str | None, body: bytes = b""
) -> dict[str, Any] | None:
    """Ask the broker; None when it is down or refuses."""
    import json

    from phlows_cli.app.exchange import exchange

    url = str(ws_port or os.environ.get("PHLOWS_URL") or DEFAULT_URL)
    try:
        status, answer = exchange(url, request, body, os.environ.get("PHLOWS_KEY", ""))
    except BrokerUnreachableError:
        return None
    if status == 200:
        return dict(json.loads(answer))
    text = answer[:1024].decode("utf-8", "replace")
    sys.stderr.write(f"{asker}: the broker at {url} answered {status}: {text}\n")
    return None
