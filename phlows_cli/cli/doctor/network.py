"""The way through the proxy: whether an upgrade arrives as it was sent.

No socket is opened where that would run a hook. The upgrades that are sent ask
for a version of WebSocket that nobody speaks: the broker looks at path, host
and Origin first, and then refuses them with words of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from phlows_cli.cli.doctor.check import (
    Case,
    Check,
    Result,
    each_public,
    fail,
    ok,
    skip,
    warn,
)
from phlows_cli.cli.doctor.web import Address, Answer, ask
from phlows_cli.errors import BrokerUnreachableError, PhlowsError, UsageError
from phlows_cli.model import normalise_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from phlows_cli.model import Host

GROUP: Final = "Network"

NOBODYS_VERSION: Final = "7"
NOBODY: Final = "nobody.phlows.invalid"
_REFUSED_VERSION: Final = f"WebSocket version '{NOBODYS_VERSION}'"
_UPGRADE: Final = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": NOBODYS_VERSION,
    "Sec-WebSocket-Key": "cGhsb3dzLWRvY3Rvci1rZQ==",
}
LOCAL: Final = ("localhost", "127.0.0.1", "::1")
SKEW: Final = 5.0
"""Seconds; Date has whole ones, and the way takes its time."""

_UNNAMED: Final = "no public address was named: `phlows doctor --public https://app.example.com`"
_SEE: Final = "`phlows proxy nginx` or `phlows proxy caddy` prints a configuration that does"


def path_of(case: Case, to: Address) -> str:
    """The path at which sockets are opened, as the public address has it."""
    first = case.config.server.paths[0]
    return to.path or (first if first != "*" else "/websocket")


def send(case: Case, to: Address, **headers: str) -> Answer:
    """Send an upgrade that no hook comes of; "_" in a name stands for "-".

    Raises:
        BrokerUnreachableError: nothing answers.
    """
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(to, path_of(case, to), {**_UPGRADE, **more}, case.timeout / 2)


def arrived(answer: Answer) -> bool:
    """Whether the broker saw the upgrade, and had nothing against it but its version."""
    return answer.status == 426 and _REFUSED_VERSION in answer.message


def publicly(judge: Callable[[Case, Address], Result]) -> Callable[[Case, str], Result]:
    """Make a check of what is to be looked at from outside."""

    def run(case: Case, subject: str) -> Result:
        if not subject:
            return skip(_UNNAMED)
        try:
            return judge(case, Address.parse(subject))
        except BrokerUnreachableError as error:
            return skip(f"{error} (see public-address)")

    return run


def host_of(case: Case, to: Address) -> Host | None:
    """The registered host of a public address."""
    return case.config.hosts.get(normalise_host(to.host))


def _reachable(case: Case, subject: str) -> Result:
    if not subject:
        return skip(_UNNAMED)
    to = Address.parse(subject)
    try:
        answer = ask(to, path_of(case, to), {}, case.timeout / 2)
    except BrokerUnreachableError as error:
        return fail(str(error), "see that its name, its port and its firewall let you in")
    if answer.status in (502, 503, 504):
        why = f"{answer.summary}: the proxy does not reach the broker"
        return fail(
            why, "is the broker up (`phlows status`), and is its address the proxy's upstream?"
        )
    if host_of(case, to) is None:
        return warn(
            f"it answers, but host {to.host} is not registered here",
            f"`phlows host add {to.host} /path/to/app.php`, or name its --config",
        )
    return ok(f"it answers with {answer.summary}")


def _upgrade(case: Case, to: Address) -> Result:
    answer = send(case, to)
    if arrived(answer):
        return ok(f"an upgrade to {path_of(case, to)} reaches the broker")
    said = answer.message
    alike = _said_directly(case, to)
    if alike:
        return fail(f"the broker itself refuses it: {alike}", "mend that first; see broker")
    if answer.status in (403, 421):
        return ok(f"an upgrade reaches the broker, which refuses it: {said or answer.summary}")
    if answer.status == 426:
        return fail(
            "the proxy does not pass the upgrade on: the broker sees a plain request",
            "nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;"
            f' proxy_set_header Connection "upgrade"; {_SEE}',
        )
    if answer.status == 404:
        where = f"{path_of(case, to)} is not passed to the broker ({said or answer.summary})"
        return fail(
            where,
            f"pass it on as it is: server.path is {', '.join(case.config.server.paths)}; {_SEE}",
        )
    return fail(f"an upgrade ends with {answer.summary}{f': {said}' if said else ''}", _SEE)


def broker_address(case: Case) -> Address:
    """Where the broker is reached without the proxy.

    Raises:
        UsageError: on a unix socket only.
    """
    from phlows_cli.cli.client import client_for

    url = client_for(case.config, case.url or None).url
    if url.startswith("unix:"):
        raise UsageError(f"{url} is no address that HTTP can be asked at here")
    return Address.parse(url)


def is_broker_itself(case: Case, to: Address) -> bool:
    """Whether an address is the broker's own on this machine, without a proxy."""
    try:
        direct = broker_address(case)
    except UsageError:
        return False
    return to.port == direct.port and {to.host, direct.host} <= set(LOCAL)


