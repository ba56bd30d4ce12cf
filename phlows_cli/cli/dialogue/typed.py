"""What is typed or piped -> the message that it stands for."""

from __future__ import annotations

import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.items import parse_items, parse_json, read_argument, to_json
from phlows_cli.errors import UsageError
from phlows_cli.model import CloseCode

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: Final = {
    "/ping": "ask whether the server is there, and how long it takes",
    "/close": "close with a code: /close 4000 a reason",
    "/quit": "close with 1000 and end; Ctrl-D does the same",
    "/help": "show this",
}
HELP: Final = (
    'A line is sent: JSON, as {"type":"ping"}, or items, as type=chat.send text=\'hi there\' n:=3',
    *(f"{name:<7} {what}" for name, what in COMMANDS.items()),
)


def message(line: str, *, is_text: bool) -> str:
    """Make the message of one line.

    Args:
        line: JSON (an object or an array), or items in a shell's quotes.
        is_text: send the line as it is.

    Raises:
        UsageError: it is neither.
    """
    if is_text:
        return _checked(line)
    text = line.strip()
    if text.startswith(("{", "[")):
        return _json(text.encode("utf-8", "surrogateescape"))
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"the quotes are not closed ({str(error).lower()})") from None
    return to_json(parse_items(words)).decode()


def payload(words: Sequence[str], *, is_text: bool) -> str:
    """Make the message of the arguments after -x.

    Raises:
        UsageError: they are no message.
    """
    if not words:
        raise UsageError("-x sends one message: give key=text items, JSON, @FILE or -")
    first = words[0]
    if len(words) == 1 and (first == "-" or first.startswith("@")):
        content = read_argument(first)
        return _decoded(content) if is_text else _json(content)
    if len(words) == 1 and (is_text or first.startswith(("{", "["))):
        return message(first, is_text=is_text)
    if is_text:
        raise UsageError(f"--text takes one argument, not {len(words)}: put quotes around it")
    return to_json(parse_items(words)).decode()


def _json(content: bytes) -> str:
    """Check that a message is an object or array; it stays as it was written."""
    parse_json(content, "the message")
    if content.lstrip()[:1] not in (b"{", b"["):
        raise UsageError("the message must be a JSON object or array; --text sends any text")
    return content.decode().strip()


def _decoded(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UsageError("the message is not UTF-8") from None


def _checked(line: str) -> str:
    try:
        line.encode()
    except UnicodeEncodeError:
        raise UsageError("the message is not UTF-8") from None
    return line


def unknown_command(name: str) -> str:
    """Say that there is no such command, and what was probably meant."""
    near = get_close_matches(name, COMMANDS, n=1)
    return f"no command {name}: " + (f"did you mean {near[0]}?" if near else "/help shows them")


def close_arguments(rest: str) -> tuple[int, str]:
    """Read what follows /close: a code, which may be left out, and a reason.

    Raises:
        UsageError: the code is none that a client may send, or the reason too long.
    """
    number, _, reason = rest.strip().partition(" ")
    code = int(number) if number.isascii() and number.isdecimal() and len(number) == 4 else 0
    if not number:
        code = int(CloseCode.NORMAL)
    if code != CloseCode.NORMAL and not 3000 <= code <= 4999:
        raise UsageError(f"/close takes 1000, or 3000 to 4999, not {number}")
    if len(_checked(reason).encode()) > 123:
        raise UsageError("a reason has at most 123 bytes")
    return code, reason
