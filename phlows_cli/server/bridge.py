"""The HTTP side: routes to broker calls, answers to bytes."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

import msgspec

from phlows_cli.broker import report
from phlows_cli.broker.casting import has_room
from phlows_cli.broker.events import Watch
from phlows_cli.errors import ConfigError, PhlowsError, RequestError
from phlows_cli.model import Cast, CloseCode, Target, normalise_host, parse_excluded
from phlows_cli.server import casts, dispatch, orphans, recordings
from phlows_cli.server.answers import Answer, Later
from phlows_cli.server.feed import Feed
from phlows_cli.wire.response import error_response, json_response, receipt_response, text_response

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from collections.abc import Set as AbstractSet

    from phlows_cli.broker.broker import Broker
    from phlows_cli.server.access import Access, Caller, Grant
    from phlows_cli.wire.request import Request

T = TypeVar("T")
log = logging.getLogger("phlows.bridge")

Handler = Callable[["Bridge", "Request", "Grant"], Answer]
Page = tuple[str, bytes]
"""A content type and a body."""

EVENT_TYPES: Final = ("open", "auth", "receive", "hook", "cast", "close", "lost")
_HASH_START: Final = re.compile(r"[0-9a-f]{12,64}")

OPEN_CLASS: Final = "websocket"
"""The hook class of Phlo engines that dispatch without a key."""

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

CLOSE_REASON_BYTES: Final = 123
"""What a close frame has room for. Source: RFC 6455, section 5.5."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path and method of the bridge."""

    method: str
    handle: Handler
    needs_key: bool = True
    takes_body: bool = False
    is_for_hosts: bool = False
    """Whether a host's own key will do, too: the handler checks the host."""


class Permit(NamedTuple):
    """What a head was let in for: all requests that share it are, by the same rules."""

    headers: Mapping[str, str]
    access: Access
    route: Route
    grant: Grant


class WorkersBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /workers/reload; no host means all."""

    host: str = ""


class DisconnectBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /disconnect."""

    target: Any
    host: str = ""
    code: int = int(CloseCode.NORMAL)
    reason: str = ""


_cast_body: Final = msgspec.json.Decoder(casts.CastBody)
_dispatch_body: Final = msgspec.json.Decoder(dispatch.DispatchBody)
_drop_body: Final = msgspec.json.Decoder(orphans.DropBody)
_workers_body: Final = msgspec.json.Decoder(WorkersBody)
_disconnect_body: Final = msgspec.json.Decoder(DisconnectBody)


class Control(Protocol):
    """What the bridge may ask of the process it runs in."""

    def reload(self) -> Mapping[str, list[str]]:
        """Read the configuration again; returns what changed.

        Raises:
            PhlowsError: it is wrong, and nothing was changed.
        """

    def drain(self) -> None:
        """Stop, in order, as on SIGTERM."""

    async def renew(self, host: str) -> Mapping[str, Mapping[str, object]]:
        """Replace the workers of a host, or of all; see Bridge.renew_workers.

        Raises:
            UnknownHostError: there is no such host.
        """

    def metrics(self) -> bytes:
        """The metrics in Prometheus' text format."""


