"""HTTP client of a running broker. requests is imported at the first call."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from phlows_cli import __version__
from phlows_cli.address import bridge_url
from phlows_cli.errors import BrokerUnreachableError, PhlowsError, RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

    import requests

    from phlows_cli.config import Config

CONNECT_TIMEOUT: Final = 3.0
READ_TIMEOUT: Final = 10.0
LINE_LIMIT: Final = 1024 * 1024
"""Bytes of one line of a stream; a broker's lines are far shorter."""

STREAM: Final = "application/x-ndjson"
"""What an endless answer of a broker says that it is."""

_UNKNOWN_HOST: Final = re.compile(r"unknown host '([^']*)'")

URL_FORMS: Final = "a port of this machine, http://host:port, https://host or unix:/path"

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1", ""})


def client_for(config: Config, url: str | None) -> BrokerClient:
    """Make the client of the broker at `url`, or of the one that `config` describes.

    The key is $PHLOWS_KEY, else the key file's. A key file is this machine's:
    it does not go to another machine that `url` names.

    Raises:
        UsageError: the URL or the key cannot be used.
    """
    own = bridge_url(config.server.listen, config.server.port)
    url = _checked(url or own)
    key, file = os.environ.get("PHLOWS_KEY", "").strip(), None
    if not key and (url == own or _is_local(url)):
        file = config.bridge.key_file
        key = read_key(file)
    if not all("!" <= character <= "~" for character in key):
        raise UsageError("the key (PHLOWS_KEY or bridge.key_file) must be printable ASCII")
    return BrokerClient(url, key, file, known_hosts=tuple(config.hosts))


def _checked(url: str) -> str:
    """Write the URL in full; a port alone is a port of this machine."""
    if url.isdecimal() and 0 < int(url[:9]) < 65536:
        url = f"http://127.0.0.1:{url}"
    if not (_is_http(url) or (url.startswith("unix:") and len(url) > 5)):
        raise UsageError(
            f"the broker's URL must be {URL_FORMS}{_shown(url)}"
            " (without a user: the key goes into PHLOWS_KEY)"
        )
    url = url.rstrip("/")
    if not url.startswith("unix:"):
        parts = urlsplit(url)
        if parts.path or parts.query or parts.fragment:
            # The rest is not repeated: a query may hold what nobody should see.
            raise UsageError(
                f"the broker's URL takes no path: give {parts.scheme}://{parts.netloc} alone"
            )
    return url


def _shown(url: str) -> str:
    """Say what was given instead, and by which variable; no user and no query."""
    source = " of PHLOWS_URL" if os.environ.get("PHLOWS_URL") == url else ""
    is_secret = "@" in url or "?" in url or len(url) > 80
    return f", not that{source}" if is_secret else f", not {url!r}{source}"


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_address = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and has_address and "@" not in url


def _is_local(url: str) -> bool:
    return url.startswith("unix:") or urlsplit(url).hostname in LOOPBACK


def read_key(path: Path) -> str:
    """Read the key of this machine's broker; "" for those who may not."""
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


