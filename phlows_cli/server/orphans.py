"""GET /orphans and POST /orphans/drop: close hooks that were given up.

Source: docs/protocol.md, "Orphans".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from phlows_cli.model import token_hash
from phlows_cli.wire.response import json_response

if TYPE_CHECKING:
    from phlows_cli.broker.broker import Broker


class DropBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /orphans/drop; no socket named means all."""

    sockets: list[str] = msgspec.field(default_factory=list)


async def listed(broker: Broker, *, keep_alive: bool) -> bytes:
    """Answer with the number of orphans, and the eldest of them.

    Raises:
        JournalError: the journal cannot be read.
    """
    count, entries = await broker.journal.orphans()
    orphans = [{**entry._asdict(), "token": token_hash(entry.token)} for entry in entries]
    answer = {"status": "ok", "count": count, "orphans": orphans}
    return json_response(answer, keep_alive=keep_alive)


async def dropped(broker: Broker, sockets: list[str], *, keep_alive: bool) -> bytes:
    """Forget orphans, and answer how many there were.

    Raises:
        JournalError: the journal cannot be written.
    """
    count = await broker.journal.drop(sockets)
    broker.closings.forget(sockets)
    return json_response({"status": "ok", "dropped": count}, keep_alive=keep_alive)
