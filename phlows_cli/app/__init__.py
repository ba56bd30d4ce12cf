"""What a Python app imports: answer hooks, cast, ask who is there.

A whole app is a file of functions and one last line:

    from phlows_cli.app import run, ws_cast

    def ws_auth(ws_host, ws_token, ws_socket):
        return ws_token == "secret"

    def ws_receive(ws_host, ws_token, ws_socket, **data):
        ws_cast("all", toast=data.get("text", ""))

    run()

A hook may be a process of its own, whose start is most of its cost: this
package imports nothing that a hook might not need (no typing, dataclasses or
http.client). The same file serves as a resident worker, see worker.py.
"""

from __future__ import annotations

from phlows_cli.app.bridge import ws_cast, ws_count, ws_presence
from phlows_cli.app.hooks import apply, run

TYPE_CHECKING = False  # typing's own costs each hook 8 ms of start
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable

    from phlows_cli.app.streaming import Stream

__all__ = ["apply", "run", "stream", "ws_cast", "ws_count", "ws_presence"]


def stream(items: Iterable[object] | AsyncIterable[object]) -> Stream:
    """Make a web response of a generator's items, each sent when it is yielded.

    Returns:
        What is a WSGI app, an ASGI app, and an iterable of bytes, see Stream.
    """
    from phlows_cli.app.streaming import Stream

    return Stream(items)