class Bridge:
    """Answers every request that is not an upgrade.

    Args:
        broker: what the routes call.
        access: who may use them; a reload sets another.
        control: what the routes ask of the process.
        pages: public GET routes besides the bridge's own (the demo's page).
    """

    def __init__(
        self, broker: Broker, access: Access, pages: Mapping[str, Page], control: Control
    ) -> None:
        self._broker = broker
        self.access = access
        self._pages = pages
        self._control = control
        self._started = time.monotonic()

    def permit(self, request: Request, caller: Caller) -> Permit | bytes:
        """Let a request in by its head; what is not let in has its answer."""
        page = self._pages.get(request.path)
        if page is not None and request.method == "GET":
            return text_response(page[1], page[0], keep_alive=request.keep_alive)
        try:
            return self._permit(request, caller)
        except Exception as error:  # noqa: BLE001 - the edge: a fault of ours is an answer, too
            return _failure(error, request)

    def answer(self, request: Request, permit: Permit) -> Answer:
        """The answer to a request that was let in; an error is an answer too."""
        try:
            return permit.route.handle(self, request, permit.grant)
        except Exception as error:  # noqa: BLE001 - the same edge
            return _failure(error, request)

    def _permit(self, request: Request, caller: Caller) -> Permit:
        route = ROUTES.get(request.path)
        if route is None:
            raise RequestError("no such route", 404)
        if request.method != route.method:
            allow = (("Allow", route.method),)
            raise RequestError(f"{request.path} takes {route.method}", 405, allow)
        grant = self.access.check(request, caller, needs_key=route.needs_key)
        if grant.hosts is not None and not route.is_for_hosts:
            raise RequestError(f"{request.path} is for the broker's own key (bridge.key_file)", 403)
        if route.takes_body:
            _check_body(request)
        return Permit(request.headers, self.access, route, grant)

    def message(self, request: Request, grant: Grant) -> Answer:
        """POST /message: a cast."""
        body = _decode(_cast_body, request.body)
        payload = bytes(body.data)
        if payload[:1] not in (b"{", b"["):
            raise RequestError("data is not a JSON object or array")
        target = Target.parse(body.target)
        excluded = parse_excluded(body.excluded)
        host = self._host_of(body.host, request)
        self.access.check_host(grant, host)
        cast = Cast(host, payload, target, excluded)
        if not has_room(self._broker, cast):
            work = casts.delivered_in_turn(self._broker, cast, keep_alive=request.keep_alive)
            return Later(_settled(work, request))
        receipt = self._broker.cast(cast)
        return receipt_response(receipt, keep_alive=request.keep_alive)

    def disconnect(self, request: Request, grant: Grant) -> Answer:
        """POST /disconnect: close the sockets in an audience."""
        body = _decode(_disconnect_body, request.body)
        if body.code != CloseCode.NORMAL and not 3000 <= body.code <= 4999:
            raise RequestError(f"code {body.code} is not 1000 or one of 3000 to 4999")
        if len(body.reason.encode()) > CLOSE_REASON_BYTES:
            raise RequestError(f"reason is over the {CLOSE_REASON_BYTES} bytes of a close frame")
        host = self._host_of(body.host, request)
        self.access.check_host(grant, host)
        target = Target.parse(body.target)
        count = self._broker.disconnect(host, target, body.code, body.reason)
        answer = {"status": "ok", "host": host, "disconnected": count}
        return json_response(answer, keep_alive=request.keep_alive)

    def health(self, request: Request, grant: Grant) -> Answer:
        """GET /health, of the hosts that the key is for."""
        health = report.health(self._broker, self._started, grant.hosts)
        return json_response(health, keep_alive=request.keep_alive)

    def ready(self, request: Request, _grant: Grant) -> Answer:
        """GET /ready: 200 when casts and hooks can be served."""
        reason = report.unready_reason(self._broker)
        if reason:
            raise RequestError(reason, 503)
        return json_response({"status": "ok"}, keep_alive=request.keep_alive)

    def presence(self, request: Request, grant: Grant) -> Answer:
        """GET /presence?host=: who is connected."""
        named = _known(request.query, {"host"}).get("host", "")
        name = normalise_host(named)
        self.access.check_host(grant, name)
        hosts = [name] if named else self._broker.hub.hosts
        sockets = report.presence(self._broker, hosts)
        return json_response({"status": "ok", "sockets": sockets}, keep_alive=request.keep_alive)

    def events(self, request: Request, grant: Grant) -> Answer:
        """GET /events: what happens, as it happens."""
        _check_streams(request)
        filters = dict(_known(request.query, {"host", "token", "socket", "type"}))
        self.access.check_host(grant, normalise_host(filters.get("host", "")))
        if "host" in filters:
            filters["host"] = normalise_host(filters["host"])
            self._broker.hub.count(filters["host"])  # an unknown host is an error
        if not _HASH_START.fullmatch(filters.get("token", "0" * 12)):
            raise RequestError("token is not a sha256 or its first 12 hex characters")
        if filters.get("type", "open") not in EVENT_TYPES:
            raise RequestError(f"unknown type; there are: {', '.join(EVENT_TYPES)}")
        return Feed(self._broker.events, lambda wake: Watch(wake, filters))

    def record(self, request: Request, grant: Grant) -> Answer:
        """GET /record: hook calls, with what was said in them."""
        _check_streams(request)
        query = _known(request.query, recordings.PARAMETERS)
        host = normalise_host(query.get("host", ""))
        self.access.check_host(grant, host)
        return recordings.feed(self._broker, host, query)

    def workers(self, request: Request, _grant: Grant) -> Answer:
        """GET /workers: the resident workers."""
        workers = report.workers(self._broker)
        return json_response({"status": "ok", "workers": workers}, keep_alive=request.keep_alive)

    def renew_workers(self, request: Request, _grant: Grant) -> Answer:
        """POST /workers/reload: new workers for old ones."""
        body = _decode(_workers_body, request.body or b"{}")
        return Later(_settled(self._renewed(normalise_host(body.host), request), request))

    async def _renewed(self, host: str, request: Request) -> bytes:
        done = await self._control.renew(host)
        return json_response({"status": "ok", **done}, keep_alive=request.keep_alive)

    def dispatch(self, request: Request, grant: Grant) -> Answer:
        """POST /dispatch: a call of an app's own."""
        body = _decode(_dispatch_body, request.body)
        app = dispatch.application_of(self._broker, body)
        self.access.check_host(grant, app.host.name)
        if app.host.hook_class != OPEN_CLASS and not grant.has_key:
            self.access.demand_key(f"only hosts with hook_class {OPEN_CLASS!r} need no key for it")
        task = dispatch.task_of(app, body)
        if self._broker.is_draining:
            raise RequestError("the broker is stopping", 503)
        if body.is_async:
            self._broker.tasks.spawn(dispatch.run_unheard(self._broker, app, task))
            queued = {"status": "ok", "queued": True}
            return json_response(queued, 202, keep_alive=request.keep_alive)
        if body.stream:
            _check_streams(request)
            return dispatch.TaskStream(self._broker, app, task)
        work = dispatch.answer(self._broker, app, task, keep_alive=request.keep_alive)
        return Later(_settled(work, request))

    def orphans(self, request: Request, _grant: Grant) -> Answer:
        """GET /orphans: close hooks that were given up."""
        work = orphans.listed(self._broker, keep_alive=request.keep_alive)
        return Later(_settled(work, request))

    def drop_orphans(self, request: Request, _grant: Grant) -> Answer:
        """POST /orphans/drop: forget them."""
        body = _decode(_drop_body, request.body or b"{}")
        work = orphans.dropped(self._broker, body.sockets, keep_alive=request.keep_alive)
        return Later(_settled(work, request))

    def metrics(self, request: Request, _grant: Grant) -> Answer:
        """GET /metrics."""
        return text_response(self._control.metrics(), METRICS_TYPE, keep_alive=request.keep_alive)

    def reload(self, request: Request, _grant: Grant) -> Answer:
        """POST /reload: read phlows.toml again."""
        try:
            changes = self._control.reload()
        except ConfigError as error:
            raise RequestError(f"nothing was changed: {error}") from error
        return json_response({"status": "ok", **changes}, keep_alive=request.keep_alive)

    def drain(self, request: Request, _grant: Grant) -> Answer:
        """POST /drain: stop, as on SIGTERM."""
        self._control.drain()
        return json_response({"status": "ok"}, keep_alive=request.keep_alive)

    def _host_of(self, named: str, request: Request) -> str:
        """The host that a body names, else the header X-Phlo-Host.

        Raises:
            RequestError: neither names one.
        """
        host = normalise_host(named or request.headers.get("x-phlo-host", ""))
        if not host:
            raise RequestError("host is missing: name the virtual host")
        return host


