"""Who is connected: host -> token -> socket. Pure; delivers nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from phlows_cli.errors import UnknownHostError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from phlows_cli.model import Target


class Member(Protocol):
    """What the hub knows of a session."""

    @property
    def id(self) -> str:
        """The socket id, unique within its host."""

    @property
    def token(self) -> str:
        """The token it is filed under once it is authenticated."""


M = TypeVar("M", bound=Member)


class _HostSockets(Generic[M]):
    """The sockets of one host."""

    __slots__ = ("live", "tokens", "waiting")

    def __init__(self) -> None:
        self.live: dict[str, M] = {}
        self.tokens: dict[str, dict[str, M]] = {}
        self.waiting: dict[str, M] = {}


class Hub(Generic[M]):
    """Sockets by host, from accept until they leave.

    A socket waits from `accept` to `authenticate`: until then only casts to
    its id find it. Source: docs/protocol.md, "Casts".
    """

    def __init__(self) -> None:
        self._hosts: dict[str, _HostSockets[M]] = {}

    def add_host(self, host: str) -> None:
        """Make a host known, so that casts to it are not an error."""
        self._hosts.setdefault(host, _HostSockets())

    def remove_host(self, host: str) -> list[M]:
        """Forget a host; returns the sockets it had."""
        sockets = self._hosts.pop(host, None)
        return [] if sockets is None else [*sockets.waiting.values(), *sockets.live.values()]

    def accept(self, host: str, member: M) -> None:
        """A socket is connected and not yet authenticated."""
        self._of(host).waiting[member.id] = member

    def authenticate(self, host: str, member: M) -> None:
        """File a socket under its token: from now on casts reach it."""
        sockets = self._of(host)
        sockets.waiting.pop(member.id, None)
        sockets.live[member.id] = member
        sockets.tokens.setdefault(member.token, {})[member.id] = member

    def remove(self, host: str, member: M) -> None:
        """A socket left; unknown ones are ignored."""
        sockets = self._hosts.get(host)
        if sockets is None:
            return
        sockets.waiting.pop(member.id, None)
        if sockets.live.pop(member.id, None) is None:
            return
        same_token = sockets.tokens[member.token]
        del same_token[member.id]
        if not same_token:
            del sockets.tokens[member.token]

    def select(self, host: str, target: Target, excluded: frozenset[str]) -> list[M]:
        """The sockets in an audience, each once.

        Args:
            host: a known host.
            target: the audience; waiting sockets are in it by id only.
            excluded: socket ids left out, applied last.

        Raises:
            UnknownHostError: the host is not registered.
        """
        sockets = self._of(host)
        if target.everyone and not target.sockets:
            found = sockets.live
        else:
            found = _matching(sockets, target)
        if excluded and not found.keys().isdisjoint(excluded):
            return [member for id_, member in found.items() if id_ not in excluded]
        return list(found.values())

    def live(self, host: str) -> Mapping[str, M]:
        """The authenticated sockets of a host, by id.

        Raises:
            UnknownHostError: the host is not registered.
        """
        return self._of(host).live

    def waiting(self, host: str) -> Mapping[str, M]:
        """The sockets of a host between accept and authentication, by id."""
        return self._of(host).waiting

    def tokens(self, host: str) -> Mapping[str, Mapping[str, M]]:
        """The authenticated sockets of a host, by token and id."""
        return self._of(host).tokens

    def sockets(self, host: str) -> Iterator[tuple[M, bool]]:
        """Every socket of a host, and whether it is authenticated."""
        sockets = self._of(host)
        yield from ((member, False) for member in list(sockets.waiting.values()))
        yield from ((member, True) for member in list(sockets.live.values()))

    def count(self, host: str) -> int:
        """How many authenticated sockets a host has."""
        return len(self._of(host).live)

    @property
    def hosts(self) -> list[str]:
        """The known hosts."""
        return list(self._hosts)

    def _of(self, host: str) -> _HostSockets[M]:
        try:
            return self._hosts[host]
        except KeyError:
            raise UnknownHostError(host) from None


def _matching(sockets: _HostSockets[M], target: Target) -> dict[str, M]:
    """The union of a target's parts."""
    found: dict[str, M] = dict(sockets.live) if target.everyone else {}
    for token in target.tokens:
        found |= sockets.tokens.get(token, {})
    for other in target.not_tokens:
        for token, members in sockets.tokens.items():
            if token != other:
                found |= members
    for id_ in target.sockets:
        member = sockets.live.get(id_) or sockets.waiting.get(id_)
        if member is not None:
            found[id_] = member
    return found
