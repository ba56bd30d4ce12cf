"""One bounded HTTP exchange with the broker, over TCP or a unix socket.

http.client can do more, but importing it costs each hook that casts about
18 ms, which is more than everything else the hook does.
"""

from __future__ import annotations

import socket
from time import monotonic

from phlows_cli.errors import BrokerUnreachableError, UsageError

CONNECT_TIMEOUT = 1.0
TOTAL_TIMEOUT = 3.0
ANSWER_LIMIT = 16 * 1024 * 1024


def exchange(url: str, request: str, body: bytes = b"", key: str = "") -> tuple[int, bytes]:
    """Send one request and read its whole answer.

    Args:
        url: "http://host[:port]", "unix:/path", or a port of this machine.
        request: the method and the target, as in "GET /health".
        body: JSON.
        key: the broker's key; "" sends none.

    Returns:
        The status and the body.

    Raises:
        BrokerUnreachableError: no whole answer within TOTAL_TIMEOUT seconds.
        UsageError: the URL is of another kind.
    """
    deadline = monotonic() + TOTAL_TIMEOUT
    name, address = _address(url)
    try:
        with _connected(address) as broker:
            broker.settimeout(_left(deadline))
            _send(broker, _head(request, name, len(body), key) + body)
            return _parsed(_read(broker, deadline))
    except (OSError, ValueError) as error:
        raise BrokerUnreachableError(f"no answer from the broker at {url}: {error}") from error


def _address(url: str) -> tuple[str, tuple[str, int] | str]:
    """Split a URL into the Host header and where to connect."""
    if url.startswith("unix:"):
        return "localhost", url[5:].replace("//", "", 1)
    if url.isdecimal():
        url = f"http://127.0.0.1:{url}"
    if not url.startswith("http://"):
        raise UsageError(f"{url!r} is not a broker's address: http://host:port, unix:/path, a port")
    name = url[7:].partition("/")[0]
    host, colon, port = name.rpartition(":")
    if not colon or name.endswith("]"):
        host, port = name, "80"
    if not port.isdecimal():
        raise UsageError(f"{url!r} has no port number after its last colon")
    return name, (host.strip("[]"), int(port))


def _connected(address: tuple[str, int] | str) -> socket.socket:
    if isinstance(address, tuple):
        return socket.create_connection(address, CONNECT_TIMEOUT)
    broker = socket.socket(socket.AF_UNIX)
    try:
        broker.settimeout(CONNECT_TIMEOUT)
        broker.connect(address)
    except OSError:
        broker.close()
        raise
    return broker


def _head(request: str, name: str, length: int, key: str) -> bytes:
    """HTTP/1.0: the answer is not chunked and ends where the connection does."""
    lines = [f"{request} HTTP/1.0", f"Host: {name}", "Content-Type: application/json"]
    lines.append(f"Content-Length: {length}")
    if key:
        lines.append(f"Authorization: Bearer {key}")
    return "\r\n".join([*lines, "", ""]).encode()


def _send(broker: socket.socket, data: bytes) -> None:
    """Send it all; a broker that refuses a body may close early and still answer."""
    try:
        broker.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return


def _read(broker: socket.socket, deadline: float) -> bytes:
    received = bytearray()
    while chunk := _chunk(broker, deadline):
        received += chunk
        if len(received) > ANSWER_LIMIT:
            raise ValueError(f"more than {ANSWER_LIMIT} bytes")
    return bytes(received)


def _chunk(broker: socket.socket, deadline: float) -> bytes:
    """Receive what is there; a reset after an early refusal is its end, too."""
    broker.settimeout(_left(deadline))
    try:
        return broker.recv(65536)
    except ConnectionResetError:
        return b""


def _left(deadline: float) -> float:
    """Seconds until the deadline, so that slow steps cannot add up past it."""
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError(f"not complete after {TOTAL_TIMEOUT} seconds")
    return left


def _parsed(answer: bytes) -> tuple[int, bytes]:
    """Read the status and the body, which must be as long as its head says."""
    head, end, body = answer.partition(b"\r\n\r\n")
    version, status, *_ = [*head.split(b" ", 2), b"", b""]
    if not (end and version.startswith(b"HTTP/1.") and status.isdigit()):
        raise ValueError("it is not HTTP")
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length" and value.strip() != b"%d" % len(body):
            raise ValueError("it was cut short")
    return int(status), body
