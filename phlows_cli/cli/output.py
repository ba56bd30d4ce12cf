"""What a command says: the answer to stdout, all else to stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


EXIT_CODES: Final = {"accepted": 0, "refused": 4, "failed": 5, "timeout": 6, "overloaded": 5}
"""What an app's answer is as an exit code, by the outcome's name."""


def emit(value: object, as_json: bool, human: Callable[[], str]) -> None:
    """Print the answer: one line of JSON, or the text for people.

    Args:
        value: the answer as JSON knows it.
        as_json: whether `--json` was given.
        human: makes the text; called only when it is wanted. "" prints nothing.
    """
    text = None if as_json else human()
    if text is None:
        click.echo(json_bytes(value))
    elif text:
        click.echo(_encodable(text))


def json_bytes(value: object) -> bytes:
    """Write the value as one compact line of JSON in UTF-8."""
    import json

    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        # An argument that was not UTF-8 holds surrogates: \u escapes carry them.
        return json.dumps(value, separators=(",", ":")).encode()


def note(text: str) -> None:
    """Print a remark that is not part of the answer to stderr."""
    _to_stderr(_encodable(text))


def report(message: str, as_json: bool) -> None:
    """Print an error to stderr, in the shape that `--json` promises."""
    if as_json:
        _to_stderr(json_bytes({"status": "error", "message": message}))
    else:
        note(f"error: {visible(message)}")


def _to_stderr(line: str | bytes) -> None:
    try:
        click.echo(line, err=True)
    except OSError:
        # There is nobody left to tell; the exit code still says it.
        from phlows_cli.cli.streams import settle

        settle()


def visible(text: str) -> str:
    """Show control characters as escapes, so that no text steers a terminal.

    Text from the other side of a socket, or from an app, passes through here.
    The joiner stays that makes one emoji of several: it moves nothing.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\t\u200d" else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _encodable(text: str) -> str:
    """Replace what UTF-8 cannot hold: bytes of an argument that is not text."""
    return text.encode("utf-8", "replace").decode()


def plural(count: int, noun: str) -> str:
    """Put the count before its noun: "1 socket", "3 sockets"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Align rows under a header: text to the left, numbers to the right."""
    texts = [[str(cell) for cell in row] for row in rows]
    columns = [_column(cells) for cells in zip(header, *texts, strict=True)]
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _column(cells: Sequence[str]) -> list[str]:
    width = max(map(len, cells))
    is_numbers = all(cell.isdecimal() for cell in cells[1:])
    return [cell.rjust(width) if is_numbers else cell.ljust(width) for cell in cells]


def duration(seconds: float) -> str:
    """Write a time in its two largest units: "3 h 12 min"."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts = []
    rest = int(seconds)
    for name, size in units:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"
