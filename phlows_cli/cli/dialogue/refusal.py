"""What a refused upgrade tells, and what can be done about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from websockets.exceptions import InvalidStatus

from phlows_cli.cli.output import visible
from phlows_cli.errors import BrokerUnreachableError, PhlowsError, RefusedError

if TYPE_CHECKING:
    from websockets.http11 import Response

LONGEST: Final = 300
"""Characters of what a server says that are repeated."""

_ADVICE: Final = {
    401: "give the token with --cookie, or --cookie NAME=VALUE",
    403: "the host's `origins` lets pages of other sites in; leave --origin out",
    404: "give the path with --path, or in the URL",
    421: "`phlows host list` shows the hosts that the configuration has",
}


def error_of(problem: Exception, url: str) -> PhlowsError:
    """Make the error of a handshake that failed.

    Args:
        problem: the protocol's `handshake_exc`.
        url: what was connected to, as it may be shown.
    """
    if not isinstance(problem, InvalidStatus):
        return BrokerUnreachableError(f"what answers at {url} is not a WebSocket server")
    response = problem.response
    status = response.status_code
    kind = RefusedError if 400 <= status < 500 else PhlowsError
    return kind(f"{url} refused the upgrade with {status}{_said(response)}{_advice(response)}")


def _said(response: Response) -> str:
    """What the body says: a broker's message, or the first line of a text."""
    text = bytes(response.body or b"").decode("utf-8", "replace").strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        text = str(value.get("message", ""))
    elif text.startswith("<"):
        text = ""  # a page, of which a terminal shows nothing of use
    text = (text or response.reason_phrase).partition("\n")[0]
    return f": {visible(text[:LONGEST])}" if text else ""


def _advice(response: Response) -> str:
    status = response.status_code
    if 300 <= status < 400:
        place = response.headers.get("Location", "")
        return f"; it points to {visible(place[:LONGEST])}" if place else ""
    if status < 300:
        return "; no WebSocket is spoken at this path: give another with --path, or in the URL"
    if status == 503 and response.headers.get("Retry-After", "").isdecimal():
        return f"; come back in {response.headers['Retry-After'][:10]} s"
    return f"; {_ADVICE[status]}" if status in _ADVICE else ""
