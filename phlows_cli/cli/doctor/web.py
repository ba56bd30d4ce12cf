"""One HTTP request as typed, and its answer: no redirect, no retry, a bound."""

from __future__ import annotations

import ssl
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from phlows_cli.errors import BrokerUnreachableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

BODY_LIMIT: Final = 65_536


@dataclass(frozen=True, slots=True)
class Address:
    """A public address, taken apart; `path` is "" unless it was given."""

    url: str
    host: str
    port: int
    is_secure: bool
    path: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Take an address apart; one without a scheme is https.

        Raises:
            UsageError: it is no http(s) or ws(s) URL.
        """
        try:
            parts = urlsplit(url if "://" in url else f"https://{url}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        is_secure = parts.scheme in ("https", "wss")
        if not host or "@" in parts.netloc or not (is_secure or parts.scheme in ("http", "ws")):
            raise UsageError("--public takes an address such as https://app.example.com")
        port = port or (443 if is_secure else 80)
        return cls(url, host, port, is_secure, parts.path.rstrip("/"))

    @property
    def origin(self) -> str:
        """What a page of this address sends as its Origin."""
        return self.origin_as("https" if self.is_secure else "http")

    def origin_as(self, scheme: str) -> str:
        """Write the Origin of the same page under another scheme."""
        own = 443 if self.is_secure else 80
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{name}" + ("" if self.port == own else f":{self.port}")


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers in lower case, and the beginning of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def message(self) -> str:
        """What the broker says of an error; "" when it is not the broker that speaks."""
        import json

        try:
            told = json.loads(self.body)
        except ValueError:
            return ""
        return str(told.get("message", "")) if isinstance(told, dict) else ""

    @property
    def summary(self) -> str:
        """Status and server, for people."""
        server = self.headers.get("server", "")
        return f"status {self.status}" + (f" from {server[:60]}" if server else "")


def trusting_all() -> ssl.SSLContext:
    """Look at a server whose certificate is a check of its own; no secret is sent there."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def ask(
    to: Address,
    path: str,
    headers: Mapping[str, str],
    timeout: float,
    body: bytes | None = None,
) -> Answer:
    """Send one request: a POST when there is a body.

    Raises:
        BrokerUnreachableError: nothing answers HTTP there in time.
    """
    connection: HTTPConnection
    if to.is_secure:
        connection = HTTPSConnection(to.host, to.port, timeout=timeout, context=trusting_all())
    else:
        connection = HTTPConnection(to.host, to.port, timeout=timeout)
    with closing(connection):
        try:
            connection.request("GET" if body is None else "POST", path, body, dict(headers))
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read(BODY_LIMIT))
        except (OSError, HTTPException) as error:
            why = getattr(error, "strerror", "") or str(error) or type(error).__name__
            raise BrokerUnreachableError(f"it does not answer: {why}") from None
