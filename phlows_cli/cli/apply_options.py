"""The commands that clients apply to a page, as options of `phlows cast`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from phlows_cli.cli.items import add, split_attribute, split_selector
from phlows_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    Texts = tuple[str, ...]

_META: Final = "phlows.apply"


def _one(option: str, texts: Texts) -> str:
    """Take the text of a command that means something once."""
    if len(texts) > 1:
        raise UsageError(f"{option} is given twice")
    return texts[0]


def _many(_option: str, texts: Texts) -> object:
    """Take one text, or an array that is applied in turn."""
    return texts[0] if len(texts) == 1 else list(texts)


def _by_selector(option: str, texts: Texts) -> object:
    """Write selector -> text."""
    fields: dict[str, object] = {}
    for text in texts:
        add(fields, *split_selector(option, text, _form(option)))
    return fields


def _attributes(option: str, texts: Texts) -> object:
    """Write selector -> name -> text; a name without = is to be removed: null."""
    selectors: dict[str, dict[str, object]] = {}
    for text in texts:
        selector, name, value = split_attribute(option, text, _form(option))
        add(selectors.setdefault(selector, {}), name, value)
    return selectors


def _dataset(option: str, texts: Texts) -> object:
    """Write selector -> key -> text."""
    for text in texts:
        if split_attribute(option, text, _form(option))[2] is None:
            raise UsageError(f"{option} takes {_form(option)}, not {text!r}")
    return _attributes(option, texts)


def _pairs(option: str, texts: Texts) -> object:
    """Write key -> text."""
    fields: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"{option} takes KEY=VALUE, not {text!r}")
        add(fields, key, value)
    return fields


def _scroll(option: str, texts: Texts) -> object:
    """Take pixels, or the name of a place."""
    text = _one(option, texts)
    return int(text) if text.isascii() and text.isdecimal() else text


def _or_true(option: str, texts: Texts) -> object:
    """Take a text, or true where that word is typed."""
    text = _one(option, texts)
    return text == "true" or text


def _transitions(option: str, texts: Texts) -> object:
    """Take names of a transition, or true alone."""
    return _many(option, texts) if len(texts) > 1 else _or_true(option, texts)


def _form(option: str) -> str:
    """Say what an option takes, as its help does."""
    return next(command.metavar for command in COMMANDS if command.option == option)


class Command(NamedTuple):
    """One command: its option, and how the texts typed become its value.

    `key` is the command's name in the payload, "" where the option's will do.
    """

    option: str
    metavar: str
    value: Callable[[str, Texts], object]
    summary: str
    key: str = ""

    @property
    def name(self) -> str:
        """Name the command as the payload does."""
        return self.key or self.option.removeprefix("--")


COMMANDS: Final = (
    Command("--inner", "SELECTOR=HTML", _by_selector, "Replace what elements hold."),
    Command("--outer", "SELECTOR=HTML", _by_selector, "Replace elements."),
    Command("--before", "SELECTOR=HTML", _by_selector, "Insert before elements."),
    Command("--after", "SELECTOR=HTML", _by_selector, "Insert after elements."),
    Command("--prepend", "SELECTOR=HTML", _by_selector, "Insert at the start of elements."),
    Command("--append", "SELECTOR=HTML", _by_selector, "Insert at the end of elements."),
    Command("--main", "HTML", _many, "Replace the page's main element."),
    Command("--remove", "SELECTOR", _many, "Remove elements."),
    Command(
        "--attr",
        "SELECTOR:NAME[=VALUE]",
        _attributes,
        "Set an attribute; without = it is removed, and with = and nothing it is set empty.",
    ),
    Command("--value", "SELECTOR=VALUE", _by_selector, "Set the value of fields."),
    Command(
        "--dataset", "SELECTOR:KEY=VALUE", _dataset, "Set a data-* value, by its name in dataset.",
        "data",
    ),
    Command(
        "--class",
        "SELECTOR=CLASSES",
        _by_selector,
        "Change classes: 'a -b !c' adds a, removes b and toggles c.",
    ),
    Command("--title", "TEXT", _one, "Set the page's title."),
    Command("--lang", "CODE", _one, "Set the page's language."),
    Command("--options", "CLASSES", _one, "Set the classes of body."),
    Command("--settings", "KEY=VALUE", _pairs, "Replace the data-* values of body."),
    Command("--path", "PATH", _one, "Set the address bar, as a new entry of the history."),
    Command("--path-replace", "PATH", _one, "Set the address bar, in place.", "pathReplace"),
    Command("--trans", "NAME", _transitions, "Animate the change; true is forward."),
    Command("--scroll", "PIXELS|#ANCHOR", _scroll, "Scroll the page."),
    Command("--css", "HREF", _many, "Load a style sheet, once."),
    Command("--js", "HREF", _many, "Load a script, once, where the page allows it."),
    Command("--defer", "HREF", _many, "Load a deferred script, once, where the page allows it."),
    Command("--location", "URL|true", _or_true, "Go to a page; true reloads this one."),
    Command("--call", "NAME", _many, "Call a function that the page has registered."),
    Command("--error", "TEXT", _many, "Show an error."),
    Command("--log", "TEXT", _many, "Write to the browser's console."),
    Command("--toast", "TEXT", _many, "Show a notice."),
)  # fmt: skip


_TEXT: Final = frozenset({_one, _many, _or_true, _transitions, _scroll})


def takes_text(command: Command) -> bool:
    """Tell whether a command's value can be plain text in the payload."""
    return command.value in _TEXT


def apply_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for every row of COMMANDS, and --state."""
    state = click.option(
        "--state/--no-state",
        default=None,
        expose_value=False,
        callback=_keep_state,
        help="Whether the history notices.",
    )
    function = state(function)
    for command in reversed(COMMANDS):
        function = _option(command)(function)
    return function


def _option(command: Command) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def keep(ctx: click.Context, _param: click.Parameter, texts: Texts) -> None:
        if texts and not ctx.resilient_parsing:
            add(collected(ctx), command.name, command.value(command.option, texts))

    return click.option(
        command.option,
        command.option.removeprefix("--").replace("-", "_"),
        metavar=command.metavar,
        multiple=True,
        expose_value=False,
        callback=keep,
        help=command.summary,
    )


def _keep_state(ctx: click.Context, _param: click.Parameter, state: bool | None) -> None:
    if state is not None and not ctx.resilient_parsing:
        add(collected(ctx), "state", state)


def collected(ctx: click.Context) -> dict[str, object]:
    """Return the commands typed so far, in the order they were typed."""
    fields: dict[str, object] = ctx.meta.setdefault(_META, {})
    if "path" in fields and "pathReplace" in fields:
        raise UsageError("--path and --path-replace exclude each other")
    return fields
