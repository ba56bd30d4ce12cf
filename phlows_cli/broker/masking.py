"""What leaves the broker of a payload: its shape, or all but its tokens.

Source: docs/protocol.md, "Recording".
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Protocol

from phlows_cli.model import token_hash

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORTEST_SECRET: Final = 4
"""Characters of a token that is masked in an app's words: "a" is in all of them."""

TOKENS: Final = 65_536
"""Tokens that are known at once; the eldest is forgotten."""

LENGTHS: Final = 16
"""Different lengths that tokens with one ending are looked for in; more cost too much."""

TYPE_KEY: Final = "type"
_NAME: Final = re.compile(r"[A-Za-z_][\w.:/-]{0,63}", re.ASCII)


class Tokens:
    """Tokens that must not be seen, found wherever they stand in a text.

    A token of less than SHORTEST_SECRET characters is found only where it is
    the whole text.
    """

    def __init__(self) -> None:
        self._known: dict[str, None] = {}
        self._endings: dict[str, dict[int, int]] = {}

    def __contains__(self, text: object) -> bool:
        return text in self._known

    def add(self, token: str) -> None:
        """Look for a token from now on; "" is none."""
        if not token or token in self._known:
            return
        if len(self._known) >= TOKENS:
            self._forget(next(iter(self._known)))
        self._known[token] = None
        if len(token) >= SHORTEST_SECRET:
            lengths = self._endings.setdefault(token[-SHORTEST_SECRET:], {})
            if len(token) in lengths or len(lengths) < LENGTHS:
                lengths[len(token)] = lengths.get(len(token), 0) + 1

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()
        self._endings.clear()

    def without(self, text: str) -> str:
        """The text, with a mask in the place of each token."""
        if text in self._known:
            return masked_token(text)
        for token in sorted(self._within(text), key=len, reverse=True):
            text = text.replace(token, masked_token(token))
        return text

    def _within(self, text: str) -> set[str]:
        """The tokens that stand in a text, each position looked at once."""
        found: set[str] = set()
        endings = self._endings
        for end in range(SHORTEST_SECRET, len(text) + 1 if endings else 0):
            for length in endings.get(text[end - SHORTEST_SECRET : end], ()):
                if length <= end and text[end - length : end] in self._known:
                    found.add(text[end - length : end])
        return found

    def _forget(self, token: str) -> None:
        del self._known[token]
        lengths = self._endings.get(token[-SHORTEST_SECRET:], {})
        left = lengths.get(len(token), 0) - 1
        if left > 0:
            lengths[len(token)] = left
        elif left == 0:
            del lengths[len(token)]
            if not lengths:
                del self._endings[token[-SHORTEST_SECRET:]]


def masked_token(token: str) -> str:
    """The token as a recording has it; "" stays what it is."""
    return f"token-{token_hash(token)[:12]}" if token else ""


class Masking(Protocol):
    """What becomes of the payloads of one recording."""

    def payload(self, value: Any, socket: str, token: str) -> Any:  # noqa: ANN401 - JSON
        """The payload as it may leave; `token` is of the one whose it is.

        Raises:
            RecursionError: it is nested deeper than can be walked.
        """


class AllButTokens:
    """Payloads leave as they are, without the tokens in them."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def payload(self, value: Any, socket: str, token: str) -> Any:  # noqa: ANN401, ARG002 - Masking's
        """Mask the tokens that are known, and this one however they are."""
        return _walked(value, _Own(self._tokens, token))


class Shape:
    """Payloads leave as a shape: keys, lengths and types.

    One text has one mask, which only who has the secret can make: short texts
    cannot be found by trying. What stands under a name in `kept`, at the top,
    stays, and so does a `type` that looks like a name.
    """

    def __init__(self, tokens: Tokens, secret: bytes, kept: Iterable[str] = ()) -> None:
        self._tokens = tokens
        self._secret = secret
        self._kept = frozenset(kept)

    def payload(self, value: Any, socket: str, token: str) -> Any:  # noqa: ANN401 - JSON
        """Mask every text and number; a socket's own id is no secret."""
        own = _Own(self._tokens, token)
        hidden = _Hidden(own, self._secret, socket)
        if not isinstance(value, dict):
            return _walked(value, hidden)
        return {
            own.text(key): _walked(inner, own if self._keeps(key, inner) else hidden)
            for key, inner in value.items()
        }

    def _keeps(self, key: str, value: object) -> bool:
        is_name = isinstance(value, str) and _NAME.fullmatch(value)
        return key in self._kept or (key == TYPE_KEY and bool(is_name))


class _Walker(Protocol):
    """What becomes of the leaves of a value, and of its keys."""

    def key(self, text: str) -> str: ...

    def text(self, text: str) -> str: ...

    def number(self, value: float) -> object: ...


class _Own:
    """Hides the tokens, the caller's own included."""

    def __init__(self, tokens: Tokens, token: str) -> None:
        self._tokens = tokens
        self._token = token
        self._looked_at: dict[str, str] = {}

    def text(self, text: str) -> str:
        """A payload says most of its texts, keys above all, more than once."""
        made = self._looked_at.get(text)
        if made is None:
            made = self._looked_at[text] = self._without(text)
        return made

    def _without(self, text: str) -> str:
        if self.is_token(text):
            return masked_token(text)
        if len(self._token) >= SHORTEST_SECRET:
            text = text.replace(self._token, masked_token(self._token))
        return self._tokens.without(text)

    key = text

    def number(self, value: float) -> object:
        """A token may well be a number, and a number no text."""
        return masked_token(str(value)) if self.is_token(str(value)) else value

    def is_token(self, text: str) -> bool:
        return bool(text) and (text == self._token or text in self._tokens)


class _Hidden:
    """Hides all but keys, in which it hides tokens."""

    def __init__(self, own: _Own, secret: bytes, socket: str) -> None:
        self._own = own
        self._secret = secret
        self._looked_at = {"": "", socket: socket}
        self.key = own.text

    def text(self, text: str) -> str:
        made = self._looked_at.get(text)
        if made is None:
            is_token = self._own.is_token(text)
            made = masked_token(text) if is_token else f"masked-{self._digest(text, 6).hex()}"
            self._looked_at[text] = made
        return made

    def number(self, value: float) -> object:
        """A whole number of nine digits; one with a fraction keeps having one."""
        number = int.from_bytes(self._digest(f"#{value!r}", 4)) % 900_000_000 + 100_000_000
        return number + 0.5 if isinstance(value, float) else number

    def _digest(self, text: str, size: int) -> bytes:
        content = text.encode("utf-8", "surrogatepass")
        return blake2b(content, key=self._secret, digest_size=size).digest()


def _walked(value: Any, walker: _Walker) -> Any:  # noqa: ANN401 - JSON
    """A copy whose leaves went through the walker; one frame for each level."""
    if isinstance(value, str):
        return walker.text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        made = {}
        for key, inner in value.items():
            made[walker.key(key)] = _walked(inner, walker)
        return made
    if isinstance(value, list):
        items = []
        for inner in value:
            items.append(_walked(inner, walker))  # noqa: PERF401 - a comprehension is a frame more
        return items
    return walker.number(value)
