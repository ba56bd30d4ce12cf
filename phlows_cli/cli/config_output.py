"""How settings are printed: grouped by table, or one with its bounds."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from phlows_cli.cli.output import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlows_cli.cli.settings_view import Shown

VALUE_WIDTH: Final = 44
"""Columns of a value; a longer one pushes its source to the right."""


def settings_text(shown: Sequence[Shown]) -> str:
    """Write the settings in their tables: name, value, where it comes from."""
    width = max((len(item.setting.name) for item in shown), default=0)
    values = min(VALUE_WIDTH, max((len(value_text(item.value)) for item in shown), default=0))
    blocks = [
        "\n".join([f"[{visible(table)}]", *(_row(item, width, values) for item in items)])
        for table, items in groupby(shown, lambda item: item.table)
    ]
    return "\n\n".join(blocks)


def _row(item: Shown, width: int, values: int) -> str:
    where = visible(item.where)
    return f"  {item.setting.name:<{width}}  {value_text(item.value):<{values}}  {where}"


def setting_text(item: Shown) -> str:
    """Write all there is to say of one setting."""
    setting = item.setting
    rows = [
        ("value", value_text(item.value) + (f" {setting.unit}" if setting.unit else "")),
        ("from", visible(item.where)),
        ("default", value_text(setting.default)),
        *([("bounds", setting.bounds)] if setting.high else []),
        ("what", setting.reason),
    ]
    return "\n".join([visible(item.name), *(f"  {name:<8} {text}" for name, text in rows)])


def value_text(value: object) -> str:
    """Write a value as phlows.toml would have it."""
    return visible(toml_value(value))


def toml_value(value: object) -> str:
    """Write text, numbers, lists and flat tables as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        from json import dumps

        return dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{name} = {toml_value(item)}" for name, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return str(value)
