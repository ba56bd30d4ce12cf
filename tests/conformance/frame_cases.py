"""What a client may send frame by frame, and what must come back.

Our own table, written from RFC 6455 along the sections 1 to 7 of the Autobahn
suite's list. `python -m tests.conformance.frame_cases` writes docs/conformance.md.

The app that is asked echoes. A message to phlows is JSON, so what a case sends is
the text of an array, except where it says otherwise.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

from tests.conformance.bytes_of_text import INVALID, VALID, each_byte
from tests.conformance.client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

SECTIONS = {
    1: "Framing",
    2: "Pings and pongs",
    3: "Reserved bits",
    4: "Reserved opcodes",
    5: "Fragments",
    6: "UTF-8",
    7: "Closing",
}
PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
BEGIN, END = "<!-- the table -->\n", "<!-- the end of the table -->\n"
COMPLAINT = "an error"
"""A text that tells the client that its message was not taken."""


@dataclass(frozen=True)
class Send:
    """Bytes, in pieces of a size; 0: at once."""

    data: bytes
    piece: int = 0


@dataclass(frozen=True)
class Get:
    """A frame that must come next: a text, a pong, or the close frame."""

    kind: str
    payload: bytes = b""
    code: int = 0

    def __str__(self):
        return f"close {self.code}" if self.kind == "close" else self.kind


@dataclass(frozen=True)
class Case:
    """One socket's life: what is sent and what comes back, in this order.

    A case without a close at its end is left with an orderly close by the
    client, before which nothing more may come.
    """

    section: int
    name: str
    way: str
    steps: tuple

    @property
    def id(self):
        return f"{self.section} {self.name}, {self.way}" if self.way else self.name

    @property
    def answer(self):
        """What comes back, in words."""
        got = [str(step) for step in self.steps if isinstance(step, Get)]
        counted = [(what, len(list(run))) for what, run in groupby(got)]
        words = [what if count == 1 else f"{count} x {what}" for what, count in counted]
        return ", ".join(words) or "nothing"


def echo(payload):
    return Get("echo", payload)


def pong(payload=b""):
    return Get("pong", payload)


def closes(code, reason=b""):
    """The close frame; its reason counts where the client's must come back."""
    return Get("close", reason, code)


def close_of(code, reason=b""):
    return frame(CLOSE, struct.pack("!H", code) + reason)


def text_of(size):
    """A message of so many bytes that is JSON."""
    return b'["' + b"*" * (size - 4) + b'"]'


def message(*pieces, opcode=TEXT):
    """A message in fragments."""
    last = len(pieces) - 1
    return [
        frame(CONTINUATION if at else opcode, piece, fin=at == last)
        for at, piece in enumerate(pieces)
    ]


def split(payload, *places):
    return [payload[a:b] for a, b in pairwise([0, *places, len(payload)])]


def one(section, name, *steps, way=""):
    """A case; bytes among its steps are sent at once."""
    steps = tuple(Send(step) if isinstance(step, bytes) else step for step in steps)
    return Case(section, name, way, steps)


def ways(section, name, frames, *answers):
    """The same frames at once, one by one, and byte by byte."""
    data = b"".join(frames)
    sends = {
        "at once": [Send(data)],
        "frame by frame": [Send(part) for part in frames],
        "byte by byte": [Send(data, 1)],
    }
    if len(frames) == 1:
        del sends["frame by frame"]
    return [one(section, name, *send, *answers, way=way) for way, send in sends.items()]


def framing():
    yield one(1, "a text of 0 bytes, which is no JSON", frame(TEXT), Get(COMPLAINT))
    for size in (4, 125, 126, 127, 128, 65_535, 65_536):
        name = f"a text of {size:,} bytes"
        yield one(1, name, frame(TEXT, text_of(size)), echo(text_of(size)), way="at once")
    name = f"a text of {65_536:,} bytes"
    send = Send(frame(TEXT, text_of(65_536)), 997)
    yield one(1, name, send, echo(text_of(65_536)), way="in pieces of 997 bytes")
    for size in (0, 125, 126, 127, 128, 65_535, 65_536):
        yield one(1, f"binary of {size:,} bytes", frame(BINARY, b"\xfe" * size), closes(1003))


