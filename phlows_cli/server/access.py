"""Who may use the bridge, and whose forwarding headers are believed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from hmac import compare_digest
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

from phlows_cli.errors import RequestError
from phlows_cli.model import normalise_host

if TYPE_CHECKING:
    from collections.abc import Iterable

    from phlows_cli.config import Bridge, Server
    from phlows_cli.wire.request import Request

FORWARDED: Final = ("forwarded", "x-real-ip", "via", "origin", "sec-fetch-site")
"""Signs of a proxy or a browser: such a request needs the key."""

_LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

_CHALLENGE: Final = (("WWW-Authenticate", 'Bearer realm="phlows"'),)


@dataclass(frozen=True, slots=True)
class Caller:
    """The direct peer of a connection: "unix" or an IP address."""

    address: str
    is_allowed: bool
    is_trusted_proxy: bool


class Access:
    """The rules of docs/protocol.md, "Who may use the bridge"."""

    def __init__(self, server: Server, bridge: Bridge, key: str) -> None:
        self._bridge = bridge
        self._key = key.encode()
        # A method would refer to us, and we to it: left to the garbage collector.
        self.caller = lru_cache(4096)(partial(_caller, server, bridge))

    def check(self, request: Request, caller: Caller, *, needs_key: bool) -> None:
        """Let a bridge request pass, or say what it lacks.

        Raises:
            RequestError: 401 without a key where one is needed, 403 with a wrong one.
        """
        authorization = request.headers.get("authorization")
        if authorization is not None:
            self._check_key(authorization)
            return
        reason = "this route needs the key" if needs_key else self._why_key(request, caller)
        if reason:
            self.demand_key(reason)

    @staticmethod
    def demand_key(reason: str) -> None:
        """Refuse a request that carries no key.

        Raises:
            RequestError: 401, always.
        """
        hint = "send Authorization: Bearer <key> (bridge.key_file)"
        raise RequestError(f"{reason}: {hint}", 401, _CHALLENGE)

    def visited_host(self, request: Request, caller: Caller) -> str:
        """The host that the visitor asked for, normalised."""
        forwarded = request.headers.get("x-forwarded-host", "")
        first = forwarded.partition(",")[0].strip()
        if first and caller.is_trusted_proxy:
            return normalise_host(first)
        return normalise_host(request.headers.get("host", ""))

    @staticmethod
    def is_secure(request: Request, caller: Caller, *, is_tls: bool) -> bool:
        """Whether the visitor's own connection is encrypted.

        Args:
            request: the upgrade, with what its proxy says of it.
            caller: its direct peer.
            is_tls: whether the connection to us is encrypted.
        """
        if is_tls:
            return True
        scheme = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
        return caller.is_trusted_proxy and scheme in ("https", "wss")

    def client_address(self, request: Request, caller: Caller) -> str:
        """The visitor's address: the right-most that no trusted proxy wrote."""
        if not caller.is_trusted_proxy:
            return caller.address
        address = caller.address
        for item in reversed(request.headers.get("x-forwarded-for", "").split(",")):
            hop = item.strip()[:64]
            if not hop:
                continue
            address = hop
            # "unix" is the name of a direct peer only: here it is any text.
            if hop == "unix" or not self.caller(hop).is_trusted_proxy:
                break
        return address

    def _check_key(self, authorization: str) -> None:
        scheme, _, given = authorization.partition(" ")
        given_key = given.strip().encode("latin-1", "replace")
        if scheme.lower() != "bearer" or not compare_digest(given_key, self._key):
            raise RequestError("the key is not the one of this broker (bridge.key_file)", 403)

    def _why_key(self, request: Request, caller: Caller) -> str:
        """Why a request cannot do without the key; "" when it can."""
        if not caller.is_allowed:
            return f"{caller.address} is not in bridge.allow"
        for name in request.headers:
            if name in FORWARDED or name.startswith("x-forwarded-"):
                return f"the request carries {name}, so it comes through a proxy or from a browser"
        host = request.headers.get("host", "")
        if not self._is_own_name(normalise_host(host)):
            return f"the request names host {host[:255]!r}, which is not in bridge.names"
        return ""

    def _is_own_name(self, name: str) -> bool:
        return name in ("localhost", "") or name in self._bridge.names or is_ip_address(name)


def _caller(server: Server, bridge: Bridge, address: str) -> Caller:
    if address == "unix":
        return Caller(address, bridge.allow_unix, is_trusted_proxy=True)
    is_allowed = is_within(address, bridge.allow)
    return Caller(address, is_allowed, is_within(address, server.trusted_proxies))


@lru_cache(256)
def is_ip_address(text: str) -> bool:
    """Whether a text is an IPv4 or IPv6 address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(text: str) -> bool:
    """Whether an address is this machine's own loopback."""
    return is_within(text, _LOOPBACK)


def is_within(text: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether an address lies in one of the networks; no address lies in none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)
