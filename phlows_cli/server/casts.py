"""Casts over the bridge: what they say, and those that wait their turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from phlows_cli.broker import casting
from phlows_cli.wire.response import receipt_response

if TYPE_CHECKING:
    from phlows_cli.broker.broker import Broker
    from phlows_cli.model import Cast


class CastBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /message. Source: docs/protocol.md, "Casts"."""

    host: str = ""
    target: Any = "all"
    data: msgspec.Raw = msgspec.Raw(b"{}")
    excluded: Any = msgspec.field(name="except", default="")


async def delivered_in_turn(broker: Broker, cast: Cast, *, keep_alive: bool) -> bytes:
    """The answer to a cast for which there is no room yet.

    Raises:
        UnknownHostError: the host was removed meanwhile.
    """
    receipt = await casting.deliver_in_turn(broker, cast)
    return receipt_response(receipt, keep_alive=keep_alive)