ROUTES: Final[Mapping[str, Route]] = {
    "/message": Route("POST", Bridge.message, needs_key=False, takes_body=True, is_for_hosts=True),
    "/health": Route("GET", Bridge.health, needs_key=False, is_for_hosts=True),
    "/ready": Route("GET", Bridge.ready, needs_key=False, is_for_hosts=True),
    "/presence": Route("GET", Bridge.presence, is_for_hosts=True),
    "/events": Route("GET", Bridge.events, is_for_hosts=True),
    "/record": Route("GET", Bridge.record, is_for_hosts=True),
    "/disconnect": Route("POST", Bridge.disconnect, takes_body=True, is_for_hosts=True),
    "/metrics": Route("GET", Bridge.metrics),
    "/reload": Route("POST", Bridge.reload),
    "/drain": Route("POST", Bridge.drain),
    "/orphans": Route("GET", Bridge.orphans),
    "/orphans/drop": Route("POST", Bridge.drop_orphans),
    "/workers": Route("GET", Bridge.workers),
    "/workers/reload": Route("POST", Bridge.renew_workers),
    "/dispatch": Route(
        "POST", Bridge.dispatch, needs_key=False, takes_body=True, is_for_hosts=True
    ),
}


async def _settled(work: Coroutine[Any, Any, bytes], request: Request) -> bytes:
    """The answer that takes a while; an error is an answer too."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - the same edge, later
        return _failure(error, request)


def _failure(error: Exception, request: Request) -> bytes:
    """Say what went wrong; a fault of ours is told to the log alone."""
    if isinstance(error, PhlowsError):
        headers = error.headers if isinstance(error, RequestError) else ()
        return error_response(error.status, str(error), headers, keep_alive=request.keep_alive)
    log.error("a bridge request failed", exc_info=error, extra={"path": request.path[:100]})
    return error_response(500, "internal error, see the log", keep_alive=request.keep_alive)


def _check_streams(request: Request) -> None:
    if request.version != "1.1":
        raise RequestError(f"{request.path} answers with a stream and needs HTTP/1.1", 505)


def _check_body(request: Request) -> None:
    """The body must be there and say that it is JSON, if it says anything."""
    headers = request.headers
    if "content-length" not in headers and "transfer-encoding" not in headers:
        raise RequestError("Content-Length is missing", 411)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise RequestError(f"content type {kind[:100]!r} is not application/json", 415)


def _decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """A body as its struct.

    Raises:
        RequestError: it is not UTF-8, not JSON, too deep, or has other fields.
    """
    try:
        body.decode()
        return decoder.decode(body)
    except UnicodeDecodeError as error:
        raise RequestError(f"body is not UTF-8 at byte {error.start}") from error
    except msgspec.MsgspecError as error:
        raise RequestError(f"body: {error}") from error
    except RecursionError as error:
        raise RequestError("body is nested too deep") from error


def _known(query: Mapping[str, str], names: AbstractSet[str]) -> Mapping[str, str]:
    """The query, if it has no other parameters: a typo must be loud.

    Raises:
        RequestError: a parameter is unknown.
    """
    unknown = sorted(query.keys() - names)
    if unknown:
        known = ", ".join(sorted(names))
        raise RequestError(f"unknown parameter {unknown[0][:64]!r}; there are: {known}")
    return query
