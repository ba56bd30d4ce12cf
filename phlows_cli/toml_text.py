"""Where things stand in a TOML text: its statements, lines and offsets.

tomllib says what a text means, but not where. The scan relies on tomllib
having accepted the text first, so it needs to know little of the grammar.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from phlows_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_TOKEN: Final = re.compile(
    r'''
      """(?:[^"\\]|\\.|"{1,2}(?!"))*+"{3,5}
    | \'\'\'(?:[^']|'{1,2}(?!'))*+'{3,5}
    | "(?:[^"\\\n]|\\.)*+"
    | '[^'\n]*+'
    | \#[^\n]*+
    | [\[\]{}=\n]
    | [^"'\#\[\]{}=\n]++
    ''',
    re.VERBOSE | re.DOTALL,
)
_NESTING: Final = {"[": 1, "{": 1, "]": -1, "}": -1}
_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Statement:
    """A table header or a `key = value`, and the whole lines it takes.

    `keys` is the path from the root of the document; `line` counts from 1;
    `start` and `end` are offsets, `end` past the last line's newline.
    """

    keys: tuple[str, ...]
    is_header: bool
    line: int
    start: int
    end: int


def decode(data: bytes, path: str) -> str:
    """Decode a TOML file, its line ends as they are.

    Raises:
        ConfigError: the bytes are not UTF-8.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("not UTF-8 text: save it as UTF-8", path, line) from None


def parse(text: str, path: str, parse_float: Callable[[str], object] = float) -> dict[str, Any]:
    """Parse a text as tomllib does.

    Raises:
        ConfigError: it is not TOML; with the line where it stops being so.
    """
    try:
        return tomllib.loads(text, parse_float=parse_float)
    except RecursionError:
        raise ConfigError("not valid TOML: nested too deep", path) from None
    except ValueError as error:
        sentence = str(error)
        place = _PLACE.search(sentence)
        line = int(place[1] or text.count("\n") + 1) if place else 0
        sentence = _PLACE.sub("", sentence)
        raise ConfigError(f"not valid TOML: {sentence.lower()}", path, line) from None


def statements(text: str) -> list[Statement]:
    """List every statement of a text that `parse` accepts, in order."""
    found: list[Statement] = []
    table: tuple[str, ...] = ()
    line, counted = 1, 0
    for start, end, head in _logical_lines(text):
        if not head:
            continue
        line += text.count("\n", counted, start)
        counted = start
        is_header = head.startswith("[")
        keys = _keys(head.strip("[]")) if is_header else table + _keys(head)
        table = keys if is_header else table
        found.append(Statement(keys, is_header, line, start, end))
    return found


def line_of(found: Sequence[Statement], keys: tuple[str, ...]) -> int:
    """Find the line that says `keys`, else the nearest around it, else 0.

    A key inside an inline table stands on the line of that table.
    """
    for statement in found:
        if statement.keys[: len(keys)] == keys:
            return statement.line
    around = [s for s in found if keys[: len(s.keys)] == s.keys]
    return max(around, key=lambda s: len(s.keys)).line if around else 0


def _logical_lines(text: str) -> Iterator[tuple[int, int, str]]:
    """Walk the lines: start, end and head; a value may span several.

    The head is what stands before `=` or a comment: "" on a blank line.
    """
    start = depth = 0
    head: list[str] = []
    in_head = True
    for token in _TOKEN.finditer(text):
        part = token.group()
        if part == "\n" and not depth:
            yield start, token.end(), "".join(head).strip()
            start, head, in_head = token.end(), [], True
            continue
        depth += _NESTING.get(part, 0)
        in_head = in_head and part != "=" and not part.startswith("#")
        if in_head:
            head.append(part)
    if start < len(text):
        yield start, len(text), "".join(head).strip()


def _keys(dotted: str) -> tuple[str, ...]:
    """Split a dotted key into its parts, unquoted; tomllib knows how."""
    keys: list[str] = []
    value: object = tomllib.loads(f"{dotted} = 0")
    while isinstance(value, dict):
        key, value = next(iter(value.items()))
        keys.append(key)
    return tuple(keys)
