"""Log lines as text or JSON: one line a fact, ids as fields, never unbounded."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, Final

FIELD_LENGTH: Final = 500
"""Characters of one field that are logged."""

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(log_format: str, level: int = logging.INFO) -> None:
    """Send every log line to stderr.

    Args:
        log_format: "text" or "json".
        level: the least level that is written.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class TextLines(logging.Formatter):
    """`2026-01-31T12:00:00.123Z warning hooks: hook failed host=... ms=12`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows on lines of its own."""
        fields = "".join(f" {name}={_shown(value)}" for name, value in _fields(record).items())
        part = record.name.removeprefix("phlows.")
        level = record.levelname.lower()
        message = _on_one_line(_cut(record.getMessage()))
        line = f"{_timestamp(record)} {level} {part}: {message}{fields}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonLines(logging.Formatter):
    """The same as one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, a traceback included."""
        entry: dict[str, Any] = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "part": record.name.removeprefix("phlows."),
            "message": _cut(record.getMessage()),
        }
        entry |= _fields(record)
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What was given as `extra`, each value bounded."""
    extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    return {name: _cut(v) if isinstance(v, str) else v for name, v in extra.items()}


def _cut(text: str) -> str:
    return text if len(text) <= FIELD_LENGTH else text[:FIELD_LENGTH] + "..."


def _on_one_line(text: str) -> str:
    """A message without line breaks and control characters: one line a fact."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _shown(value: object) -> str:
    """A value that cannot be taken for another field or line."""
    text = str(value)
    is_plain = text.isprintable() and text and not set(text) & set(' "=')
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def _timestamp(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"
