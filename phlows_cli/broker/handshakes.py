"""How often sockets may be opened: by all clients together, and by one address."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from phlows_cli.broker.bucket import TokenBucket
from phlows_cli.model import normalise_host

if TYPE_CHECKING:
    from phlows_cli.config import Limits

ADDRESSES: Final = 10_000
"""Addresses that are remembered; the one that was quiet longest is forgotten."""


class Handshakes:
    """The rates of limits.handshake_rate and limits.per_address; 0 is none."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._all = TokenBucket(limits.handshake_rate, now)
        self._by_address: dict[int, TokenBucket] = {}

    def apply(self, limits: Limits, now: float) -> None:
        """Hold to other rates at once; one that is the same goes on as it was."""
        before, self._limits = self._limits, limits
        if limits.handshake_rate != before.handshake_rate:
            self._all = TokenBucket(limits.handshake_rate, now)
        if limits.per_address != before.per_address:
            self._by_address.clear()

    def take(self, address: str, now: float) -> str:
        """Count one upgrade; "" when it may go on, else the rate it is over.

        One that is over a rate is not counted against the other.
        """
        bucket = self._bucket(address, now) if self._limits.per_address else None
        if bucket is not None and not bucket.take(now):
            return "per_address"
        if self._limits.handshake_rate and not self._all.take(now):
            if bucket is not None:
                bucket.put_back()
            return "handshake_rate"
        return ""

    def _bucket(self, address: str, now: float) -> TokenBucket | None:
        """The bucket of an address; None for a peer that has none."""
        network = network_of(address)
        if network is None:
            return None
        bucket = self._by_address.pop(network, None)
        if bucket is None:
            bucket = TokenBucket(self._limits.per_address, now)
            if len(self._by_address) >= ADDRESSES:
                del self._by_address[next(iter(self._by_address))]
        self._by_address[network] = bucket  # the last one now: forgotten last
        return bucket


def network_of(address: str) -> int | None:
    """Whom an address stands for: itself, or with IPv6 the network of a household.

    Returns:
        A number that is another for every other IPv4 address and IPv6 /64;
        None for "unix" and for what proxies write when they do not know.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        try:
            parsed = ip_address(normalise_host(address))  # some proxies add the port
        except ValueError:
            return None
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return -1 - (int(parsed) >> 64)  # below 0, where no IPv4 address is
        parsed = parsed.ipv4_mapped
    return int(parsed)