class BrokerClient:
    """Calls one broker's bridge. Proxy settings of the environment are ignored.

    Every call raises BrokerUnreachableError when nothing that speaks phlows
    answers in time, RefusedError with the broker's words for a 4xx, and
    PhlowsError with them for a 5xx.
    """

    def __init__(
        self,
        url: str,
        key: str = "",
        key_file: Path | None = None,
        known_hosts: Sequence[str] = (),
    ) -> None:
        """Take the broker's address, and the key with the file it came from, if any.

        A file's key may be another broker's, which needs none: where it is
        refused, this client goes on without it. `known_hosts` are those that
        a host which the broker does not know may be meant to be.
        """
        self.url = url
        self._key = key
        self._key_file = key_file
        self._refused_file: Path | None = None
        self._known_hosts = known_hosts
        self._open_session: requests.Session | None = None

    @property
    def key(self) -> str:
        """The key that calls carry, "" when there is none."""
        return self._key

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Ask for a JSON answer."""
        return self._json(self._send("GET", path, params=query))

    def post(self, path: str, body: bytes, timeout: float | None = None) -> Any:  # noqa: ANN401 - JSON
        """Send JSON and take the JSON answer; `timeout` is how many seconds it may take."""
        headers = {"Content-Type": "application/json"}
        limits = (CONNECT_TIMEOUT, timeout or READ_TIMEOUT)
        return self._json(self._send("POST", path, data=body, headers=headers, timeout=limits))

    def lines(self, path: str, query: Mapping[str, str]) -> Iterator[bytes]:
        """Follow a stream of lines, open when this returns, until its end.

        Raises:
            BrokerUnreachableError: also when the connection breaks.
        """
        answer = self._send("GET", path, params=query, stream=True)
        kind = answer.headers.get("content-type", "")
        if answer.status_code != 200 or not kind.startswith(STREAM):
            with answer:
                self._json(answer)
                raise self._no_broker(answer)
        # It has begun in time; from now on it is silent for as long as nothing happens.
        connected = getattr(answer.raw.connection, "sock", None)
        if connected is not None:
            connected.settimeout(None)
        return self._follow(answer)

    def _follow(self, answer: requests.Response) -> Iterator[bytes]:
        from requests import RequestException

        with answer:
            try:
                yield from _lines(answer.iter_content(None))
            except RequestException:
                raise BrokerUnreachableError(f"the broker at {self.url} has gone away") from None

    def _send(self, method: str, path: str, **request: Any) -> requests.Response:  # noqa: ANN401 - requests' own
        answer = self._send_once(method, path, **request)
        if answer.status_code != 403 or not self._key or self._key_file is None:
            return answer
        # A refused key has done nothing yet, so even a cast can be sent again.
        answer.close()
        self._key, self._refused_file = "", self._key_file
        del self._session().headers["Authorization"]
        return self._send_once(method, path, **request)

    def _send_once(self, method: str, path: str, **request: Any) -> requests.Response:  # noqa: ANN401 - requests' own
        from requests import RequestException

        request.setdefault("timeout", (CONNECT_TIMEOUT, READ_TIMEOUT))
        base = "http://localhost" if self.url.startswith("unix:") else self.url
        try:
            return self._session().request(method, base + path, allow_redirects=False, **request)
        except (RequestException, OSError) as error:
            advice = ": start it with `phlows serve`, or name another with --url"
            raise BrokerUnreachableError(
                f"no broker answers at {self.url} ({_why(error)})"
                + ("" if _is_answer(error) else advice)
            ) from None

    def _session(self) -> requests.Session:
        if self._open_session is None:
            requests = _requests()
            session = self._open_session = requests.Session()
            session.trust_env = False
            session.headers["User-Agent"] = f"phlows/{__version__}"
            if self._key:
                session.headers["Authorization"] = f"Bearer {self._key}"
            if self.url.startswith("unix:"):
                from phlows_cli.cli.unix_adapter import UnixAdapter

                path = self.url.removeprefix("unix:")
                session.mount("http://", UnixAdapter(path.replace("//", "", 1)))
        return self._open_session

    def _json(self, answer: requests.Response) -> Any:  # noqa: ANN401 - JSON
        """Take the answer's JSON object; raise what an error stands for."""
        from requests import RequestException

        try:
            value = answer.json()
        except (ValueError, RequestException):
            value = None
        if isinstance(value, dict) and answer.status_code == 200:
            return value
        if isinstance(value, dict) and "message" in value and answer.status_code >= 400:
            raise self._error(answer.status_code, str(value["message"]))
        raise self._no_broker(answer)

    def _no_broker(self, answer: requests.Response) -> BrokerUnreachableError:
        return BrokerUnreachableError(
            f"what answers at {self.url} is not a phlows broker (status {answer.status_code})"
        )

    def _error(self, status: int, message: str) -> PhlowsError:
        if status >= 500:
            return PhlowsError(message)
        if self._refused_file is not None and status in (401, 403):
            message += (
                f"; the key in {self._refused_file} is another broker's: set PHLOWS_KEY,"
                " or name this broker's configuration with --config"
            )
        elif status == 401 and not self._key:
            message += "; none was found: set PHLOWS_KEY, or be a user who can read the key file"
        elif status == 400:
            message = self._with_host_meant(message)
        elif status == 403 and self._key:
            message += "; it was taken from PHLOWS_KEY: mend it, or unset it to use the key file"
        return RefusedError(message)

    def _with_host_meant(self, message: str) -> str:
        unknown = _UNKNOWN_HOST.match(message)
        if unknown is None:
            return message
        from phlows_cli.cli.lazy import did_you_mean

        meant = did_you_mean(unknown[1], self._known_hosts)
        return unknown[0] + meant if meant else message


def _requests() -> ModuleType:
    """Import requests, without a search of its new objects for garbage."""
    import gc

    # They stay for as long as the process: looking through them again and
    # again is a tenth of what the import costs.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        import requests
    finally:
        if was_enabled:
            gc.enable()
    return requests


def _why(error: BaseException) -> str:
    """Find the system's word for a failed request in the innermost error."""
    from requests import Timeout
    from requests.exceptions import SSLError

    if isinstance(error, Timeout):
        return "timed out"
    if isinstance(error, SSLError):
        return _why_no_tls(str(error))
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror.lower()
        inner = inner.__cause__ or inner.__context__
    return type(error).__name__


def _is_answer(error: BaseException) -> bool:
    """Whether something is there, so that nothing has to be started."""
    from requests.exceptions import SSLError

    return isinstance(error, SSLError)


def _why_no_tls(words: str) -> str:
    """Say what a person can act on; OpenSSL's words name its own sources."""
    if "CERTIFICATE_VERIFY_FAILED" in words:
        return "its certificate is not trusted here"
    return "no TLS there: does it speak http://?"


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Join chunks into whole lines, without their ends.

    Raises:
        PhlowsError: a line over LINE_LIMIT.
    """
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        if len(rest) > LINE_LIMIT:
            raise PhlowsError(f"the broker sent a line over {LINE_LIMIT} bytes")
