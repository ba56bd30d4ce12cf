"""What is typed for a payload -> its JSON. No click in here.

Every function raises UsageError for what cannot be meant.
"""

from __future__ import annotations

import codecs
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phlows_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SIZE_LIMIT: Final = 64 * 1024 * 1024
"""Bytes read from a file or stdin: the most that bridge.body_limit can be."""

SHOWN_LIMIT: Final = 40
"""Characters of a wrong value that a message repeats."""


class Raw(bytes):
    """JSON that stays as it was written."""


def read_argument(text: str) -> bytes:
    """Give the bytes that an argument stands for: itself, @file, or - for stdin."""
    if text == "-":
        content = _read_stdin()
    elif text.startswith("@"):
        content = _read_file(Path(text[1:]))
    else:
        return text.encode("utf-8", "surrogateescape")
    if len(content) > SIZE_LIMIT:
        raise UsageError(f"{text} holds more than {SIZE_LIMIT} bytes")
    return content


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise UsageError("stdin is closed: pipe something into it, or give @FILE")
    try:
        return sys.stdin.buffer.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"cannot read stdin: {error.strerror}") from None


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def parse_items(items: Sequence[str]) -> dict[str, object]:
    """Read `key=text` and `key:=json` items; JSON stays as it was typed.

    `key:=@FILE` and `key:=-` are the JSON of a file, or of stdin.
    """
    fields: dict[str, object] = {}
    for item in items:
        key, equals, value = item.partition("=")
        name = key.removesuffix(":")
        if not equals or not name:
            raise UsageError(f"{item!r} is neither key=text nor key:=json")
        add(fields, name, _json_value(value, name) if key.endswith(":") else value)
    return fields


def _json_value(text: str, name: str) -> Raw:
    try:
        return parse_json(read_argument(text), f"{name}:=")
    except UsageError as error:
        if not text or text[0] in "@{[" or text == "-" or "not JSON" not in str(error):
            raise
    value = shown(text)
    raise UsageError(f"{name}:= is not JSON: {value!r}: if it is text, write {name}={value}")


def add(fields: dict[str, object], key: str, value: object) -> None:
    """Put a field into an object that must not have it yet."""
    if key in fields:
        raise UsageError(f"{key!r} is given twice")
    fields[key] = value


def split_selector(option: str, text: str, form: str = "SELECTOR=VALUE") -> tuple[str, str]:
    """Split SELECTOR=VALUE at the first = outside brackets: `a[href="/x"]=5`.

    Args:
        option: its name, for the error.
        text: what was typed.
        form: what the option's help says it takes, for the error.
    """
    at = next(_free(text, "="), 0)
    if not at:
        raise UsageError(f"{option} takes {form}, not {text!r}")
    return text[:at], text[at + 1 :]


def split_attribute(
    option: str, text: str, form: str = "SELECTOR:NAME[=VALUE]"
) -> tuple[str, str, str | None]:
    """Split SELECTOR:NAME=VALUE; the value is None where there is no =.

    The selector ends at the last colon before the =, so it may have others.
    Arguments as of split_selector().
    """
    equals = next(_free(text, "="), len(text))
    place, value = text[:equals], text[equals + 1 :] if equals < len(text) else None
    colon = max(_free(place, ":"), default=0)
    if not colon or colon == len(place) - 1:
        raise UsageError(f"{option} takes {form}, not {text!r}")
    return place[:colon], place[colon + 1 :], value


def _free(text: str, mark: str) -> Iterator[int]:
    """Find a mark where CSS does not quote, escape or bracket it."""
    depth, quote, is_escaped = 0, "", False
    for index, character in enumerate(text):
        if is_escaped or character == "\\":
            is_escaped = not is_escaped
        elif quote:
            quote = "" if character == quote else quote
        elif character in "[(":
            depth += 1
        elif depth:
            quote = character if character in "\"'" else ""
            depth -= character in "])"
        elif character == mark:
            yield index


