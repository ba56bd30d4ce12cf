"""Many clients that connect at once, in a process of their own, to be killed at once.

    python crowd.py ADDRESS PORT HOST COUNT

It prints one line once the first is in, and another with all that became of them. Then
it holds what is open, and reads nothing, until it is killed.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import socket
import sys
from collections import Counter

HEAD = (
    "GET /websocket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
PATIENCE = 60.0
"""Seconds without any news after which the rest is given up."""


def gather(address, host, count):
    """Connect so many; every one that is answered is told by its status."""
    head = HEAD.format(host).encode()
    became = Counter()
    kept = []
    with selectors.DefaultSelector() as selector:
        for _ in range(count):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            selector.register(sock, sent(sock, head))
        while selector.get_map():
            ready = selector.select(PATIENCE)
            if not ready:
                became["unanswered"] += len(selector.get_map())
                break
            for key, _ in ready:
                answer = step(selector, key, head)
                if answer is None:
                    continue
                if not became:
                    say({"first": answer})
                became[answer] += 1
                selector.unregister(key.fileobj)
                kept.append(key.fileobj)
    say(became)
    return kept


def sent(sock, head):
    """Send the head as soon as there is a connection; what to wait for next."""
    try:
        sock.send(head)
    except BlockingIOError:
        return selectors.EVENT_WRITE
    return selectors.EVENT_READ


def step(selector, key, head):
    """Send the head, or read the answer: its status, or why there is none."""
    sock = key.fileobj
    try:
        if key.events & selectors.EVENT_WRITE:
            selector.modify(sock, sent(sock, head))
            return None
        answer = sock.recv(512)
        return answer[9:12].decode() if answer else "ended"
    except OSError as error:
        return type(error).__name__


def say(value):
    os.write(1, json.dumps(value).encode() + b"\n")


def main():
    address, port, host, count = sys.argv[1:]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kept = gather((address, int(port)), host, int(count))
    sys.stdin.read()
    assert kept is not None  # held till here


if __name__ == "__main__":
    main()
