from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.model import Hook, Task
from phlows_cli.runtime.protocol import (
    SHOWN_BYTES,
    Done,
    Failed,
    Fatal,
    FrameReader,
    Line,
    Noise,
    Ready,
    job_line,
)

LIMIT = 200
WHOLE = (
    b'{"t":"ready"}\n'
    b'{"id":"a1","t":"line","data":"{\\"a\\":1}"}\n'
    b"\n"
    b'{"id":"a1","t":"done","result":{"b": [1, "\xc3\xa9"]}}\r\n'
    b'{"id":"a2","t":"error","message":"no"}\n'
    b'{"id":"a3","t":"done","last":true,"result":null}\n'
    b'{"id":"a4","t":"line","data":"' + b"x" * LIMIT + b'"}\n'
    b"Warning: something\n"
    b'{"t":"fatal","message":"no database"}\n'
)
FRAMES = [
    Ready(),
    Line("a1", b'{"a":1}'),
    Noise(b""),
    Done("a1", b'{"b": [1, "\xc3\xa9"]}'),
    Failed("a2", "no"),
    Done("a3", b"null", is_last=True),
    Line("a4", b"", 32 + LIMIT),
    Noise(b"Warning: something"),
    Fatal("no database"),
]


def read(*chunks, limit=LIMIT):
    reader = FrameReader(limit)
    return [frame for chunk in chunks for frame in reader.receive_data(chunk)]


def test_each_line_is_a_frame_or_noise():
    assert read(WHOLE) == FRAMES


@given(st.lists(st.integers(0, len(WHOLE))))
def test_frames_do_not_depend_on_how_the_bytes_come(cuts):
    places = [0, *sorted(cuts), len(WHOLE)]
    chunks = [WHOLE[a:b] for a, b in pairwise(places)]
    assert read(*chunks) == FRAMES


def test_bytes_that_come_one_by_one_are_the_same_frames():
    assert read(*(bytes([byte]) for byte in WHOLE)) == FRAMES


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"7",
        b"{",
        b'{"t":1}',
        b'{"t":"other"}',
        b'{"id":1,"t":"done"}',
        b'{"id":"a1","t":"line","data":{}}',
        b'{"id":"a1","t":"line","data":"\xff"}',
        b'{"id":"a1","t":"done","result":"\xff"}',
        b'{"id":"a1","t":"error","message":null}',
        b'{"id":"a1","t":"done","result":' + b"[" * 100 + b"}",
    ],
)
def test_what_is_no_frame_is_noise(line):
    assert read(line + b"\n") == [Noise(line)]


def test_noise_is_kept_up_to_a_bound():
    (noise,) = read(b"x" * 100_000 + b"\n", limit=1 << 20)
    assert noise == Noise(b"x" * SHOWN_BYTES)
    (noise,) = read(b"x" * 100_000 + b"\n", limit=1000)
    assert noise.text == b"x" * 1001


@pytest.mark.parametrize(
    ("start", "frame"),
    [
        (b'{"id":"a1","t":"line","data":"', Line("a1", b"", 330)),
        (b'{"id":"a1","t":"done","result":', Done("a1", b"", 331)),
        (b'{"id":"a1","t":"error","message"', Failed("a1", "")),
    ],
)
def test_of_a_frame_that_is_too_long_its_kind_and_job_are_known(start, frame):
    assert read(start + b"x" * 300 + b"\n") == [frame]


def test_a_long_line_of_another_form_is_noise():
    line = b'{"t":"line","id":"a1","data":"' + b"x" * 300
    assert read(line + b"\n") == [Noise(line[: LIMIT + 1])]


def test_nothing_is_held_of_a_line_beyond_the_limit():
    reader = FrameReader(LIMIT)
    for _ in range(1000):
        assert reader.receive_data(b"x" * 1000) == []
    assert len(reader._line) == LIMIT + 1
    assert reader.receive_data(b"\n")[0] == Noise(b"x" * (LIMIT + 1))
    assert reader.receive_data(b'{"t":"ready"}\n') == [Ready()]


@given(st.binary())
def test_whatever_the_bytes_there_is_a_frame_for_each_newline(data):
    assert len(read(data)) == data.count(b"\n")


def test_a_job_is_one_line_of_json():
    hook = Hook("receive", "a.test", "t\n", "0" * 16, '{"x":"\u00e9\\n"}')
    line = job_line("a1", hook, "ws")
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "id": "a1",
        "target": "ws::receive",
        "args": ["a.test", "t\n", "0" * 16, '{"x":"\u00e9\\n"}'],
        "stream": True,
    }


def test_a_task_keeps_its_values_and_names_its_own_target():
    job = json.loads(job_line("a2", Task("a.test", "tasks::run", (1, "1", None, [{}])), "ws"))
    assert (job["target"], job["args"]) == ("tasks::run", [1, "1", None, [{}]])


def test_a_lone_surrogate_goes_as_an_escape():
    line = job_line("a1", Hook("auth", "a.test", "\ud800", "0" * 16), "ws")
    assert b'"\\ud800"' in line
