"""What a value of phlows.toml may be, and what the broker makes of it.

Each reader takes a TOML value and the folder of the config file. It raises
ValueError with the rest of a sentence that begins with the key's name, and
after it the name of an inner key where the fault is in one.
"""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from math import inf, isfinite
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from phlows_cli.model import HOOK_NAMES, normalise_host

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Network = IPv4Network | IPv6Network
    Reader = Callable[[object, Path], object]

T = TypeVar("T")

UNIX_PATH_LIMIT: Final = 103
"""Bytes in a unix socket's path: the smallest of the systems we run on."""

ENV_LIMIT: Final = 65536
"""Bytes in one environment entry; Linux itself stops at twice that."""

SHOWN_LIMIT: Final = 40
"""Characters of a wrong value that a message repeats."""

_TYPE_NAMES: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
}
_HOST_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_HOST_FORM: Final = re.compile(r"\[[^\]]+\](:\d{1,5})?|[^:/\[\]]*(:\d{1,5})?|[0-9A-Fa-f:.]+")
"""What normalise_host() is sure of; it would make "https" of a URL."""

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[^/:?#@\s]+)(?::(\d{1,5}))?")
_COOKIE: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{0,256}")
_HOOK_CLASS: Final = re.compile(r"[A-Za-z_\\][A-Za-z0-9_.\\-]{0,127}")
_TARGET: Final = re.compile(r"(?:[A-Za-z_\\][A-Za-z0-9_.:\\-]{0,255})?")
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def type_name(value: object) -> str:
    """Say in words what a TOML value is."""
    return _TYPE_NAMES.get(type(value), "a date or time")


def whole(value: object, _folder: Path) -> int:
    """Read a whole number."""
    if type(value) is not int:
        raise ValueError(_not_a("whole number", value))
    return value


def number(value: object, _folder: Path) -> float:
    """Read a number, fraction or not; infinity and nan are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(_not_a("number", value))  # noqa: TRY004 (readers raise one kind)
    try:
        converted = float(value)
    except OverflowError:
        converted = inf
    if not isfinite(converted):
        raise ValueError(f"must be a number, not {converted}")
    return converted


def _not_a(kind: str, value: object) -> str:
    """Show what stands where a number should; lists and tables by their type."""
    if not isinstance(value, bool | int | float | str):
        return f"must be a {kind}, not {type_name(value)}"
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    shown = shown if len(shown) <= SHOWN_LIMIT else f"{shown[:SHOWN_LIMIT]}..."
    hint = ", without quotes" if isinstance(value, str) else ""
    return f"is {shown}: it must be a {kind}{hint}"


def text(value: object, _folder: Path | None = None) -> str:
    """Read a text that the operating system can be given."""
    if not isinstance(value, str):
        hint = "" if isinstance(value, list | dict) else ": write it in quotes"
        raise ValueError(f"must be text, not {type_name(value)}{hint}")  # noqa: TRY004 (readers raise one kind)
    if "\0" in value:
        raise ValueError("must not hold a NUL character")
    if not value.isascii():
        _refuse_surrogates(value)
    return value


def _refuse_surrogates(value: str) -> None:
    """A command line can hold bytes that no TOML file can."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8") from None


def choice(*choices: str) -> Reader:
    """Make a reader of one word out of several."""

    def read(value: object, _folder: Path) -> str:
        if text(value) not in choices:
            raise ValueError(f"is {value!r}: it must be {_either(choices)}")
        return str(value)

    return read


def pattern(form: re.Pattern[str], meaning: str) -> Reader:
    """Make a reader of a text of one form."""

    def read(value: object, _folder: Path) -> str:
        if not form.fullmatch(text(value)):
            raise ValueError(f"is {value!r}, which is not {meaning}")
        return str(value)

    return read


