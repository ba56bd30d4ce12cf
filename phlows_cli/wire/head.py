"""What a request's head means, by the rules of RFC 9112 that are ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from phlows_cli.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

QUERY_FIELDS: Final = 32
"""Fields in a query: the longest of ours has four."""

CHUNKED: Final = -1
"""The length of a body that says itself where it ends."""

ALLOW: Final = (("allow", "GET, POST"),)

_ABSOLUTE: Final = re.compile(r"(?:https?|wss?)://([^/?#@]+)([/?].*)?", re.IGNORECASE)
_VERSION: Final = re.compile(rb" HTTP/(\d\.\d)$")
_UPGRADE_LINE: Final = re.compile(rb"\r\nupgrade:[^\r]*", re.IGNORECASE)
_NOT_A_HEAD: Final = re.compile(rb"\0|(?<!\r)\n")
_BARE: Final = "malformed request: a bare line feed or NUL in its head"
_NONE: Final[frozenset[str]] = frozenset()


def method_start(data: bytes, position: int) -> int:
    """Where the request line begins, after blank lines.

    Source: RFC 9112, 2.2.

    Raises:
        RequestError: something other than a method begins there.
    """
    rest = data[position:].lstrip(b"\r\n")
    if rest and not rest[:1].isupper():
        raise RequestError("not an HTTP request (TLS on a plain port?)")
    return len(data) - len(rest)


def read_version(head: bytes) -> str:
    """The version in the request line: "1.1" or "1.0".

    Raises:
        RequestError: another version (505), or none (400); a bare line feed.
    """
    line = head[: head.find(b"\r\n")]
    if b"\n" in line:  # a parser would take what stands before it for HTTP/0.9
        raise RequestError(_BARE)
    if line.endswith(b" HTTP/1.1"):
        return "1.1"
    if line.endswith(b" HTTP/1.0"):
        return "1.0"
    version = _VERSION.search(line)
    if version is None:
        raise RequestError("malformed request: the first line does not end with HTTP/1.1")
    raise RequestError(f"HTTP/{version[1].decode()} is not supported: use HTTP/1.1", 505)


def read_headers(lines: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], frozenset[str]]:
    """Headers by lower-case name, and the names that came more than once.

    Repeated lines are joined with a comma, cookies with a semicolon.
    """
    headers: dict[str, str] = {}
    repeated = _NONE
    for raw_name, raw_value in lines:
        name = raw_name.lower().decode("latin-1")
        value = raw_value.strip().decode("latin-1")
        if name in headers:
            repeated |= {name}
            value = headers[name] + ("; " if name == "cookie" else ", ") + value
        headers[name] = value
    return headers, repeated


def check_host(headers: Mapping[str, str], repeated: frozenset[str], version: str) -> None:
    """Refuse a head whose host is missing or could be read two ways.

    Source: RFC 9112, 3.2.
    """
    if "host" in repeated:
        raise RequestError("more than one host header")
    if version == "1.1" and "host" not in headers:
        raise RequestError("no host header")


def split_target(target: str) -> tuple[str, dict[str, str], str]:
    """A request target as path, query and, in absolute form, authority.

    Raises:
        RequestError: neither a path nor an http URL, or too long a query.
    """
    authority = ""
    if not target.startswith("/"):
        authority, target = _split_absolute(target)
    path, _, query = target.partition("?")
    if "#" in target or not (path.startswith("/") or path == "*"):
        raise RequestError(_NOT_A_TARGET)
    return path, _read_query(query) if query else {}, authority


_NOT_A_TARGET: Final = "request target is neither a path nor an http URL"


def _split_absolute(target: str) -> tuple[str, str]:
    if target == "*":
        return "", target
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise RequestError(_NOT_A_TARGET)
    rest = match[2] or ""
    return match[1], rest if rest.startswith("/") else f"/{rest}"


def _read_query(query: str) -> dict[str, str]:
    fields = query.count("&") + 1
    if fields > QUERY_FIELDS:
        raise RequestError(f"query of {fields} fields exceeds {QUERY_FIELDS}")
    return dict(parse_qsl(query, keep_blank_values=True))


def body_length(headers: Mapping[str, str], version: str, body_limit: int) -> int:
    """Bytes of body that follow the head, or CHUNKED.

    The parser has refused bad, repeated and contradicting lengths already.

    Raises:
        RequestError: an encoding other than chunked, or a body over the limit.
    """
    encoding = headers.get("transfer-encoding")
    if encoding is not None:
        _check_encoding(encoding, version)
        return CHUNKED
    length = int(headers.get("content-length", 0))
    if length > body_limit:
        raise RequestError(f"body of {length} bytes exceeds {body_limit} (bridge.body_limit)", 413)
    return length


def _check_encoding(encoding: str, version: str) -> None:
    if version == "1.0":
        raise RequestError("transfer-encoding in HTTP/1.0")
    if encoding.lower() != "chunked":
        raise RequestError(f"transfer-encoding {encoding[:64]!r} is not supported: chunked is", 501)


def keeps_alive(headers: Mapping[str, str], version: str) -> bool:
    """Whether the client expects another request to be answered.

    Source: RFC 9112, 9.3.
    """
    connection = headers.get("connection")
    if connection is None:
        return version == "1.1"
    options = tokens(connection)
    return "close" not in options and (version == "1.1" or "keep-alive" in options)


def check_upgrade(headers: Mapping[str, str], version: str) -> None:
    """Refuse an upgrade that could not be answered with 101.

    A body would be read as frames; HTTP/1.0 knows no 101.
    """
    if version == "1.0":
        raise RequestError("upgrade in HTTP/1.0: use HTTP/1.1", 505)
    if "transfer-encoding" in headers or headers.get("content-length", "0").strip("0"):
        raise RequestError("upgrade with a body")


def tokens(value: str) -> list[str]:
    """A comma-separated header's items in lower case."""
    return [item.strip().lower() for item in value.split(",")]


def without_upgrade(head: bytes) -> bytes:
    """The head less its Upgrade lines, which would hide the body."""
    return _UPGRADE_LINE.sub(b"", head)


def check_unfinished(head: bytes, head_limit: int, checked: int = 0) -> None:
    """Refuse at once what can no longer become a head.

    Args:
        head: all of it that there is.
        head_limit: bytes it may have.
        checked: bytes of it that were passed before.

    Raises:
        RequestError: 414 when the first line alone is over the limit, 431
            when the head is, 400 when it holds what a parser would refuse.
    """
    if len(head) > head_limit:
        if head.find(b"\r\n", 0, head_limit) < 0:
            raise RequestError(f"request line exceeds {head_limit} bytes", 414)
        raise RequestError(f"request head exceeds {head_limit} bytes", 431)
    if _NOT_A_HEAD.search(head, checked):
        raise RequestError(_BARE)
