"""GET /record: hook calls with what was said in them, for who may hear it.

Source: docs/protocol.md, "Recording".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from phlows_cli.broker.recording import MASKED, PAYLOADS, Tape
from phlows_cli.errors import RequestError
from phlows_cli.server.feed import Feed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from phlows_cli.broker.broker import Broker

PARAMETERS: Final = frozenset({"host", "payloads", "keep"})

KEPT_KEYS: Final = 100
"""Keys that one recording may keep the values of."""


def feed(broker: Broker, host: str, query: Mapping[str, str]) -> Feed[Tape]:
    """Record a host, "" for all of them.

    Raises:
        RequestError: the query asks for something that there is not.
        UnknownHostError: the host is not registered.
    """
    if "host" in query:
        broker.hub.count(host)  # an unknown host is an error
    payloads = query.get("payloads", MASKED)
    if payloads not in PAYLOADS:
        raise RequestError(f"payloads {payloads[:64]!r} is none of {', '.join(PAYLOADS)}")
    kept = frozenset(name for name in query.get("keep", "").split(",") if name)
    if len(kept) > KEPT_KEYS:
        raise RequestError(f"keep names {len(kept)} keys, and may name {KEPT_KEYS}")

    def known() -> list[str]:
        return [session.claim for session in broker.sessions()]

    def tape(wake: Callable[[], None]) -> Tape:
        return Tape(wake, host, payloads, kept, known)

    return Feed(broker.events.recorder, tape)