def parse_json(text: bytes, what: str) -> Raw:
    """Check JSON and keep it byte for byte."""
    # msgspec would do, but requests has json with it: so `cast` starts sooner.
    from json import loads

    if text.startswith(codecs.BOM_UTF8):
        raise UsageError(f"{what} begins with a byte order mark: save it without")
    try:
        # Its form alone is asked for: no number is too long to be kept as it is.
        loads(text.decode(), parse_int=str, parse_float=str, parse_constant=_no_number)
    except UnicodeError:
        raise UsageError(f"{what} is not UTF-8") from None
    except RecursionError:
        raise UsageError(f"{what} is nested too deep") from None
    except ValueError as error:
        raise UsageError(f"{what} is not JSON: {str(error).lower()}") from None
    return Raw(text)


def _no_number(name: str) -> None:
    """Refuse NaN and Infinity, which Python reads and nobody else does."""
    raise ValueError(f"{name} is no number of JSON")


def merge(base: bytes | None, fields: Mapping[str, object]) -> bytes:
    """Put fields into the object of --data; without fields it stays as it is.

    Args:
        base: JSON, an object or an array; None is an object without fields.
        fields: JSON values by their keys.
    """
    if base is None:
        return to_json(fields)
    if not base.strip():
        raise UsageError("--data is empty: send {} for nothing")
    parse_json(base, "--data")
    start = base.lstrip()[:1]
    if start not in (b"{", b"["):
        raise UsageError("--data must be a JSON object or array")
    if not fields:
        return base
    if start == b"[":
        raise UsageError("--data is an array: nothing can be added to it")
    merged = _parts(base)
    for key, value in fields.items():
        add(merged, key, value)
    return to_json(merged)


def _parts(base: bytes) -> dict[str, object]:
    """Split an object into its keys and their values, each as it was written."""
    import msgspec

    found = msgspec.json.decode(base, type=dict[str, msgspec.Raw])
    return {key: Raw(bytes(value)) for key, value in found.items()}


def check_targets(targets: Sequence[str]) -> None:
    """Refuse what can be no audience, and a token that is empty by mistake.

    The bridge takes an empty token, which a socket may have; `--target` does
    not: an empty variable would cast to nobody, or after not: to everybody.
    """
    from phlows_cli.errors import TargetError
    from phlows_cli.model import Target

    for target in targets:
        if target in ("token:", "token:not:"):
            raise UsageError(f"--target {target} has no token after it: is a variable empty?")
        try:
            Target.parse(target)
        except TargetError as error:
            if target[:5].lower() == "token":
                raise UsageError(f"--{error}") from None
            raise UsageError(
                f"--target {shown(target)!r} is not one of: all, token:TOKEN, token:not:TOKEN,"
                " socket:ID or an id alone (16 hex characters)"
            ) from None


def shown(text: str) -> str:
    """Cut a wrong value to what a message repeats of it."""
    return text if len(text) <= SHOWN_LIMIT else f"{text[:SHOWN_LIMIT]}..."


def cast_body(host: str, targets: Sequence[str], excluded: Sequence[str], payload: bytes) -> bytes:
    """Write the body of POST /message, with the payload as it is."""
    target = targets[0] if len(targets) == 1 else list(targets)
    fields: dict[str, object] = {"host": host, "target": target}
    if excluded:
        fields["except"] = list(excluded)
    return to_json({**fields, "data": Raw(payload)})


def to_json(value: object) -> bytes:
    """Write JSON whose Raw parts stay as they are."""
    from json import dumps

    if isinstance(value, Raw):
        return value
    if isinstance(value, dict):
        return b"{%b}" % b",".join(
            to_json(key) + b":" + to_json(each) for key, each in value.items()
        )
    if isinstance(value, list | tuple):
        return b"[%b]" % b",".join(map(to_json, value))
    try:
        return dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UsageError("an argument is not UTF-8") from None
