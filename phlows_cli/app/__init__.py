"""What a Python app imports: answer hooks, cast, ask who is there.

A whole app is a file of functions and one last line:

    from phlows_cli.app import run, ws_cast

    def ws_auth(ws_host, ws_token, ws_socket):
        return ws_token == "secret"

    def ws_receive(ws_host, ws_token, ws_socket, **data):
        ws_cast("all", toast=data.get("text", ""))

    run()

A hook is a process, so its start is most of its cost: this package imports
nothing that a hook might not need (no typing, dataclasses or http.client).
"""

from __future__ import annotations

from phlows_cli.app.bridge import ws_cast, ws_count, ws_presence
from phlows_cli.app.hooks import run

__all__ = ["run", "ws_cast", "ws_count", "ws_presence"]
