"""Whether the proxy leaves a silent socket alone until the next ping."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.doctor.check import Case, Check, Result, each_public, fail, ok, skip
from phlows_cli.cli.doctor.network import GROUP, host_of, path_of, publicly
from phlows_cli.cli.doctor.web import Address, trusting_all
from phlows_cli.errors import BrokerUnreachableError

if TYPE_CHECKING:
    from phlows_cli.model import Host

PING: Final = 0x89
"""The first byte of a ping: the broker's frames are whole, and not masked."""

HEAD_LIMIT: Final = 16_384
LATE: Final = 1.2
"""Of ping_interval: pings are spread over it, so the first comes within one."""


def _idle(case: Case, to: Address) -> Result:
    host = host_of(case, to)
    pings = case.config.server.ping_interval
    if not case.is_patient:
        return skip(f"takes {pings:g} seconds: `phlows doctor --patient --public {to.url}`")
    if host is None:
        return skip(f"host {to.host} is not registered here")
    if not _is_silent(host):
        return skip(
            f"a socket of {host.name} would run its hooks",
            "name an address of a host that is only pushed to (hooks = []) behind the same proxy",
        )
    return _hold(case, to, pings * LATE)


def _is_silent(host: Host) -> bool:
    """Whether a socket that says nothing starts no hook from its begin to its end."""
    return not host.hooks - {"receive"}


def _hold(case: Case, to: Address, seconds: float) -> Result:
    try:
        with closing(_connect(to, case.timeout / 2)) as sock:
            sock.sendall(_request(case, to))
            rest = _opened(sock)
            if rest is None:
                return skip("the socket was not opened (see upgrade and public-origin)")
            return _judge(sock, rest, seconds)
    except OSError as error:
        raise BrokerUnreachableError(f"it does not answer: {error}") from None


def _judge(sock: socket.socket, held: bytes, seconds: float) -> Result:
    began = time.monotonic()
    ended = ""
    while not held:
        left = began + seconds - time.monotonic()
        if left <= 0:
            return fail(f"no ping came through in {seconds:.1f} seconds", "does the proxy buffer?")
        sock.settimeout(left)
        try:
            held = sock.recv(4096)
        except TimeoutError:
            continue
        except OSError as error:
            ended = error.strerror or "reset"
        if not held:
            ended = ended or "closed"
            break
    took = time.monotonic() - began
    if held and held[0] == PING:
        return ok(f"a silent socket lives until the broker's ping, here after {took:.1f} seconds")
    how = ended or f"ended by a frame {held[0]:#x}"
    return fail(
        f"a silent socket was {how} after {took:.1f} seconds, before the broker's ping",
        "raise the proxy's idle timeout (nginx: proxy_read_timeout 75s), or lower"
        " server.ping_interval",
    )


def _connect(to: Address, timeout: float) -> socket.socket:
    plain = socket.create_connection((to.host, to.port), timeout)
    try:
        if to.is_secure:
            return trusting_all().wrap_socket(plain, server_hostname=to.host)
    except OSError:
        plain.close()
        raise
    return plain


def _request(case: Case, to: Address) -> bytes:
    name = to.origin.partition("://")[2]
    return (
        f"GET {path_of(case, to)} HTTP/1.1\r\nHost: {name}\r\nConnection: Upgrade\r\n"
        f"Upgrade: websocket\r\nOrigin: {to.origin}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: cGhsb3dzLWRvY3Rvci1rZQ==\r\n\r\n"
    ).encode()


def _opened(sock: socket.socket) -> bytes | None:
    """Read the head of the answer; what came behind it, or None when it is no 101."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < HEAD_LIMIT:
        piece = sock.recv(4096)
        if not piece:
            return None
        head += piece
    first, _, rest = head.partition(b"\r\n\r\n")
    return rest if first[:12] == b"HTTP/1.1 101" else None


def _more(case: Case) -> float:
    return case.config.server.ping_interval * LATE if case.is_patient else 0.0


CHECKS: Final = (Check(GROUP, "idle-timeout", publicly(_idle), each_public, _more),)
