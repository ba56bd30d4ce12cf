"""Who may use the bridge, and whose forwarding headers are believed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from hmac import digest
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from secrets import token_bytes
from typing import TYPE_CHECKING, Final

from phlows_cli.errors import RequestError
from phlows_cli.model import NOTHING, normalise_host

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from phlows_cli.config import Bridge, Server
    from phlows_cli.wire.request import Request

FORWARDED: Final = ("forwarded", "x-real-ip", "via", "origin", "sec-fetch-site")
"""Signs of a proxy or a browser: such a request needs the key."""

_LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

BRIDGE_SETTING: Final = "bridge.key_file"

_CHALLENGE: Final = (("WWW-Authenticate", 'Bearer realm="phlows"'),)


@dataclass(frozen=True, slots=True)
class Caller:
    """The direct peer of a connection: "unix" or an IP address."""

    address: str
    is_allowed: bool
    is_trusted_proxy: bool


@dataclass(frozen=True, slots=True)
class Grant:
    """What a request may do: with a key, without one, for all hosts or some.

    `hosts` None is every host.
    """

    has_key: bool
    hosts: frozenset[str] | None = None


KEYLESS: Final = Grant(has_key=False)
EVERYTHING: Final = Grant(has_key=True)


class Access:
    """The rules of docs/protocol.md, "Who may use the bridge".

    Args:
        server: whose forwarding headers are believed.
        bridge: who needs no key.
        key: the broker's own, which opens everything.
        host_keys: keys that open one host, by its name.
    """

    def __init__(
        self, server: Server, bridge: Bridge, key: str, host_keys: Mapping[str, str] = NOTHING
    ) -> None:
        self._bridge = bridge
        self._host_keys = host_keys
        self._secret = token_bytes(32)
        self._grants = self._granted(key, host_keys)
        # A method would refer to us, and we to it: left to the garbage collector.
        self.caller = lru_cache(4096)(partial(_caller, server, bridge))

    def check(self, request: Request, caller: Caller, *, needs_key: bool) -> Grant:
        """Let a bridge request pass, or say what it lacks.

        Returns:
            What it may do; `check_host` holds it to that once a host is known.

        Raises:
            RequestError: 401 without a key where one is needed, 403 with a wrong one.
        """
        authorization = request.headers.get("authorization")
        if authorization is not None:
            return self._grant_of(authorization)
        reason = "this route needs the key" if needs_key else self._why_key(request, caller)
        if reason:
            self.demand_key(reason)
        return KEYLESS

    def check_host(self, grant: Grant, host: str) -> None:
        """Let a request use a host; "" means all of them.

        Raises:
            RequestError: 401 where the host has a key and none was sent, 403
                with the key of another host.
        """
        if grant.hosts is not None:
            self._check_own(grant.hosts, host)
        elif not grant.has_key and host in self._host_keys:
            self.demand_key(f"host {host} has a key of its own", key_setting(host))

    def key_of(self, host: str) -> str:
        """The key that opens this host alone; "" when it has none."""
        return self._host_keys.get(host, "")

    @staticmethod
    def demand_key(reason: str, setting: str = BRIDGE_SETTING) -> None:
        """Refuse a request that carries no key.

        Raises:
            RequestError: 401, always.
        """
        hint = f"send Authorization: Bearer <key> ({setting})"
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

    def _granted(self, key: str, host_keys: Mapping[str, str]) -> Mapping[bytes, Grant]:
        """What each key opens, by a digest of it that only this process can make."""
        opened: dict[str, set[str]] = {}
        for host, host_key in host_keys.items():
            opened.setdefault(host_key, set()).add(host)
        grants = {
            self._digest(host_key.encode()): Grant(has_key=True, hosts=frozenset(hosts))
            for host_key, hosts in opened.items()
        }
        return {**grants, self._digest(key.encode()): EVERYTHING}

    def _digest(self, key: bytes) -> bytes:
        return digest(self._secret, key, "sha256")

    def _grant_of(self, authorization: str) -> Grant:
        """What the key opens.

        How long it takes tells nothing: nobody outside can choose a digest.
        """
        scheme, _, given = authorization.partition(" ")
        grant = self._grants.get(self._digest(given.strip().encode("latin-1", "replace")))
        if scheme.lower() != "bearer" or grant is None:
            raise RequestError("the key is not the one of this broker (bridge.key_file)", 403)
        return grant

    @staticmethod
    def _check_own(hosts: frozenset[str], host: str) -> None:
        if host in hosts:
            return
        own = ", ".join(sorted(hosts))
        what = f"not for {host[:255]!r}" if host else "so the request must name the host"
        raise RequestError(f"this key is for {own} alone ({key_setting(min(hosts))}), {what}", 403)

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


def key_setting(host: str) -> str:
    """Name the setting of a host's key as it is written in phlows.toml."""
    return f'hosts."{host}".key_file'


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
