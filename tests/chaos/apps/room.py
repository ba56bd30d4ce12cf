"""Lets everybody in, one process an event or resident."""

from __future__ import annotations

from phlows_cli.app import run


def ws_auth(ws_host, ws_token, ws_socket):
    return ws_token == "storm"


run()
