"""A logger that says nothing, for the websockets library.

What it would log ("connection open") phlows logs itself, with ids.
"""

from __future__ import annotations

import logging
from typing import Final

QUIET: Final = logging.getLogger("phlows.websockets")
QUIET.setLevel(logging.CRITICAL + 1)
