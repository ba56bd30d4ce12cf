"""Where the bridge is reached from this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, never bound


def bridge_url(listen: Sequence[str], port: int) -> str:
    """Name the address that hooks and commands use: PHLOWS_URL.

    Args:
        listen: what the broker listens on: addresses, "unix:/path" or both.
        port: the TCP port of every address.

    Returns:
        "http://host:port" of the first address, a wildcard as its loopback;
        "unix:/path" when there is no TCP at all.
    """
    address = next((item for item in listen if not item.startswith("unix:")), None)
    if address is None:
        return listen[0]
    host = _WILDCARDS.get(address, address)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
