"""What an app's text tells of its hooks, without running it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from phlows_cli.model import HOOK_NAMES

_PHP_FUNCTION: Final = re.compile(r"^\s*function\s+ws(\w+)\s*\(", re.MULTILINE | re.IGNORECASE)
_PHP_CLASS: Final = re.compile(
    r"^\s*(?:final\s+|abstract\s+)?class\s+(ws|websocket)\b", re.MULTILINE | re.IGNORECASE
)
_PHP_LOADS: Final = re.compile(r"\b(?:require|include)(?:_once)?\b[^;]*;")
_PYTHON_FUNCTION: Final = re.compile(r"^(?:async\s+)?def\s+ws_(\w+)\s*\(", re.MULTILINE)
_PYTHON_LOADS: Final = re.compile(
    r"^\s*from\s+\S+\s+import\b[^#\n]*(?:\*|\bws_(?:connect|auth|receive|close)\b)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class AppText:
    """The hooks that a file defines.

    `defined` is None where the file does not tell: it loads others, or it is
    not written for phlows' own worker. `classes` are those of Phlo engines.
    """

    defined: frozenset[str] | None
    classes: frozenset[str] = frozenset()

    @classmethod
    def read(cls, app: str, text: str) -> AppText:
        """Look through the text of an app."""
        kind = Path(app).suffix.lower()
        if kind == ".php":
            classes = frozenset(name.lower() for name in _PHP_CLASS.findall(text))
            is_whole = "phlows_run" in text and not _loads_other_php(text)
            return cls(_hooks_in(_PHP_FUNCTION.findall(text)) if is_whole else None, classes)
        if kind == ".py" and "phlows_cli.app" in text and not _PYTHON_LOADS.search(text):
            return cls(_hooks_in(_PYTHON_FUNCTION.findall(text)))
        return cls(None)

    def wanted_class(self, hook_class: str) -> str:
        """Name the class that the app has instead of the configured one; "" when none."""
        others = sorted(self.classes - {hook_class})
        return others[0] if others and hook_class not in self.classes else ""


def _loads_other_php(text: str) -> bool:
    return any("phlows.php" not in line for line in _PHP_LOADS.findall(text))


def _hooks_in(names: list[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names) & frozenset(HOOK_NAMES)
