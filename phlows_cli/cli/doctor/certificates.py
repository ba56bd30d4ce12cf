"""Certificates: their end, their chain, and the names that they are for."""

from __future__ import annotations

import socket
import ssl
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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
from phlows_cli.cli.doctor.network import GROUP as NETWORK
from phlows_cli.cli.doctor.network import LOCAL, publicly
from phlows_cli.cli.trust import trusting
from phlows_cli.errors import BrokerUnreachableError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlows_cli.cli.doctor.web import Address

GROUP: Final = "Security"

SOON: Final = 14
"""Days before its end at which a renewal is late."""

SHORT_LIVED: Final = 42
"""Days; one that is made for less is never far from its end."""

LATE_SHARE: Final = 0.1
"""Of a short-lived one's whole time: what is left when a renewal is late."""

DAY: Final = 86_400
HOUR: Final = 3_600

_RENEW: Final = "renew it (certbot renew, or what made it); the broker takes it by `phlows reload`"

_RENEWS_ITSELF: Final = (
    "what made one so short renews it, too (Caddy, an ACME client): its log says why not"
)


def _public(case: Case, to: Address) -> Result:
    if not to.is_secure and to.host in LOCAL:
        return skip("it is this machine's own, without TLS")
    if not to.is_secure:
        return warn(
            "visitors come without encryption", "serve it over https, at least outside of tests"
        )
    try:
        with (
            socket.create_connection((to.host, to.port), case.timeout / 2) as plain,
            trusting(case.ca).wrap_socket(plain, server_hostname=to.host) as tls,
        ):
            return _by_its_end(tls.getpeercert() or {}, f"of {to.host}")
    except ssl.SSLCertVerificationError as error:
        return fail(
            f"clients do not trust {to.host}: {error.verify_message}",
            "renew or complete the chain: `openssl s_client -connect` with -servername shows it",
        )
    except OSError as error:
        raise BrokerUnreachableError(f"it does not answer: {error}") from None


def _own(case: Case, _subject: str) -> Result:
    from phlows_cli.server.tls import Certificate

    cert, key = case.config.server.tls_cert, case.config.server.tls_key
    if not cert:
        return skip("server.tls_cert is not set: a proxy brings TLS, or nobody does")
    try:
        server = Certificate(Path(cert), Path(key)).context
        facts = _facts(server, cert)
    except ConfigError as error:
        return fail(str(error), "set both to PEM files that belong together and can be read")
    except ssl.SSLCertVerificationError as error:
        return fail(f"{cert}: {error.verify_message}", _RENEW)
    if Path(key).stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        return fail(f"{key} can be read by every user", f"`chmod o-rwx {key}`")
    return _judge(facts, cert, case.hosts, is_trusted=_is_trusted(server))


def _judge(facts: dict[str, Any], cert: str, hosts: Sequence[str], *, is_trusted: bool) -> Result:
    nameless = [name for name in hosts if not _is_for(facts, name)]
    if nameless:
        return warn(f"{cert} is not for {', '.join(nameless[:5])}", "get one that names them all")
    result = _by_its_end(facts, cert)
    if result.hint or is_trusted:
        return result
    return warn(
        f"{result.message}, but this system does not trust its chain",
        "put the chain behind the certificate in the file (fullchain.pem)",
    )


def _by_its_end(facts: dict[str, Any], what: str) -> Result:
    begin, end = (ssl.cert_time_to_seconds(str(facts[at])) for at in ("notBefore", "notAfter"))
    left, life = end - time.time(), end - begin
    if life >= SHORT_LIVED * DAY:
        seen = f"the certificate {what} is good for {_span(left, 'more ')}"
        return ok(seen) if left >= SOON * DAY else warn(seen, _RENEW)
    seen = f"the certificate {what} is good for {_span(left, 'more ')}, made for {_span(life)}"
    return ok(seen) if left >= life * LATE_SHARE else warn(seen, _RENEWS_ITSELF)


def _span(seconds: float, more: str = "") -> str:
    """Write a time in days, or in hours where it is not two."""
    if seconds >= 2 * DAY:
        return f"{int(seconds // DAY)} {more}days"
    return f"{seconds / HOUR:.1f} {more}hours".replace(".0 ", " ")


def _facts(server: ssl.SSLContext, cert: str) -> dict[str, Any]:
    """Read the certificate as a client sees it that trusts this very one.

    Raises:
        ssl.SSLCertVerificationError: it is not valid now.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(cert)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return _shake_hands(server, client)


def _is_trusted(server: ssl.SSLContext) -> bool:
    client = ssl.create_default_context()
    client.check_hostname = False
    try:
        _shake_hands(server, client)
    except ssl.SSLCertVerificationError:
        return False
    return True


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, Any]:
    """Let a client meet the certificate, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server)
    there = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(8):  # a handshake has three flights
        for end in (here, there):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
        if here.version() and here.getpeercert():
            break
    return dict(here.getpeercert() or {})


def _is_for(facts: dict[str, Any], host: str) -> bool:
    names = [value.lower() for kind, value in facts.get("subjectAltName", ()) if kind != "URI"]
    return host in names or f"*.{host.partition('.')[2]}" in names


CHECKS: Final = (
    Check(NETWORK, "public-certificate", publicly(_public), each_public),
    Check(GROUP, "tls-certificate", _own),
)
