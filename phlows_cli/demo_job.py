"""The demo's long job: a web response that grows, from a server of its own.

What makes it stream is `apply` and `stream` of phlows_cli.app, and would be
the same under any WSGI or ASGI server. The rest of this file is that server.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from http import HTTPStatus
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from phlows_cli.app import apply, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Self

STEPS: Final = 48
STEP_SECONDS: Final = 0.125
PHASES: Final = ("Reading the ledger", "Adding it up", "Drawing the charts", "Binding the pages")
JOBS_AT_ONCE: Final = 8
REQUEST_TIMEOUT: Final = 10.0
"""Seconds that a client may take for its request, or for a line of the answer."""


def job(stopping: threading.Event) -> Iterator[dict[str, object]]:
    """Do the work, step by step; what each step yields is on the page at once."""
    for step in range(STEPS):
        if stopping.wait(STEP_SECONDS):  # stands for the work
            return
        done = 100 * (step + 1) // STEPS
        phase = PHASES[step * len(PHASES) // STEPS]
        yield apply(
            value={"#job-bar": done},
            inner={"#job-percent": f"{done}%", "#job-step": f"{phase}..."},
        )
    yield apply(inner={"#job-step": "The report is ready."}, toast="The report is ready.")


class JobServer:
    """A WSGI server of this machine, for the demo's page only.

    Args:
        origins: the origins of the page; nobody else's requests are answered.
        port: where to listen if it is free, so that a page which is open finds
            the next demo's job, too.
    """

    def __init__(self, origins: Sequence[str], port: int) -> None:
        self._origins = frozenset(origins)
        self._turns = threading.BoundedSemaphore(JOBS_AT_ONCE)
        self._stopping = threading.Event()
        self._server = _listening(port)
        self._server.set_app(self._answer)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/job"

    def __enter__(self) -> Self:
        """Answer from now on."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the jobs, and take no more."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(
        self, environ: dict[str, str], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        origin = environ.get("HTTP_ORIGIN", "")
        allowed = [("access-control-allow-origin", origin), ("vary", "origin")]
        refusal = self._refusal(environ["REQUEST_METHOD"], environ["PATH_INFO"], origin)
        if refusal is not None:
            start_response(f"{refusal.value} {refusal.phrase}", [("content-length", "0")])
            return []
        if not self._turns.acquire(blocking=False):
            start_response("503 Service Unavailable", [*allowed, ("retry-after", "5")])
            return []
        answer = stream(self._in_turn())
        start_response("200 OK", [*answer.headers.items(), *allowed])
        return answer

    def _refusal(self, method: str, path: str, origin: str) -> HTTPStatus | None:
        if path != "/job":
            return HTTPStatus.NOT_FOUND
        if method != "POST":
            return HTTPStatus.METHOD_NOT_ALLOWED
        return None if origin in self._origins else HTTPStatus.FORBIDDEN

    def _in_turn(self) -> Iterator[dict[str, object]]:
        try:
            yield from job(self._stopping)
        finally:
            self._turns.release()


def _listening(port: int) -> _Server:
    if port <= 65535:
        with contextlib.suppress(OSError):
            return _Server(("127.0.0.1", port), _Handler)
    return _Server(("127.0.0.1", 0), _Handler)


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each request; none of them keeps the process."""

    daemon_threads = True

    def server_bind(self) -> None:
        """Bind; unlike HTTPServer without asking a name server for our name."""
        TCPServer.server_bind(self)
        host, self.server_port = self.socket.getsockname()
        self.server_name = str(host)
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say what failed, unless it is that a client has left."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type] # as it came


class _Handler(WSGIRequestHandler):
    """Requests are no news: the broker's log is what a reader looks at."""

    timeout = REQUEST_TIMEOUT

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
        """Write nothing."""
