"""Bytes of a terminal -> keys. Knows no terminal, keeps no more than a paste."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

PASTE_LIMIT: Final = 65536
"""Bytes of one paste or unfinished sequence; more is dropped."""

PASTE_END: Final = b"\x1b[201~"

CSI: Final = re.compile(rb"\x1b\[([0-?]*)[ -/]*([@-~])")
UNFINISHED: Final = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|O|\[M.{0,2})?", re.DOTALL)
STRING: Final = re.compile(rb"\x1b[\]PX^_].*?(?:\x07|\x1b\\)", re.DOTALL)
STRING_START: Final = re.compile(rb"\x1b[\]PX^_]")

FINALS: Final = {
    b"A": "up",
    b"B": "down",
    b"C": "right",
    b"D": "left",
    b"H": "home",
    b"F": "end",
}
NUMBERS: Final = {b"1": "home", b"4": "end", b"5": "pageup", b"6": "pagedown", b"7": "home"} | {
    b"8": "end",
    b"3": "delete",
}
CONTROLS: Final = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x1b": "escape",
}


class Key(NamedTuple):
    """A key's name, and the text it types, if any."""

    name: str
    text: str = ""


class KeyReader:
    """Collects bytes and gives the keys that are whole.

    An escape alone is the key only when nothing follows it: ask `is_waiting`,
    and call `flush` when nothing came for a moment.
    """

    def __init__(self) -> None:
        self._bytes = b""
        self._paste: bytes | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether there is the beginning of something."""
        return bool(self._bytes) and self._paste is None

    def feed(self, data: bytes) -> list[Key]:
        """Take bytes as they came; returns the keys that they complete."""
        self._bytes += data
        keys: list[Key] = []
        while self._bytes:
            if self._paste is not None:
                if not self._read_paste(keys):
                    break
            elif not self._read_key(keys):
                break
        return keys

    def flush(self) -> list[Key]:
        """Take what waits for what it is: the escape key, or nothing."""
        waiting, self._bytes = self._bytes, b""
        return [Key("escape")] if waiting == b"\x1b" else []

    def _read_paste(self, keys: list[Key]) -> bool:
        text, end, rest = self._bytes.partition(PASTE_END)
        # The end may be cut in two: its beginning waits for the rest.
        kept = 0 if end else _overlap(text, PASTE_END)
        taken = text[: len(text) - kept]
        self._paste = ((self._paste or b"") + taken)[:PASTE_LIMIT]
        self._bytes = rest if end else text[len(taken) :]
        if end:
            keys.append(Key("paste", self._paste.decode("utf-8", "replace")))
            self._paste = None
        return bool(end)

    def _read_key(self, keys: list[Key]) -> bool:
        if self._bytes[:1] == b"\x1b":
            return self._read_escape(keys)
        head = self._bytes[: _utf8_size(self._bytes[0])]
        if len(head) < _utf8_size(head[0]) and all(0x80 <= byte < 0xC0 for byte in head[1:]):
            return False
        try:
            keys.append(_plain(head.decode()))
        except UnicodeDecodeError:
            head = head[:1]  # what is no UTF-8 loses a byte: the key after it counts
        self._bytes = self._bytes[len(head) :]
        return True

    def _read_escape(self, keys: list[Key]) -> bool:
        if self._bytes.startswith(b"\x1b[M") and len(self._bytes) >= 6:
            self._bytes = self._bytes[6:]  # the mouse, as old terminals tell it
            return True
        if UNFINISHED.fullmatch(self._bytes):
            return self._is_over_limit()
        if STRING_START.match(self._bytes):
            return self._skip_string()
        found = CSI.match(self._bytes)
        if found is None:
            return self._read_short(keys)
        self._bytes = self._bytes[found.end() :]
        if found[0] == b"\x1b[200~":
            self._paste = b""
        elif key := _named(found[1], found[2]):
            keys.append(key)
        return True

    def _read_short(self, keys: list[Key]) -> bool:
        if self._bytes[1:2] == b"O":
            name = FINALS.get(self._bytes[2:3])
            keys += [Key(name)] if name else []
            self._bytes = self._bytes[3:]
        elif self._bytes[1:2] == b"\x1b":
            keys.append(Key("escape"))
            self._bytes = self._bytes[1:]
        else:
            # Alt and a key: nothing here listens to it. A broken CSI goes the same way.
            self._bytes = self._bytes[1 + max(1, _utf8_size(self._bytes[1])) :]
        return True

    def _skip_string(self) -> bool:
        found = STRING.match(self._bytes)
        if found is None:
            return self._is_over_limit()
        self._bytes = self._bytes[found.end() :]
        return True

    def _is_over_limit(self) -> bool:
        if len(self._bytes) > PASTE_LIMIT:
            self._bytes = b""
        return False


def _plain(text: str) -> Key:
    if text in CONTROLS:
        return Key(CONTROLS[text])
    if text < " ":
        return Key(f"ctrl-{chr(ord(text) + 96)}")
    return Key(text, text)


def _named(parameters: bytes, final: bytes) -> Key | None:
    """Name a sequence's key; with Shift, Ctrl or Alt held down it is the same."""
    number = parameters.split(b";")[0]
    name = NUMBERS.get(number) if final == b"~" else FINALS.get(final)
    return Key(name) if name and b"<" not in parameters else None


def _utf8_size(first: int) -> int:
    """Bytes of the character that begins so; 1 for what begins none."""
    return 1 if not 0xC2 <= first < 0xF5 else 2 + (first >= 0xE0) + (first >= 0xF0)


def _overlap(text: bytes, end: bytes) -> int:
    """How much of the end of `text` may be the beginning of `end`."""
    return next((n for n in range(len(end) - 1, 0, -1) if text.endswith(end[:n])), 0)
