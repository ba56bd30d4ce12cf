"""What is shown on a terminal while something takes long: on stderr, and gone afterwards."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


def is_watched() -> bool:
    """Tell whether somebody sees stderr."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show that something is waited for."""
    if not is_watched():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


def counted(items: Iterable[T], count: int, text: str) -> Iterable[T]:
    """Show how many of so many are done, as they are taken."""
    if not is_watched():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, text, count, console=Console(stderr=True), transient=True)
