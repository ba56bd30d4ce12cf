"""The app that `phlows bench echo` measures: it gives each message back."""

import json

from phlows_cli.app import run


def ws_auth(ws_host, ws_token, ws_socket):
    return True


def ws_receive(ws_host, ws_token, ws_socket, **data):
    print(json.dumps(data), flush=True)


run()