def pings():
    yield one(2, "a ping without payload", frame(PING), pong())
    yield from ways(2, "a ping with a text", [frame(PING, b"anyone?")], pong(b"anyone?"))
    payload = bytes(range(0xF0, 0x100)) + b"\0"
    yield from ways(2, "a ping with bytes that are no text", [frame(PING, payload)], pong(payload))
    long = bytes(range(125))
    yield from ways(2, "a ping with 125 bytes", [frame(PING, long)], pong(long))
    yield from ways(2, "a ping with 126 bytes", [frame(PING, b"x" * 126)], closes(1002))
    yield one(2, "a pong that nobody asked for", frame(PONG))
    yield one(2, "a pong with a payload that nobody asked for", frame(PONG, b"here"))
    frames = [frame(PONG, b"here"), frame(PING, b"there?")]
    yield from ways(2, "a pong that nobody asked for, and a ping", frames, pong(b"there?"))
    many = [b"%d" % number for number in range(10)]
    frames = [frame(PING, payload) for payload in many]
    yield from ways(2, "ten pings", frames, *map(pong, many))


def reserved_bits():
    good = text_of(20)
    for bits in range(1, 8):
        bad = frame(TEXT, good, rsv=bits)
        name = f"reserved bits {bits:03b}"
        yield one(3, f"{name} on a text", frame(TEXT, good), echo(good), bad, closes(1002))
        yield one(3, f"{name} on a ping", frame(PING, b"", rsv=bits), closes(1002))
        yield from ways(3, f"{name}, then a good text", [bad, frame(TEXT, good)], closes(1002))


def reserved_opcodes():
    good = text_of(20)
    for opcode in (*range(3, 8), *range(11, 16)):
        name = f"opcode {opcode}"
        yield one(4, name, frame(opcode), closes(1002), way="without payload")
        yield one(4, name, frame(opcode, b"x"), closes(1002), way="with payload")
        steps = (frame(TEXT, good), echo(good), Send(frame(opcode, b"x"), 1), closes(1002))
        yield one(4, name, *steps, way="after a good text")


def fragments():
    good = text_of(40)
    parts = split(good, 20)
    halves = message(*parts)
    for kind, opcode in (("ping", PING), ("pong", PONG)):
        yield from ways(
            5, f"a {kind} in two fragments", message(b"a", b"b", opcode=opcode), closes(1002)
        )
    yield from ways(5, "a text in two fragments", halves, echo(good))
    among = [halves[0], frame(PING, b"mid"), halves[1]]
    yield from ways(5, "a ping between two fragments", among, pong(b"mid"), echo(good))
    among = [halves[0], frame(PONG, b"mid"), halves[1]]
    yield from ways(5, "a pong between two fragments", among, echo(good))
    whole = frame(TEXT, good)
    for fin, end in ((True, "last"), (False, "first")):
        stray = frame(CONTINUATION, parts[0], fin=fin)
        name = f"a {end} continuation of nothing, then a text"
        yield from ways(5, name, [stray, whole], closes(1002))
        steps = (*map(Send, halves), echo(good), stray + b"".join(halves), closes(1002))
        yield one(5, f"a {end} continuation after a whole message", *steps)
    for fin in (True, False):
        name = f"a {'whole' if fin else 'second'} text within a message"
        yield from ways(5, name, [halves[0], frame(TEXT, parts[1], fin=fin)], closes(1002))
    yield from ways(5, "binary within a message", [halves[0], frame(BINARY, b"x")], closes(1002))
    yield from ways(5, "binary in two fragments", message(b"a", b"b", opcode=BINARY), closes(1003))
    five = message(*split(good, 8, 16, 24, 32))
    among = [part for one in five for part in (one, frame(PING, b"p"))]
    answers = [pong(b"p")] * 4 + [echo(good), pong(b"p")]
    steps = [step for part in five[:-1] for step in (part, frame(PING, b"p"), pong(b"p"))]
    yield one(
        5, "pings among five fragments, each answered before the next", *steps, five[-1], echo(good)
    )
    yield from ways(5, "pings among five fragments", among[:-1], *answers[:-1])
    yield from ways(5, "a text in fragments of one byte", message(*each_byte(good)), echo(good))
    empty = message(b"", parts[0], b"", b"", parts[1], b"")
    yield from ways(5, "empty fragments among others", empty, echo(good))


