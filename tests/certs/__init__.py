"""Certificates for tests, and clients that trust them."""

from __future__ import annotations

import ssl
from pathlib import Path

FOLDER = Path(__file__).parent
ONE = (FOLDER / "one.pem", FOLDER / "one.key")
TWO = (FOLDER / "two.pem", FOLDER / "two.key")
EXPIRED = (FOLDER / "expired.pem", FOLDER / "expired.key")


def trusting(certificate=ONE, version=None):
    """What a client needs to trust this certificate and no other."""
    context = ssl.create_default_context(cafile=str(certificate[0]))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context