def _said_directly(case: Case, to: Address) -> str:
    """Ask the broker without the proxy; "" when it is content, or cannot be asked."""
    headers = {**_UPGRADE, "Host": to.host}
    try:
        answer = ask(broker_address(case), path_of(case, to), headers, case.timeout / 4)
    except PhlowsError:
        return ""
    return "" if arrived(answer) else answer.message or answer.summary


def _forwarded_host(case: Case, to: Address) -> Result:
    answer = send(case, to)
    if answer.status == 421:
        return fail(
            f"the broker sees another host than {to.host}: {answer.message}",
            "pass the name on: proxy_set_header X-Forwarded-Host $host (and the proxy's address"
            " must be in server.trusted_proxies)",
        )
    if not arrived(answer) and answer.status != 403:
        return skip("the upgrade does not reach the broker (see upgrade)")
    if is_broker_itself(case, to):
        return ok(f"the broker sees host {to.host}; no proxy stands before it")
    forged = send(case, to, X_Forwarded_Host=NOBODY)
    if forged.status == 421 and NOBODY in forged.message:
        return warn(
            "the proxy passes a client's own X-Forwarded-Host on: visitors choose the host",
            "overwrite it: proxy_set_header X-Forwarded-Host $host",
        )
    return ok(f"the broker sees host {to.host}, whatever a client says of it")


def _origin(case: Case, to: Address) -> Result:
    answer = send(case, to, Origin=to.origin)
    if arrived(answer):
        return ok(f"pages of {to.origin} may open sockets")
    if answer.status != 403:
        return skip("the upgrade does not reach the broker (see upgrade)")
    return fail(
        f"pages of {to.origin} may not: {answer.message or answer.summary}",
        f'pass Origin and X-Forwarded-Host on, or add "{to.origin}" to the host\'s origins',
    )


def _forwarded_proto(case: Case, to: Address) -> Result:
    host = host_of(case, to)
    if not to.is_secure:
        return skip("it is not https")
    if host is None or "*" in host.origins or any(o.startswith("http://") for o in host.origins):
        return skip("the host's origins let http pages in, or it is not registered here")
    answer = send(case, to, Origin=to.origin_as("http"))
    if answer.status == 403:
        return ok("the broker knows that visitors come over https")
    if not arrived(answer):
        return skip("the upgrade does not reach the broker (see upgrade)")
    return warn(
        "the broker takes visitors' https for http, and lets http pages open sockets",
        "proxy_set_header X-Forwarded-Proto $scheme (and the proxy in server.trusted_proxies)",
    )


def _skew(case: Case, to: Address) -> Result:
    import time
    from email.utils import parsedate_to_datetime

    answer = ask(to, path_of(case, to), {}, case.timeout / 2)
    try:
        there = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except ValueError:
        return skip("it sends no Date")
    skew = there - time.time()
    if abs(skew) <= SKEW:
        return ok(f"within {SKEW:g} seconds of {to.host}")
    return warn(f"{skew:+.0f} seconds from here to {to.host}", "`timedatectl set-ntp true` on both")


CHECKS: Final = (
    Check(GROUP, "public-address", _reachable, each_public),
    Check(GROUP, "upgrade", publicly(_upgrade), each_public),
    Check(GROUP, "forwarded-host", publicly(_forwarded_host), each_public),
    Check(GROUP, "public-origin", publicly(_origin), each_public),
    Check(GROUP, "forwarded-proto", publicly(_forwarded_proto), each_public),
    Check(GROUP, "clock-skew", publicly(_skew), each_public),
)
