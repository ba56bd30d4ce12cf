"""Inputs made from seeds by small changes, for where atheris is not at hand."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuzzing.target import Target

LONGEST = 4096
CHANGES = 6
FRESH = 0.02
"""How many of the inputs are plain random bytes."""


def inputs(target: Target, seed: int) -> Iterator[bytes]:
    """Inputs without end: the same for the same seed."""
    source = random.Random(seed)  # noqa: S311 - it must come again, not be secret
    while True:
        if source.random() < FRESH:
            yield source.randbytes(source.randrange(64))
            continue
        data = bytearray(source.choice(target.seeds))
        for _ in range(source.randint(1, CHANGES)):
            source.choice(_CHANGES)(data, source, target)
        yield bytes(data[:LONGEST])


def _put_token(data: bytearray, source: random.Random, target: Target) -> None:
    at = source.randint(0, len(data))
    data[at:at] = source.choice(target.tokens)


def _replace_by_token(data: bytearray, source: random.Random, target: Target) -> None:
    at, token = source.randint(0, len(data)), source.choice(target.tokens)
    data[at : at + len(token)] = token


def _change_byte(data: bytearray, source: random.Random, _: Target) -> None:
    if data:
        data[source.randrange(len(data))] = source.randrange(256)


def _flip_bit(data: bytearray, source: random.Random, _: Target) -> None:
    if data:
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)


def _cut(data: bytearray, source: random.Random, _: Target) -> None:
    at = source.randint(0, len(data))
    del data[at : at + source.randint(1, 16)]


def _repeat(data: bytearray, source: random.Random, _: Target) -> None:
    at = source.randint(0, len(data))
    data[at:at] = data[at : at + source.randint(1, 32)] * source.randint(1, 8)


def _end_early(data: bytearray, source: random.Random, _: Target) -> None:
    del data[source.randint(0, len(data)) :]


def _append_other(data: bytearray, source: random.Random, target: Target) -> None:
    data += source.choice(target.seeds)[1:]


_CHANGES = (
    *(_put_token, _replace_by_token, _change_byte, _flip_bit),
    *(_cut, _repeat, _end_early, _append_other),
)
