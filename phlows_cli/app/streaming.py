"""A web response that grows: its lines are applied as they arrive.

from phlows_cli.app import apply, stream

def steps():
    for number, step in enumerate(STEPS, 1):
        step()
        yield apply(inner={"#progress": f"{number}/{len(STEPS)}"})
    yield apply(toast="Done")

def report(environ, start_response):
    return stream(steps())(environ, start_response)
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterable,
        AsyncIterator,
        Awaitable,
        Callable,
        Iterable,
        Iterator,
    )
    from typing import Any

HEADERS = {
    "content-type": "application/x-ndjson",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would hold the lines back
}
FAILED = {"error": "this could not be finished"}


class Stream:
    """A response of JSON lines: a WSGI app, an ASGI app, and bytes to iterate.

    Each item is one line: a dict of commands, or any JSON value. A generator
    that raises ends its response with {"error": ...}; the traceback goes to
    stderr. `headers` are for frameworks that make the response themselves.
    """

    def __init__(self, items: Iterable[object] | AsyncIterable[object]) -> None:
        self._items: Any = items
        self.headers = dict(HEADERS)

    def __call__(self, *call: Any) -> Any:  # noqa: ANN401 - two interfaces in one
        """Answer a request: (environ, start_response), or (scope, receive, send)."""
        return self._wsgi(call[1]) if len(call) == 2 else self._asgi(*call)

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the lines; async items need async iteration."""
        if hasattr(self._items, "__aiter__"):
            raise TypeError("an async generator needs an ASGI server, or async iteration")
        return self._lines()

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the lines; the steps of a plain generator run in a thread."""
        return self._lines_async()

    def _wsgi(self, start_response: Callable[..., object]) -> Iterator[bytes]:
        lines = iter(self)
        start_response("200 OK", list(self.headers.items()))
        return lines

    async def _asgi(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Send line by line until the items end or the client is gone."""
        import asyncio

        if scope["type"] != "http":
            raise ValueError(f"a stream answers http, not {scope['type']!r}")
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        lines = self._lines_async()
        try:
            async for line in lines:
                await send({"type": "http.response.body", "body": line, "more_body": True})
        finally:
            await lines.aclose()  # type: ignore[attr-defined]  # it is a generator
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _lines(self) -> Iterator[bytes]:
        try:
            for item in self._items:
                yield _line(item)
        except Exception:  # noqa: BLE001 - whatever the generator raises ends its response
            yield _failure()
        finally:
            _close(self._items)

    async def _lines_async(self) -> AsyncIterator[bytes]:
        is_async = hasattr(self._items, "__aiter__")
        items = self._items if is_async else _stepped(self._items)
        try:
            async for item in items:
                yield _line(item)
        except Exception:  # noqa: BLE001 - whatever the generator raises ends its response
            yield _failure()
        finally:
            if hasattr(items, "aclose"):
                await items.aclose()


async def _stepped(items: Iterable[object]) -> AsyncIterator[object]:
    """Step through plain items in a thread, so that the server goes on meanwhile."""
    import asyncio

    iterator, end = iter(items), object()
    try:
        while (item := await asyncio.to_thread(next, iterator, end)) is not end:
            yield item
    finally:
        _close(iterator)


def _close(items: object) -> None:
    """Close a generator; one that still runs in a thread ends with its step."""
    if hasattr(items, "close"):
        try:
            items.close()
        except ValueError:
            return


async def _gone(receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
    """Wait until the client has left; what is left of its request is dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _line(value: object) -> bytes:
    return json.dumps(value, allow_nan=False).encode() + b"\n"


def _failure() -> bytes:
    """Tell stderr what was raised, and the page that there is no more."""
    import traceback

    traceback.print_exc()
    return _line(FAILED)
