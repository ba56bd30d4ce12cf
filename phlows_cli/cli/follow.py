"""The broker's events across its restarts."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from phlows_cli.errors import BrokerUnreachableError, PhlowsError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from phlows_cli.cli.client import BrokerClient

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 3.0
"""Seconds between two tries: a restart is soon seen, and a broker is not rushed at."""


class Backoff:
    """Pauses that grow to LONGEST_PAUSE, each a random part of its length."""

    def __init__(self) -> None:
        self._length = FIRST_PAUSE

    def next(self) -> float:
        """Seconds to wait before the next try."""
        length, self._length = self._length, min(self._length * 2, LONGEST_PAUSE)
        return random.uniform(length / 2, length)  # noqa: S311 - nobody gains by guessing it

    def reset(self) -> None:
        """Begin again: the last try went well."""
        self._length = FIRST_PAUSE


def gone(client: BrokerClient) -> BrokerUnreachableError:
    """What is said of a broker that was there."""
    return BrokerUnreachableError(f"the broker at {client.url} has gone away")


def follow(
    client: BrokerClient, query: Mapping[str, str], remark: Callable[[str], None] | None
) -> Iterator[bytes]:
    """Give the lines of /events, and go on when the broker is back.

    Args:
        client: of the broker.
        query: the broker's part of the filters.
        remark: is told that it is gone and that it is back; None: do not
            wait for it.

    Raises:
        BrokerUnreachableError: it does not answer at first, or it is gone
            and nobody waits.
        RefusedError: it is back, and does not want us.
    """
    lines = client.lines("/events", query)
    while True:
        with suppress(BrokerUnreachableError):
            yield from lines
        if remark is None:
            raise gone(client)
        remark(f"{gone(client)}: waiting for it")
        lines = _again(client, query)
        remark(f"the broker at {client.url} is back")


def _again(client: BrokerClient, query: Mapping[str, str]) -> Iterator[bytes]:
    backoff = Backoff()
    while True:
        time.sleep(backoff.next())
        try:
            return client.lines("/events", query)
        except RefusedError:
            raise
        except PhlowsError:
            continue  # not there yet, or not ready
