"""phlows.js for browsers: a script, a module and their types, read once."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from phlows_cli import __version__
from phlows_cli.wire.response import error_response, text_response

if TYPE_CHECKING:
    from collections.abc import Collection

    from phlows_cli.wire.request import Request

LAST_LINE: Final = "phlows.install()\n"
"""What only the script does: it makes itself at home in its page."""

EXPORTS: Final = """\
const { connect, apply, fetch: stream } = phlows
export { phlows as default, connect, apply, stream as fetch }
"""
"""The module's last lines; a `const fetch` would hide the browser's own."""

SCRIPT_TYPE: Final = "text/javascript; charset=utf-8"
TYPES_TYPE: Final = "text/plain; charset=utf-8"

BRIEFLY: Final = "public, max-age=300"
FOR_EVER: Final = "public, max-age=31536000, immutable"
"""For an address that names what it stands for: another content has another one."""

ANYWHERE: Final = ("Access-Control-Allow-Origin", "*")


@dataclass(frozen=True, slots=True)
class Asset:
    """What is served under one name."""

    content_type: str
    body: bytes

    @property
    def hash(self) -> str:
        """The start of the content's sha256: as `?v=` it may be kept for ever."""
        return sha256(self.body).hexdigest()[:16]


def read_assets() -> dict[str, Asset]:
    """The client's files by their names."""
    folder = files("phlows_cli") / "assets"
    source = (folder / "phlows.js").read_text(encoding="utf-8")
    types = (folder / "phlows.d.ts").read_bytes()
    return {
        "phlows.js": Asset(SCRIPT_TYPE, source.encode()),
        "phlows.mjs": Asset(SCRIPT_TYPE, as_module(source).encode()),
        "phlows.d.ts": Asset(TYPES_TYPE, types),
    }


def as_module(source: str) -> str:
    """The same code with exports in the place of its last line.

    Raises:
        ValueError: that line is not what it should be.
    """
    if not source.endswith("\n" + LAST_LINE):
        raise ValueError(f"phlows.js does not end with {LAST_LINE.strip()}")
    return source.removesuffix(LAST_LINE) + EXPORTS


class ClientScript:
    """Serves the client, as it was when the broker started.

    Args:
        paths: where sockets are opened; the client is served under these, too,
            since often a proxy passes nothing else on.
    """

    def __init__(self, paths: Collection[str]) -> None:
        self._assets = read_assets()
        self._is_anywhere = "*" in paths
        self._folders = {path.rstrip("/") for path in paths} | {""}

    def answer(self, request: Request) -> bytes | None:
        """A file of the client; None when that is not what is asked for."""
        folder, _, name = request.path.rpartition("/")
        asset = self._assets.get(name)
        if asset is None or not (self._is_anywhere or folder in self._folders):
            return None
        if request.method in ("GET", "HEAD"):
            return _answer(asset, request)
        allow = (("Allow", "GET, HEAD"),)
        return error_response(405, f"{name} takes GET", allow, keep_alive=request.keep_alive)


def _answer(asset: Asset, request: Request) -> bytes:
    tag = f'"{asset.hash}"'
    is_named = request.query.get("v") in (asset.hash, __version__)
    headers = (
        ("ETag", tag),
        ("Cache-Control", FOR_EVER if is_named else BRIEFLY),
        ANYWHERE,
        ("X-Content-Type-Options", "nosniff"),
    )
    keep_alive = request.keep_alive
    if _has(request.headers.get("if-none-match", ""), tag):
        return _without_body(304, headers, keep_alive)
    whole = text_response(asset.body, asset.content_type, 200, headers, keep_alive)
    return whole if request.method == "GET" else whole[: -len(asset.body)]


def _has(known: str, tag: str) -> bool:
    """Whether a client has this content; weak tags compare like strong ones."""
    tags = (item.strip().removeprefix("W/") for item in known.split(","))
    return known.strip() == "*" or tag in tags


def _without_body(status: int, headers: tuple[tuple[str, str], ...], keep_alive: bool) -> bytes:
    """An answer that cannot have a body: what its length would say is another's."""
    end = "" if keep_alive else "connection: close\r\n"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status} Not Modified\r\n{lines}{end}\r\n".encode("latin-1")
