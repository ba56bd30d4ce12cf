"""What a command says: the answer to stdout, all else to stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable


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
        click.echo(text)


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
    click.echo(text, err=True)


def report(message: str, as_json: bool) -> None:
    """Print an error to stderr, in the shape that `--json` promises."""
    if as_json:
        click.echo(json_bytes({"status": "error", "message": message}), err=True)
    else:
        note(f"error: {message}")


def plural(count: int, noun: str) -> str:
    """Put the count before its noun: "1 socket", "3 sockets"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
