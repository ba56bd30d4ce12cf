"""Add, replace and remove hosts in phlows.toml; all else stays as it was.

The text is cut and joined, never written anew from its meaning. What comes
out is parsed and must differ from before by exactly that host.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from phlows_cli import toml_text
from phlows_cli.errors import PhlowsError
from phlows_cli.model import normalise_host
from phlows_cli.whole_file import rewrite

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from phlows_cli.toml_text import Statement

HEADING: Final = (
    "# the hosts and settings of one broker; `phlows host add` writes here, so may you\n"
)

_BLANK_END: Final = re.compile(r"(?:(?<=\n)|\A)[ \t]*\r?\n\Z")
_BLANK_START: Final = re.compile(r"[ \t]*\r?\n")


class RegistryError(PhlowsError):
    """A host could not be added or removed as asked."""


class NoSuchHostError(RegistryError):
    """The person named a host that the file does not have."""

    exit_code = 2


def no_such_host(name: str, known: Iterable[str], path: str) -> NoSuchHostError:
    """Make the error for a host that the file does not have."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    meant = (
        f": did you mean {near[0]!r}?" if near else f": registered are {', '.join(names) or 'none'}"
    )
    return NoSuchHostError(f"{path}: there is no host {name!r}{meant}")


class _Region(NamedTuple):
    """Whole lines that say something of one host and of nothing else."""

    start: int
    end: int
    has_header: bool


def add_host(
    path: Path, name: str, settings: Mapping[str, object], *, replace: bool = False
) -> None:
    """Write a host's table; the file is made where there is none.

    Args:
        path: the config file.
        name: a normalised host name.
        settings: the table, in the order to write; anything TOML can hold.
        replace: whether a host of that name gives way, where it stands.

    Raises:
        RegistryError: the host is there already, or the file is such that
            its text cannot be edited safely; with what to do.
        ConfigError: the file is not TOML.
        FileError, TimedOutError: as rewrite() does.
    """

    def change(content: bytes | None) -> bytes:
        text = HEADING if content is None else toml_text.decode(content, str(path))
        return with_host(text, name, settings, str(path), replace=replace).encode()

    rewrite(path, change)


def remove_host(path: Path, name: str) -> None:
    """Take a host's lines out of the file.

    Raises:
        RegistryError: no such host, or its lines cannot be cut out safely.
        ConfigError: the file is not TOML.
        FileError, TimedOutError: as rewrite() does.
    """

    def change(content: bytes | None) -> bytes:
        text = toml_text.decode(content or b"", str(path))
        return without_host(text, name, str(path)).encode()

    rewrite(path, change)


def with_host(
    text: str, name: str, settings: Mapping[str, object], path: str, *, replace: bool = False
) -> str:
    """Write the host's table into the text, at its end or in the old place."""
    before = _meaning(text, path)
    keys = _keys_of(before, name, path)
    if keys and not replace:
        raise RegistryError(
            f"{path}: host {name!r} is registered already: --replace writes it anew"
        )
    _refuse_inline(text, path)
    eol = "\r\n" if "\r\n" in text else "\n"
    table = _table(name, settings).replace("\n", eol)
    regions = _regions(text, keys)
    place = next((region for region in regions if region.has_header), None)
    after = _cut(text, [region for region in regions if region is not place], place, table)
    if place is None:
        gap = eol if after else ""
        after += (eol if after and not after.endswith("\n") else "") + gap + table
    _verify(before, after, path, keys, {name: _meaning(_table(name, settings), path)})
    return after


def without_host(text: str, name: str, path: str) -> str:
    """Cut the host's lines out of the text, and one blank line with them."""
    before = _meaning(text, path)
    keys = _keys_of(before, name, path)
    if not keys:
        raise no_such_host(name, map(normalise_host, _hosts(before, path)), path)
    _refuse_inline(text, path)
    after = _cut(text, _regions(text, keys))
    _verify(before, after, path, keys, {})
    return after


def _meaning(text: str, path: str) -> dict[str, Any]:
    """Parse the text; floats stay as written, so that nan equals itself."""
    return toml_text.parse(text, path, parse_float=lambda figure: ("float", figure))


def _hosts(root: Mapping[str, Any], path: str) -> dict[str, Any]:
    hosts = root.get("hosts", {})
    if not isinstance(hosts, dict):
        raise RegistryError(f'{path}: hosts is not a table: write [hosts."app.example.com"]')
    return hosts


def _keys_of(root: Mapping[str, Any], name: str, path: str) -> list[str]:
    """List the keys that name the host; more than one in a wrong file only."""
    return [key for key in _hosts(root, path) if normalise_host(key) == name]


def _refuse_inline(text: str, path: str) -> None:
    for statement in toml_text.statements(text):
        if statement.keys == ("hosts",) and not statement.is_header:
            raise RegistryError(
                f"{path}:{statement.line}: hosts is an inline table, which only a person can "
                'edit: write each host as a table of its own, [hosts."app.example.com"]'
            )


def _table(name: str, settings: Mapping[str, object]) -> str:
    from tomli_w import dumps

    return dumps({"hosts": {name: dict(settings)}})


def _regions(text: str, keys: list[str]) -> list[_Region]:
    """Find the host's runs of statements, with the comments inside a run."""

    def is_ours(statement: Statement) -> bool:
        return statement.keys[:1] == ("hosts",) and statement.keys[1:2] in {(k,) for k in keys}

    runs = [list(run) for ours, run in groupby(toml_text.statements(text), is_ours) if ours]
    return [_Region(run[0].start, run[-1].end, run[0].is_header) for run in runs]


def _cut(text: str, regions: list[_Region], place: _Region | None = None, table: str = "") -> str:
    """Cut regions out, from the last to the first; `place` becomes `table`."""
    for region in sorted([*regions, *([place] if place else [])], reverse=True):
        head, tail = text[: region.start], text[region.end :]
        text = head + table + tail if region is place else _close_gap(head, tail)
    return text


def _close_gap(head: str, tail: str) -> str:
    """Join what stood around a region; of two blank lines one goes with it."""
    above, below = _BLANK_END.search(head), _BLANK_START.match(tail)
    if below and (above or not head):
        return head + tail[below.end() :]
    if above and not tail:
        return head[: above.start()]
    return head + tail


def _verify(
    before: dict[str, Any], after: str, path: str, gone: list[str], new: dict[str, Any]
) -> None:
    """Refuse an edit whose text means anything but the change that was asked."""
    hosts = {key: table for key, table in _hosts(before, path).items() if key not in gone}
    hosts |= {name: table["hosts"][name] for name, table in new.items()}
    try:
        found = _meaning(after, path)
    except PhlowsError:
        found = {"hosts": None}
    if {**found, "hosts": found.get("hosts", {})} != {**before, "hosts": hosts}:
        raise RegistryError(
            f"{path}: its hosts are written in a way that cannot be edited safely: nothing was "
            'written; give each host a table of its own, [hosts."app.example.com"]'
        )
