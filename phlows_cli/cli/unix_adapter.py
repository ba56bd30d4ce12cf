"""requests over a unix socket."""

from __future__ import annotations

import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool


class UnixConnection(HTTPConnection):
    """An HTTP connection whose other end is a path."""

    def __init__(self, *args: Any, path: str, **settings: Any) -> None:  # noqa: ANN401 - urllib3's own
        super().__init__(*args, **settings)
        self._path = path

    def connect(self) -> None:
        """Open the socket; urllib3 has set the timeout by now."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(self.timeout)
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        self.sock = connection


class UnixPool(HTTPConnectionPool):
    """Connections to one path; what it does not know it hands to them."""

    ConnectionCls = UnixConnection


class UnixAdapter(HTTPAdapter):
    """Sends every request to one path, whatever its URL says."""

    def __init__(self, path: str) -> None:
        self._unix_pool = UnixPool("localhost", path=path)
        super().__init__()

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> UnixPool:  # noqa: ANN401 - requests' own
        """Answer requests 2.32 and later."""
        return self._unix_pool

    def get_connection(self, *_: Any, **__: Any) -> UnixPool:  # noqa: ANN401 - requests' own
        """Answer requests before 2.32."""
        return self._unix_pool

    def close(self) -> None:
        """Close what is pooled."""
        self._unix_pool.close()
        super().close()
