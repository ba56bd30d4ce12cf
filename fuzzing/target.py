"""What a fuzzed part is: where to begin, and what must hold for any bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Target:
    """One part, and the rule it keeps.

    Attributes:
        name: as `make fuzz TARGET=...` takes it.
        check: raises unless the part accepts the bytes or refuses them with
            an error that its documentation names.
        seeds: inputs to begin with.
        tokens: what is put into them.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    tokens: tuple[bytes, ...]


def pieces(data: bytes) -> tuple[bytes, list[bytes]]:
    """Read an input of a part that reads a stream: the bytes, and how they come.

    The first byte is the size of a piece; 0 is all at once.
    """
    if not data:
        return b"", []
    size, stream = data[0], data[1:]
    if not size:
        return stream, [stream]
    return stream, [stream[at : at + size] for at in range(0, len(stream), size)]


def streams(*seeds: bytes) -> tuple[bytes, ...]:
    """Write streams as inputs: at once, and in small and in large pieces."""
    return tuple(bytes([size]) + seed for seed in seeds for size in (0, 7, 130))
