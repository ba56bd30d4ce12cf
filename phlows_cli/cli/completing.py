"""What a shell offers after a tab that only the configuration or a broker knows.

Every function takes click's three arguments. Where there is no file, no broker
or no key, it offers nothing: a shell has nowhere to show an error.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import click
    from click.shell_completion import CompletionItem

    from phlows_cli.config import Config

    Items = list[CompletionItem[str]]
    Report = dict[str, Any]

PATIENCE: Final = 0.3
"""Seconds for a broker to say who is connected: a finger waits for it."""

MOST: Final = 200
"""Words offered at most: more than that is not a choice but a list."""

KEYS: Final = {"presence": "sockets", "orphans": "orphans"}
"""Route -> where its answer keeps the list."""

TARGETS: Final = {
    "all": "everyone",
    "token:": "everyone with a token",
    "token:not:": "everyone without it",
    "socket:": "one connection",
}


def hosts(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Offer the hosts of the configuration."""
    config = _config(ctx)
    return _items(sorted(config.hosts) if config else (), incomplete)


def sockets(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Offer the sockets that are connected, of the host that is typed."""
    return _items(_by(ctx, "socket"), incomplete)


def tokens(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Offer the hashes of the tokens that are connected."""
    return _items(_by(ctx, "token"), incomplete)


def orphans(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Offer the sockets whose close hooks were given up."""
    found = {str(each.get("socket")): str(each.get("host", "")) for each in _ask(ctx, "orphans")}
    return _items(found, incomplete)


def targets(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Offer the forms of a target; a socket's id once `socket:` is typed."""
    if not incomplete.startswith("socket:"):
        return _items(TARGETS, incomplete)
    found = {f"socket:{socket}": whose for socket, whose in _by(ctx, "socket").items()}
    return _items(found, incomplete)


def hook_names(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Offer the four hooks."""
    from phlows_cli.model import HOOK_NAMES

    return _items(HOOK_NAMES, incomplete)


def settings(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Offer tables, hosts and settings: server, server.port, hosts.NAME.app."""
    from phlows_cli.settings import HOST, SECTIONS

    config = _config(ctx)
    hosts_there = sorted(config.hosts) if config else []
    names = [*SECTIONS, *hosts_there]
    names += [f"{table}.{setting.name}" for table, rows in SECTIONS.items() for setting in rows]
    names += [f"hosts.{host}.{setting.name}" for host in hosts_there for setting in HOST]
    return _items(names, incomplete)


def message_items(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Offer the commands that a page applies, as `key=` or, for JSON, `key:=`."""
    from phlows_cli.cli.apply_options import COMMANDS, takes_text

    offered = {
        command.name + ("=" if takes_text(command) else ":="): command.summary
        for command in COMMANDS
    }
    return _items(offered, incomplete)


def _items(words: Mapping[str, str] | Iterable[str], incomplete: str) -> Items:
    from itertools import islice

    from click.shell_completion import CompletionItem

    helps: Mapping[str, str] = words if isinstance(words, dict) else {}
    fit = (word for word in words if word.startswith(incomplete) and word.isprintable())
    return [CompletionItem(word, help=helps.get(word)) for word in islice(fit, MOST)]


def _config(ctx: click.Context) -> Config | None:
    from phlows_cli.config import find_config, load_config
    from phlows_cli.errors import PhlowsError

    try:
        return load_config(find_config(ctx.params.get("config_path")))
    except (PhlowsError, OSError):
        return None


def _by(ctx: click.Context, key: str) -> dict[str, str]:
    """Name those who are connected by one key, each with what tells them apart."""
    others = [name for name in ("host", "token", "agent") if name != key]
    return {
        str(each[key]): " ".join(str(each.get(name, "")) for name in others)
        for each in _ask(ctx, "presence")
        if each.get(key) and _is_of(each, ctx.params.get("host"))
    }


def _is_of(each: Report, host: str | None) -> bool:
    return host is None or each.get("host") == host.lower()


def _ask(ctx: click.Context, what: str) -> list[Report]:
    """Ask the broker for a list, for PATIENCE seconds at most."""
    from phlows_cli.errors import PhlowsError

    config = _config(ctx)
    if config is None:
        return []
    from phlows_cli.cli.client import client_for

    try:
        client = client_for(config, ctx.params.get("url"))
    except PhlowsError:
        return []
    # Their import is not the broker's time.
    import requests  # noqa: F401 - what the client waits for otherwise

    found = _in_time(lambda: client.get(f"/{what}").get(KEYS[what]))
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _in_time(ask: Callable[[], object]) -> object:
    """Return what is asked for when it comes in time; a refusal is None."""
    from threading import Thread

    from phlows_cli.errors import PhlowsError

    found: list[object] = []

    def run() -> None:
        with suppress(PhlowsError):
            found.append(ask())

    # It may trickle in for ever: a thread that nobody waits for ends with the process.
    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return found[0] if found else None
