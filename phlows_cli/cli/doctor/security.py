"""Who may cast, and whose page may open a socket with whose cookie."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Final

from phlows_cli.cli.doctor.check import (
    Case,
    Check,
    Result,
    each_host,
    each_public,
    fail,
    ok,
    skip,
    warn,
)
from phlows_cli.cli.doctor.network import LOCAL, is_broker_itself, publicly
from phlows_cli.cli.doctor.web import Address, ask
from phlows_cli.model import normalise_host

GROUP: Final = "Security"

_SECRET: Final = re.compile(r"KEY|SECRET|PASS|TOKEN|DSN|CREDENTIAL|DATABASE_URL", re.IGNORECASE)

OTHERS_COOKIES: Final = ("_ga", "_gid", "csrftoken", "csrf_token", "xsrf-token", "lang", "locale")


def _keys(case: Case, _subject: str) -> Result:
    files = [case.config.bridge.key_file]
    files += [Path(host.key_file) for host in case.config.hosts.values() if host.key_file]
    if os.environ.get("PHLOWS_KEY", "").strip():
        files = files[1:]
        if not files:
            return ok("the key is in PHLOWS_KEY")
    results = [_key(path) for path in files]
    worst = next((r for r in results if r.status == "fail"), None)
    return worst or next((r for r in results if r.status == "warn"), None) or results[0]


def _key(path: Path) -> Result:
    try:
        found = path.stat()
    except FileNotFoundError:
        return ok(f"{path} will be made at the first start, with mode 0600")
    except OSError as error:
        return skip(f"{path} cannot be looked at: {error.strerror}; run this as the broker's user")
    mode = found.st_mode & 0o777
    if mode & 0o077:
        return fail(f"{path} has mode {mode:04o}: other users can use it", f"`chmod 600 {path}`")
    if found.st_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
        return warn(f"{path} belongs to user {found.st_uid}, not to you", f"`ls -l {path}`")
    if not found.st_size:
        return fail(f"{path} is empty", f"`rm {path}`: the broker makes a new key at its start")
    return ok(f"{path} has mode {mode:04o}")


def _allow(case: Case, _subject: str) -> Result:
    bridge = case.config.bridge
    wide = [network for network in bridge.allow if not network.is_loopback]
    names = ", ".join(map(str, bridge.allow)) or "nobody"
    if not wide:
        return ok(f"without a key only this machine may cast ({names})")
    hint = "narrow bridge.allow to 127.0.0.0/8 and ::1/128, and let the others use the key"
    if any(not network.is_private for network in wide):
        return fail(f"without a key may cast: {names}", hint)
    return warn(f"without a key may cast: {names}", hint)


def _proxies(case: Case, _subject: str) -> Result:
    proxies = case.config.server.trusted_proxies
    names = ", ".join(map(str, proxies)) or "no address"
    wide = [network for network in proxies if network.prefixlen < 8 and not network.is_loopback]
    if not wide:
        return ok(f"X-Forwarded-* is believed from {names}")
    return fail(
        f"X-Forwarded-* is believed from {names}: visitors choose host, address and scheme",
        "name only the proxy's own address in server.trusted_proxies",
    )


def _bridge_is_private(case: Case, to: Address) -> Result:
    """A cast to nobody, sent as a stranger would send it, must be refused."""
    if is_broker_itself(case, to):
        return skip("this is the broker itself, on this machine: it lets us in as its apps")
    body = {"host": normalise_host(to.host), "target": [], "data": {}}
    headers = {"Content-Type": "application/json"}
    answer = ask(to, "/message", headers, case.timeout / 2, json.dumps(body).encode())
    is_receipt = answer.status == 200 and b'"matched"' in answer.body
    if is_receipt:
        return fail(
            "anyone can cast through its /message",
            "pass on server.path alone, and let the proxy set X-Forwarded-For",
        )
    return ok(f"a cast through its /message is refused ({answer.summary})")


def _origins(case: Case, name: str) -> Result:
    host = case.config.hosts[name]
    has_cookie = bool(host.token_cookie) and host.auth != "none"
    if "*" in host.origins and has_cookie:
        return fail(
            f"origins is '*' with cookie {host.token_cookie!r}: any site uses its visitors' logins",
            'name the sites in origins, or set token_cookie = ""',
        )
    plain = [origin for origin in host.origins if origin.startswith("http://")]
    remote = [o for o in plain if normalise_host(o.partition("://")[2]) not in LOCAL]
    if remote and (case.config.server.tls_cert or _is_public_over_https(case, name)):
        return warn(
            f"origins lets {', '.join(remote)} in, though the site is https",
            f"write {', '.join(o.replace('http:', 'https:') for o in remote)}",
        )
    more = f" and those of {', '.join(host.origins)}" if host.origins else ""
    return ok(f"its own pages{more} may open sockets")


def _is_public_over_https(case: Case, name: str) -> bool:
    addresses = [Address.parse(url) for url in case.publics]
    return any(to.is_secure and normalise_host(to.host) == name for to in addresses)


def _cookie(case: Case, name: str) -> Result:
    host = case.config.hosts[name]
    cookie = host.token_cookie
    if host.auth == "upgrade" and not cookie:
        return fail(
            'auth = "upgrade" without token_cookie: everyone is refused with 401',
            f"set token_cookie, or `phlows host add {name} APP --auth message --replace`",
        )
    if host.auth == "none":
        return ok("no token is checked (auth = none): its sockets are anonymous")
    if not cookie:
        return ok("cookies are off: the first message brings the token")
    if cookie.lower() in OTHERS_COOKIES:
        return warn(f"cookie {cookie!r} is hardly a login", "set token_cookie to your session's")
    return ok(
        f"the token is in cookie {cookie!r}"
        + (" or the first message" if host.auth == "message" else "")
    )


def _config_file(case: Case, _subject: str) -> Result:
    path = case.config.path
    if path is None:
        return skip("there is no configuration file")
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return fail(f"{path}: {error.strerror}", "name another with --config")
    if mode & stat.S_IWOTH:
        return fail(f"{path} can be changed by every user", f"`chmod o-w {path}`")
    names = {name for host in case.config.hosts.values() for name in host.env}
    secrets = sorted(name for name in names if _SECRET.search(name))
    if secrets and mode & stat.S_IROTH:
        return warn(
            f"{path} sets {', '.join(secrets[:5])} and can be read by every user",
            f"`chmod o-r {path}`",
        )
    return ok(f"{path} has mode {stat.S_IMODE(mode):04o}")


CHECKS: Final = (
    Check(GROUP, "config-file", _config_file),
    Check(GROUP, "key-file", _keys),
    Check(GROUP, "bridge-allow", _allow),
    Check(GROUP, "bridge-public", publicly(_bridge_is_private), each_public),
    Check(GROUP, "trusted-proxies", _proxies),
    Check(GROUP, "origins", _origins, each_host),
    Check(GROUP, "cookie", _cookie, each_host),
)
