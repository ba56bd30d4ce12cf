"""Whether an app answers as it did: by value, and where masked by shape."""

from __future__ import annotations

import json
import re
from difflib import unified_diff
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from phlows_cli.broker.masking import masked_token

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from phlows_cli.cli.recordings.source import Call

COMPARED_LINES: Final = 2000
"""Lines of one side that a diff looks at: more would take it minutes."""

_MASK: Final = re.compile(r"(?:masked|token)-[0-9a-f]{12}")

View = dict[str, Any]
"""What is compared of a call: outcome, answers, casts."""


def is_same(one: object, other: object) -> bool:
    """Whether two values are one JSON value: true is not 1, and order in objects is nothing."""
    return canonical(one) == canonical(other)


def canonical(value: object) -> str:
    """Write a value the one way in which equal ones are the same text."""
    return json.dumps(value, sort_keys=True)


def without(value: Any, ignored: Collection[str]) -> Any:  # noqa: ANN401 - JSON
    """A copy that lacks some keys, however deep they are."""
    if isinstance(value, dict):
        return {key: without(inner, ignored) for key, inner in value.items() if key not in ignored}
    return [without(inner, ignored) for inner in value] if isinstance(value, list) else value


def seen_through(call: Call, answers: list[Any]) -> list[Any]:
    """The answers of today as the recording could have them.

    What stands for the same thing, as far as a mask can tell, is put as it was
    recorded: what is different then, is.
    """
    if "answers" in call.cut:
        answers = answers[: len(call.answers)]
    inputs = {*_masks_in(json.loads(bytes(call.message))), call.token}
    lens = _Lens(inputs, numbers_too=call.is_masked)
    pairs = zip(call.answers, answers, strict=False)
    return [
        *(_top(lens, was, now, call.kept) for was, now in pairs),
        *answers[len(call.answers) :],
    ]


def _top(lens: _Lens, was: object, now: object, kept: Collection[str]) -> object:
    """One answer: the keys that were kept at its top are as clear as they were."""
    if not (isinstance(was, dict) and isinstance(now, dict)):
        return lens.through(was, now)
    exact = _Lens(lens.inputs, numbers_too=False)
    return {
        key: (exact if key in kept else lens).through(was[key], inner) if key in was else inner
        for key, inner in now.items()
    }


class _Lens:
    """Puts what is there now as it was recorded, where that may be the same.

    `inputs` are the masks that the app was given: of these it is known what
    they stand for now, so an answer that had one must have it again.
    """

    def __init__(self, inputs: Collection[str], *, numbers_too: bool) -> None:
        self.inputs = inputs
        self._numbers_too = numbers_too

    def through(self, was: Any, now: Any) -> Any:  # noqa: ANN401 - JSON
        """One value."""
        if isinstance(was, str) and isinstance(now, str):
            return was if self._may_be(was, now) else now
        if _is_number(was) and _is_number(now):
            return was if self._numbers_too else now
        if isinstance(was, dict) and isinstance(now, dict):
            return {
                key: self.through(was[key], inner) if key in was else inner
                for key, inner in now.items()
            }
        if isinstance(was, list) and isinstance(now, list):
            pairs = zip(was, now, strict=False)
            return [*(self.through(*pair) for pair in pairs), *now[len(was) :]]
        return now

    def _may_be(self, was: str, now: str) -> bool:
        if not _MASK.fullmatch(was) or _MASK.fullmatch(now):
            return False
        if was.startswith("token-"):
            return masked_token(now) == was
        return was not in self.inputs


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _masks_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        if _MASK.fullmatch(value):
            yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _masks_in(inner)


def difference(was: View, now: View, before: str, after: str) -> list[str]:
    """The lines of a unified diff of both, as people read JSON."""
    lines = unified_diff(_pretty(was), _pretty(now), before, after, lineterm="", n=2)
    return list(islice(lines, COMPARED_LINES))


def _pretty(view: View) -> list[str]:
    text = json.dumps(view, indent=2, sort_keys=True, ensure_ascii=False)
    return text.splitlines()[:COMPARED_LINES]
