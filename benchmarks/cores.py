"""One core for the contender, another for the load generator."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ALL = sorted(os.sched_getaffinity(0))


class _Pins:
    """Where processes that are started now belong."""

    contender: set[int] | None = None


def pin_contender() -> None:
    """Bind this process, just forked, to the contenders' core; its children too."""
    if _Pins.contender is not None:
        os.sched_setaffinity(0, _Pins.contender)


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Contenders on the first core and the generator on the last, where there are two."""
    if len(_ALL) < 2:
        yield
        return
    _Pins.contender = {_ALL[0]}
    os.sched_setaffinity(0, {_ALL[-1]})
    try:
        yield
    finally:
        _Pins.contender = None
        os.sched_setaffinity(0, _ALL)
