"""The certificate for wss:// without a proxy; another one needs no restart."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from phlows_cli.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


class Certificate:
    """What the listeners show to clients.

    A reload makes a new context and hands it to new connections: loading into
    the one in use would keep the old key beside the new certificate.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        """Load a certificate chain and its key, both PEM.

        Raises:
            ConfigError: a file cannot be read, or they do not belong together.
        """
        self.context = _load(cert, key)
        self._current = self.context
        self.context.sni_callback = self._choose

    def replace(self, other: Certificate) -> None:
        """Show the other's certificate from now on."""
        self._current = other.context

    def _choose(
        self, connection: ssl.SSLObject, server_name: str | None, context: ssl.SSLContext
    ) -> None:
        del server_name, context
        connection.context = self._current


def _load(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key)
    except ssl.SSLError as error:
        why = error.reason or "not a PEM certificate and its key"
        raise ConfigError(f"server.tls_cert {cert} and tls_key {key}: {why}") from error
    except OSError as error:
        raise ConfigError(f"server.tls_cert {cert} and tls_key {key}: {error.strerror}") from error
    return context