cookie = pattern(_COOKIE, 'a cookie name ("" turns cookies off)')
hook_class = pattern(_HOOK_CLASS, "a name: letters, digits, _ . - and \\, at most 128")
target = pattern(_TARGET, 'a call such as "tasks::run"')


def file(value: object, folder: Path) -> str:
    """Read a path; a relative one starts at the folder. "" stays."""
    if not text(value):
        return ""
    try:
        return str(folder / Path(str(value)).expanduser())
    except RuntimeError:
        raise ValueError(f"is {value!r}, in a home that is not known: write it whole") from None


def app(value: object, folder: Path) -> str:
    """Read the path of an app, or its URL."""
    url = _URL.match(text(value))
    if not url:
        return file(value, folder)
    if url.group().lower() not in ("http://", "https://"):
        raise ValueError(f"is {value!r}: a URL must begin with http:// or https://")
    return _app_url(str(value))


def _app_url(url: str) -> str:
    """Check what a request needs; the password of a URL is not repeated."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole or "#" in url or not re.fullmatch(r"[!-~]+", url):
        raise ValueError("is not a URL such as http://127.0.0.1:8080/hooks: no blanks, no #")
    scheme, _, rest = url.partition("://")
    return f"{scheme.lower()}://{rest}"


def program(value: object, folder: Path) -> str:
    """Read an interpreter: a name is looked up on PATH. "" stays."""
    from shutil import which

    wanted = file(value, folder) if "/" in text(value) else str(value)
    if not wanted:
        return ""
    found = which(wanted)
    if not found:
        where = "not a program" if "/" in wanted else "not on PATH"
        raise ValueError(f"is {wanted!r}, which is {where}: install it or name another")
    return str(Path(found).absolute())


def flag(value: object, _folder: Path) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {type_name(value)}")  # noqa: TRY004 (readers raise one kind)
    return value


def host_name(value: object) -> str:
    """Read a virtual host's name or address, normalised as requests are."""
    name = normalise_host(text(value))
    if not _HOST_FORM.fullmatch(str(value).strip()):
        raise ValueError(f'{value!r} is not a host name: write it alone, as "app.example.com"')
    if ":" in name:
        _address(name)
        return name
    if _HOST_NAME.fullmatch(name):
        return name
    raise ValueError(f"{value!r} is not a host name{_as_browsers_say(name)}")


def listen(value: object, _folder: Path) -> tuple[str, ...]:
    """Read where to listen: a host, "unix:/path", or several."""
    return _each(_one_or_more(value), _listen_address)


def paths(value: object, _folder: Path) -> tuple[str, ...]:
    """Read the URL paths that accept an upgrade; "*" is any."""
    return _each(_one_or_more(value), _url_path)


def networks(value: object, _folder: Path) -> tuple[Network, ...]:
    """Read addresses and CIDR networks."""
    return _each(_texts(value), _network)


def peers(value: object, _folder: Path) -> tuple[Network | str, ...]:
    """Read networks, and "unix" for peers on a unix socket."""
    return _each(_texts(value), lambda item: item if item == "unix" else _network(item))


def names(value: object, _folder: Path) -> frozenset[str]:
    """Read host names, normalised."""
    return frozenset(_each(_texts(value), host_name))


def origins(value: object, _folder: Path) -> tuple[str, ...]:
    """Read allowed Origins, lower case; "*" is any."""
    return _each(_texts(value), _origin)


def hooks(value: object, _folder: Path) -> frozenset[str]:
    """Read which hooks the app has."""
    return frozenset(_each(_texts(value), _hook))


def env(value: object, _folder: Path) -> Mapping[str, str]:
    """Read the environment of the app's processes: names to text."""
    if not isinstance(value, dict):
        raise ValueError(f"must be a table of text, not {type_name(value)}")  # noqa: TRY004 (readers raise one kind)
    return MappingProxyType({name: _env_value(name, value[name]) for name in value})


