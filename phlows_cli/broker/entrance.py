"""Whether one more socket may come in, before anything is started for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlows_cli.broker.comeback import Comeback
from phlows_cli.broker.handshakes import Handshakes
from phlows_cli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlows_cli.broker.drops import Drops
    from phlows_cli.broker.hooks import Application
    from phlows_cli.config import Limits


class Entrance:
    """The limits on upgrades, and what those who are over them are told."""

    def __init__(self, limits: Limits, clock: Callable[[], float], drops: Drops) -> None:
        self._limits = limits
        self._clock = clock
        self._drops = drops
        self._handshakes = Handshakes(limits, clock())
        self.comeback = Comeback(clock(), limits.handshake_rate)

    def apply(self, limits: Limits) -> None:
        """Hold to other limits at once."""
        self._limits = limits
        self._handshakes.apply(limits, self._clock())
        self.comeback.pace = limits.handshake_rate

    def refusal(self, message: str) -> RequestError:
        """A 503 that says when to come back."""
        seconds = self.comeback.after_refusal(self._clock())
        return RequestError(message, 503, (("Retry-After", str(seconds)),))

    def check(self, app: Application, address: str, connected: int) -> None:
        """Let one more socket in; who is refused has used up none of a rate.

        Raises:
            RequestError: 503, at one of the limits.
        """
        most, host = self._limits.max_connections, app.host
        if connected >= most:
            self._drops.count("upgrade over limits.max_connections")
            raise self._over("the broker", f"{most} sockets (limits.max_connections)")
        if 0 < host.max_connections <= app.connected:
            self._drops.count("upgrade over hosts.*.max_connections")
            limit = f'{host.max_connections} sockets (hosts."{host.name}".max_connections)'
            raise self._over(repr(host.name), limit)
        if app.is_full:
            self._drops.count("upgrade over limits.queue")
            raise self._over(repr(host.name), f"{self._limits.queue} waiting events (limits.queue)")
        self._check_rates(address)

    def _check_rates(self, address: str) -> None:
        over = self._handshakes.take(address, self._clock())
        if over == "per_address":
            self._drops.count("upgrade over limits.per_address")
            limit = f"{self._limits.per_address:g} upgrades a second (limits.per_address)"
            raise self._over("this address", limit)
        if over == "handshake_rate":
            self._drops.count("upgrade over limits.handshake_rate")
            limit = f"{self._limits.handshake_rate:g} upgrades a second (limits.handshake_rate)"
            raise self._over("the broker", limit)

    def _over(self, who: str, limit: str) -> RequestError:
        return self.refusal(f"{who} is at its limit of {limit}")
