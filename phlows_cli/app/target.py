"""Which functions of an app may be called by name, besides its hooks.

Only what is written in the app's file: a name that the file imported would be
a way to everything that Python can do.
"""

from __future__ import annotations

import sys

from phlows_cli.errors import UsageError

TYPE_CHECKING = False  # typing's own costs each hook 8 ms of start
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def function_of(app: Mapping[str, Any], target: str) -> Callable[..., Any]:
    """Find "function", "Class::method" or "object.method" in an app.

    Raises:
        UsageError: it is not there, or not for callers from outside.
    """
    first, *rest = target.replace("::", ".").split(".")
    found = app.get(first)
    is_public = not any(name.startswith("_") for name in (first, *rest))
    if is_public and len(rest) < 2 and not isinstance(found, type(sys)):
        for name in rest:
            found = getattr(found, name, None)
        function: Callable[..., Any] | None = (
            found if callable(found) and not isinstance(found, type) else None
        )
        if function and getattr(function, "__module__", None) == app["__name__"]:
            return function
    raise UsageError(f"no hook or function of this app is called {target!r}")


def arguments_of(texts: list[str]) -> list[object]:
    """Turn a command line's arguments into the values they were made from.

    JSON but for texts, which stand as they are: so `5` is a number, and a
    text that happens to be JSON cannot be told from its value.
    """
    return [_value_of(text) for text in texts]


def _value_of(text: str) -> object:
    import json

    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, str) else value
