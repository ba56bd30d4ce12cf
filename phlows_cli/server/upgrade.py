"""Whether an upgrade is let in: path, host, Origin, handshake, limits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from phlows_cli.errors import RequestError
from phlows_cli.wire.handshake import accept_upgrade, cookie_token, origin_allowed

if TYPE_CHECKING:
    from phlows_cli.broker.hooks import Application
    from phlows_cli.server.access import Caller
    from phlows_cli.server.front import Front
    from phlows_cli.wire.request import Request

AGENT_LENGTH = 256
"""Characters kept of a User-Agent."""


@dataclass(frozen=True, slots=True)
class Admission:
    """An upgrade that may go on: its app, the 101, and who it claims to be."""

    app: Application
    response: bytes
    claim: str
    address: str
    agent: str


def is_upgrade_path(front: Front, path: str) -> bool:
    """Whether sockets are opened at a path."""
    paths = front.config.server.paths
    return "*" in paths or path in paths


def admit(front: Front, request: Request, caller: Caller, *, is_tls: bool) -> Admission:
    """Check an upgrade in the order of docs/protocol.md, "The handshake".

    Raises:
        RequestError: 404 path, 421 host, 403 Origin, 400/405/426/505 upgrade,
            400 cookie, 401 no cookie where one is needed, 503 over a limit.
    """
    if not is_upgrade_path(front, request.path):
        paths = ", ".join(front.config.server.paths)
        raise RequestError(f"no sockets at this path; server.path is {paths}", 404)
    app = front.broker.application(front.access.visited_host(request, caller))
    host = app.host
    secure = front.access.is_secure(request, caller, is_tls=is_tls)
    if not origin_allowed(request, host.name, host.origins, secure):
        origin = request.headers.get("origin", "")[:255]
        hint = f"hosts.{host.name!r}.origins"
        raise RequestError(f"Origin {origin!r} may not open sockets here ({hint})", 403)
    response = accept_upgrade(request)
    claim = cookie_token(request, host.token_cookie)
    if host.auth == "upgrade" and not claim:
        raise RequestError(f"no cookie {host.token_cookie!r}: log in first", 401)
    address = front.access.client_address(request, caller)
    front.broker.admit(app, address)
    agent = _agent(request.headers.get("user-agent", "")[:AGENT_LENGTH])
    return Admission(app, response, claim, address, agent)


@lru_cache(256)
def _agent(text: str) -> str:
    """The User-Agent as text; sockets with the same browser share it."""
    return text if text.isascii() else text.encode("latin-1").decode("utf-8", "replace")
