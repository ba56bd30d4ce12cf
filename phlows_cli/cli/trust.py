"""Whose certificates a client trusts: the system's, or those of --ca."""

from __future__ import annotations

import ssl

from phlows_cli.errors import UsageError


def trusting(ca: str | None) -> ssl.SSLContext:
    """Check servers by the certificates of a file; None is the system's.

    Raises:
        UsageError: the file cannot be read, or holds none.
    """
    try:
        return ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise UsageError(f"--ca {ca} holds no certificate in PEM") from None
    except OSError as error:
        raise UsageError(f"--ca {ca}: {error.strerror}") from None