def utf8():
    yield one(6, "nothing in three fragments", b"".join(message(b"", b"", b"")), Get(COMPLAINT))
    for name, bytes_ in VALID.items():
        text = b'["' + bytes_ + b'"]'
        yield one(6, name, frame(TEXT, text), echo(text), way="whole")
        send = b"".join(message(*each_byte(text)))
        yield one(6, name, send, echo(text), way="a fragment for each byte")
        yield one(6, name, Send(frame(TEXT, text), 1), echo(text), way="byte by byte")
    for name, bytes_ in INVALID.items():
        text = b'["' + bytes_ + b'"]'
        yield one(6, name, frame(TEXT, text), closes(1007), way="whole")
        send = b"".join(message(*each_byte(text)))
        yield one(6, name, send, closes(1007), way="a fragment for each byte")
        yield one(6, name, Send(frame(TEXT, text), 1), closes(1007), way="byte by byte")
    yield from late_judgement()


def late_judgement():
    """What is no text already is refused when its message is whole, and not before."""
    bad = b'["\xf4\x90\x80\x80"]'
    for at, where in ((2, "before"), (4, "within"), (6, "after")):
        first, rest = message(*split(bad, at))
        steps = (first, frame(PING, b"still?"), pong(b"still?"), rest, closes(1007))
        yield one(6, f"a fragment that ends {where} bad bytes, a ping, the rest", *steps)
    data = frame(TEXT, bad)
    yield one(
        6, "a frame that stops after bad bytes, then its rest", data[:-2], data[-2:], closes(1007)
    )
    good = '["€"]'.encode()
    first, rest = message(*split(good, 3))
    steps = (first, frame(PING, b"half"), pong(b"half"), rest, echo(good))
    yield one(6, "a ping within a character", *steps)


TAKEN = (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999)
REFUSED = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)


def closing():
    good = text_of(30)
    bye = close_of(1000)
    yield one(7, "a text, then a close", frame(TEXT, good), echo(good), bye, closes(1000))
    yield from ways(7, "two closes", [bye + close_of(1001)], closes(1000))
    yield one(7, "a ping after the close", bye + frame(PING, b"?"), closes(1000))
    yield one(7, "a text after the close", bye + frame(TEXT, good), closes(1000))
    first, rest = message(*split(good, 10))
    yield from ways(7, "a close within a message", [first + bye + rest], closes(1000))
    yield one(
        7,
        "a close while 64 kB more are on their way",
        bye + frame(TEXT, b"x" * 65_536),
        closes(1000),
    )
    yield from ways(7, "a close without code", [frame(CLOSE)], closes(1005))
    yield from ways(7, "a close of one byte", [frame(CLOSE, b"\x03")], closes(1002))
    reason = "żegnaj, 終".encode()
    yield from ways(7, "a close with a reason", [close_of(1000, reason)], closes(1000, reason))
    longest = b"r" * 123
    yield from ways(7, "a reason of 123 bytes", [close_of(1000, longest)], closes(1000, longest))
    yield from ways(7, "a reason of 124 bytes", [close_of(1000, longest + b"r")], closes(1002))
    for name in ("two bytes without the last", "a slash in two bytes", "the surrogate D800"):
        bad = close_of(1000, b"so " + INVALID[name])
        yield from ways(7, f"a reason that is not UTF-8: {name}", [bad], closes(1007))
    yield from ways(
        7, "a close without mask", [frame(CLOSE, b"\x03\xe8", masked=False)], closes(1002)
    )
    for code in TAKEN:
        yield one(7, f"code {code}", close_of(code), closes(code))
        yield one(7, f"code {code} with a reason", close_of(code, b"why"), closes(code, b"why"))
    for code in REFUSED:
        yield one(7, f"code {code}", close_of(code), closes(1002))
        yield one(7, f"code {code} with a reason", close_of(code, b"why"), closes(1002))


CASES = [
    *(*framing(), *pings(), *reserved_bits(), *reserved_opcodes()),
    *(*fragments(), *utf8(), *closing()),
]


def table():
    """The cases as docs/conformance.md shows them: one line a name."""
    lines = []
    for number, title in SECTIONS.items():
        cases = [case for case in CASES if case.section == number]
        lines += [f"### {number}. {title}: {len(cases)} cases", ""]
        lines += ["| A client sends | How | It gets |", "|---|---|---|"]
        for (name, answer), run in groupby(cases, lambda case: (case.name, case.answer)):
            lines.append(f"| {name} | {'; '.join(filter(None, (c.way for c in run)))} | {answer} |")
        lines.append("")
    return "\n".join(lines)


def page(text):
    """The page with the table of now in the place of its own."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
