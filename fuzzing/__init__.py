"""Arbitrary bytes for each part that reads what others wrote."""

from typing import Final

TARGETS: Final = ("answer", "bridge", "config", "frames", "head", "worker")