def _env_value(name: str, value: object) -> str:
    if not name or "=" in name or "\0" in name:
        raise ValueError("is not a name for an environment variable", name)
    try:
        content = text(value)
    except ValueError as error:
        raise ValueError(str(error), name) from None
    size = len(os.fsencode(name)) + len(os.fsencode(content)) + 1
    if size > ENV_LIMIT:
        raise ValueError(f"is {size} bytes with its name; at most {ENV_LIMIT} fit", name)
    return content


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        raise ValueError(f"must be a list of text, not {type_name(value)}")  # noqa: TRY004 (readers raise one kind)
    return [text(item) for item in value]


def _one_or_more(value: object) -> list[str]:
    items = _texts(value if isinstance(value, list) else [value])
    if not items:
        raise ValueError("must not be empty")
    twice = {item for item in items if items.count(item) > 1}
    if twice:
        raise ValueError(f"has {', '.join(sorted(map(repr, twice)))} twice")
    return items


def _each(items: list[str], read: Callable[[str], T]) -> tuple[T, ...]:
    """Read every item; the faults of all of them make one sentence."""
    done, faults = [], []
    for item in items:
        try:
            done.append(read(item))
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("has " + "; ".join(faults))
    return tuple(done)


def _listen_address(item: str) -> str:
    kind, _, path = item.partition(":")
    if kind == "unix":
        return _unix_address(item, path)
    if "[" in item or item.count(":") == 1:
        raise ValueError(f"{item!r}, which is not an address alone: the port is server.port")
    if ":" in item:
        _address(item)
    elif not _HOST_NAME.fullmatch(item.lower()):
        raise ValueError(f"{item!r}, which is not an address, a host name or unix:/path")
    return item


def _unix_address(item: str, path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"{item!r}: a unix socket needs its whole path, as in unix:/run/x.sock")
    size = len(os.fsencode(path))
    if size > UNIX_PATH_LIMIT:
        raise ValueError(f"{item!r}: its path is {size} bytes; at most {UNIX_PATH_LIMIT} fit")
    return item


def _url_path(item: str) -> str:
    if item != "*" and not re.fullmatch(r"/[^\s?#\x00-\x1f]*", item):
        raise ValueError(f'{item!r}, which is not a URL path: it must begin with "/" or be "*"')
    return item


def _network(item: str) -> Network:
    if item == "unix":
        raise ValueError("'unix', which need not be named: peers on a unix socket are trusted")
    try:
        return ip_network(item)
    except ValueError:
        raise ValueError(f"{item!r}, which is not an address or network{_meant(item)}") from None


def _meant(item: str) -> str:
    """Name the network that an address with a prefix length lies in."""
    try:
        return f" (did you mean {ip_network(item, strict=False)}?)"
    except ValueError:
        return " such as 10.0.0.0/8 or ::1"


def _address(item: str) -> None:
    try:
        ip_address(item)
    except ValueError:
        raise ValueError(f"{item!r}, which is not an address") from None


def _origin(item: str) -> str:
    origin = item.lower()
    if origin == "*":
        return origin
    match = _ORIGIN.fullmatch(origin)
    host, port = match.groups() if match else ("", None)
    if not host or "*" in host or not 0 < int(port or 1) <= 65535:
        raise ValueError(f'{item!r}, which is not "scheme://host[:port]" or "*"')
    host_name(host)
    return origin


def _hook(item: str) -> str:
    if item not in HOOK_NAMES:
        raise ValueError(f"{item!r}, which is not a hook: the hooks are {', '.join(HOOK_NAMES)}")
    return item


def _as_browsers_say(name: str) -> str:
    """Hint at punycode, as which other letters reach us."""
    if name.isascii():
        return ""
    try:
        return f": browsers send {name.encode('idna').decode()!r}, so write that"
    except UnicodeError:
        return ""


def _either(choices: tuple[str, ...]) -> str:
    return " or ".join([", ".join(choices[:-1]), choices[-1]])
