"""What an app's text tells of its hooks, without running it."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from phlows_cli.model import HOOK_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from phlows_cli.model import Host

TEXT_LIMIT: Final = 512 * 1024

_PHP_FUNCTION: Final = re.compile(r"^\s*function\s+ws(\w+)\s*\(", re.MULTILINE | re.IGNORECASE)
_PHP_CLASS: Final = re.compile(
    r"^\s*(?:final\s+|abstract\s+)?class\s+(ws|websocket)\b", re.MULTILINE | re.IGNORECASE
)
_PHP_LOADS: Final = re.compile(r"\b(?:require|include)(?:_once)?\b[^;]*;")
_PHP_MAY_ANSWER: Final = re.compile(
    r"phlo|\bws|websocket|\barg[vc]|require|include|autoload|getopt|eval|exec|system|"
    r"passthru|proc_open|true|false|json|var_|_SERVER|STDIN|php:|`",
    re.IGNORECASE,
)
"""What a file that loads a framework, reads its arguments or says yes has somewhere."""

_PYTHON_MAY_ANSWER: Final = re.compile(
    r"phlo|\bws|websocket|\bargv|argparse|click|import_|importlib|runpy|eval|exec|system|"
    r"subprocess|true|false|json",
    re.IGNORECASE,
)
_PYTHON_IMPORTS: Final = re.compile(r"\b(?:from|import)[ \t]+([\w. \t,]+)")
_PYTHON_FUNCTION: Final = re.compile(r"^(?:async\s+)?def\s+ws_(\w+)\s*\(", re.MULTILINE)
_PYTHON_LOADS: Final = re.compile(
    r"^\s*from\s+\S+\s+import\b[^#\n]*(?:\*|\bws_(?:connect|auth|receive|close)\b)", re.MULTILINE
)


def is_mute(host: Host, text: str) -> bool:
    """Whether an app plainly cannot answer an event that wants an answer.

    Only a file that loads nothing, reads no argument and says neither true nor
    false is called so; one that is only handed messages need not answer.
    """
    if host.hooks.isdisjoint(("connect", "auth")):
        return False
    kind = Path(host.app).suffix.lower()
    if kind == ".php":
        return not _PHP_MAY_ANSWER.search(text)
    if kind != ".py":
        return False
    loads = {name.partition(".")[0] for name in _imported(text)}
    return not _PYTHON_MAY_ANSWER.search(text) and loads <= sys.stdlib_module_names


def mute_words(host: Host) -> tuple[str, str]:
    """What is said of an app that cannot answer, and what to do."""
    is_python = host.app.lower().endswith(".py")
    loop, source = ("run()", "phlows_cli.app") if is_python else ("phlows_run()", "phlows.php")
    lacks = f"neither calls {loop} nor reads its arguments nor says true or false"
    return (
        f"{host.app} {lacks}: every connect and auth will fail",
        f"write hooks and end it with {loop} of {source}; `phlows new` writes such an app",
    )


def beginning(app: str) -> str:
    """The text of an app, as much as is looked at."""
    with Path(app).open("rb") as file:
        return file.read(TEXT_LIMIT).decode("utf-8", "replace")


def _imported(text: str) -> Iterator[str]:
    for names in _PYTHON_IMPORTS.findall(text):
        yield from (words.split()[0] for words in names.split(",") if words.split())


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
