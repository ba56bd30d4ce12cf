from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from phlows_cli.broker.masking import masked_token
from phlows_cli.cli.recordings.show import shown_casts

ANN = masked_token("secret of ann")
HOST = "app.test"


def head(**more):
    told = {"type": "recording", "format": 1, "phlows": "1", "payloads": "all", "kept": []}
    return {**told, **more}


def call(hook="receive", message=None, answers=(), socket="s1", token=ANN, **more):
    told = {"type": "hook", "time": 1.0, "host": HOST, "socket": socket, "hook": hook}
    told |= {"token": token, "outcome": "accepted", "reason": "", "ms": 1.0}
    if hook == "receive":
        told |= {"message": message or {}, "answers": list(answers)}
    return {**told, **more}


@pytest.fixture
def file(tmp_path):
    """Writes a recording of these lines."""

    def write(*lines, first=None, end=""):
        path = tmp_path / "calls.ndjson"
        text = "".join(json.dumps(line) + "\n" for line in (first or head(), *lines))
        path.write_text(text + end)
        return path

    return write


@pytest.fixture
def replay(phlows):
    def run(*args, **settings):
        return phlows("replay", *map(str, args), **settings)

    return run


@pytest.fixture
def told(replay):
    """Runs with --json: the differences, the summary, and the exit code."""

    def run(*args, **settings):
        result = replay(*args, "--json", **settings)
        *differences, summary = map(json.loads, result.stdout.splitlines())
        return differences, summary, result.exit_code

    return run


ECHO = """
import json
if hook == "receive":
    print(json.dumps({"echo": json.loads(message)["text"], "at": socket}))
else:
    print("true")
"""


# What is the same, and what is not


def test_an_app_that_answers_as_before_is_exit_code_0(replay, file, app):
    calls = [call("connect"), call(message={"text": "hi"}, answers=[{"echo": "hi", "at": "s1"}])]
    result = replay(file(*calls, call("close")), "--app", app(ECHO))
    assert (result.exit_code, result.stderr) == (0, "")
    first, *_, then, now = result.stdout.splitlines()
    assert first == "3 calls replayed: 3 same, 0 different, 0 failed"
    assert (then.split()[0], now.split()[0]) == ("then", "now")


def test_a_changed_answer_is_shown_as_a_diff_and_is_exit_code_1(replay, file, app):
    calls = [call(message={"text": "hi"}, answers=[{"echo": "hi", "at": "s1"}])] * 2
    calls[1] = call(message={"text": "yo"}, answers=[{"echo": "YO", "at": "s1"}])
    result = replay(file(*calls), "--app", app(ECHO))
    assert result.exit_code == 1
    title, *diff, _, counts, _, _, _ = result.stdout.splitlines()
    assert title.startswith(f"different  receive  app.test  s1  {ANN}  1.0 ms -> ")
    assert [line for line in diff if line[0] in "-+"] == [
        "--- then",
        "+++ now",
        '-      "echo": "YO"',
        '+      "echo": "yo"',
    ]
    assert counts == "2 calls replayed: 1 same, 1 different, 0 failed"


def test_json_is_a_line_for_each_difference_and_the_summary(told, file, app):
    calls = [call("connect"), call("auth"), call("connect", outcome="refused", reason="no")]
    (difference,), summary, code = told(file(*calls), "--app", app(ECHO), "--hooks", "connect")
    assert code == 1
    assert (difference["type"], difference["hook"]) == ("different", "connect")
    assert difference["then"]["outcome"] == "refused"
    assert difference["now"]["outcome"] == "accepted"
    assert (summary["calls"], summary["same"], summary["different"]) == (2, 1, 1)
    assert summary["ms"]["then"]["p50"] == pytest.approx(1.0, rel=0.01)
    assert summary["ms"]["now"]["p99"] > 1


def test_a_hook_that_fails_and_did_not_before_is_exit_code_5(replay, file, app):
    body = "import sys\nsys.stderr.write('broken\\n')\nsys.exit(3)"
    result = replay(file(call("connect")), "--app", app(body))
    assert result.exit_code == 5
    assert result.stdout.startswith("failed  connect")
    assert "reason: exit code 3" in result.stdout
    assert "stderr: broken" in result.stdout


def test_one_that_failed_before_is_the_same_when_it_fails_again(told, file, app):
    before = call("connect", outcome="failed", reason="exit code 1")
    _, summary, code = told(file(before), "--app", app("import sys\nsys.exit(3)"))
    assert (code, summary["same"]) == (0, 1)


def test_true_is_not_one_and_the_order_of_keys_is_nothing(told, file, app):
    body = 'print(\'{"b":1,"a":true}\')'
    assert told(file(call(answers=[{"a": True, "b": 1}])), "--app", app(body))[2] == 0
    assert told(file(call(answers=[{"a": 1, "b": 1}])), "--app", app(body))[2] == 1


def test_keys_that_are_ignored_are_ignored_however_deep(told, file, app):
    body = 'import time\nprint(\'{"a":[{"at":%d}],"at":1}\' % time.time_ns())'
    recorded = file(call(answers=[{"a": [{"at": 1}], "at": 0}]))
    assert told(recorded, "--app", app(body))[2] == 1
    assert told(recorded, "--app", app(body), "--ignore", "at")[2] == 0


def test_answers_that_were_not_recorded_are_not_compared(told, file, app):
    body = "print('[1]')\nprint('[2]')"
    assert told(file(call(answers=[[1]], cut=["answers"])), "--app", app(body))[2] == 0
    assert told(file(call(answers=[[2]], cut=["answers"])), "--app", app(body))[2] == 1


# Masks


MASK, OTHER = "masked-0123456789ab", "masked-ba9876543210"
SAY = """
import json
text = json.loads(message)["text"]
print(json.dumps(%s))
"""


@pytest.mark.parametrize(
    ("answer", "recorded", "code"),
    [
        ('{"echo": text}', {"echo": MASK}, 0),
        ('{"echo": text}', {"echo": OTHER}, 1),
        ('{"said": "saved", "n": 3}', {"said": OTHER, "n": 123456789}, 0),
        ('{"said": "saved"}', {"said": MASK}, 1),
        ('{"said": 3}', {"said": OTHER}, 1),
        ('{"said": True}', {"said": 123456789}, 1),
        ('{"said": ["a"]}', {"said": [OTHER]}, 0),
        ('{"said": ["a", "b"]}', {"said": [OTHER]}, 1),
        ('{"more": 1, "said": "a"}', {"said": OTHER}, 1),
        ('{"type": "saved"}', {"type": "saved"}, 0),
        ('{"type": "saved"}', {"type": "kept"}, 1),
        ('{"room": 5}', {"room": 5}, 0),
        ('{"room": 5}', {"room": 6}, 1),
        ('{"user": "secret of ann"}', {"user": ANN}, 0),
        ('{"user": "secret of bob"}', {"user": ANN}, 1),
    ],
)
def test_masked_answers_are_compared_as_far_as_masks_can_tell(
    told, file, app, answer, recorded, code
):
    first = head(payloads="masked", kept=["room"])
    recorded = file(call(message={"text": MASK}, answers=[recorded]), first=first)
    assert told(recorded, "--app", app(SAY % answer))[2] == code


def test_that_shapes_were_compared_is_said(replay, file, app):
    recorded = file(call(message={"text": MASK}), first=head(payloads="masked"))
    assert (
        "compared by shape: --against compares exactly"
        in replay(recorded, "--app", app("pass")).stderr
    )


def test_an_auth_whose_token_is_masked_is_skipped_unless_it_is_asked_for(told, file, app):
    body = "print('true' if token == 'secret of ann' else 'false')"
    recorded = file(call("auth"))
    _, summary, code = told(recorded, "--app", app(body))
    assert (code, summary["calls"]) == (0, 0)
    assert summary["skipped"] == {"auth with a masked token": 1}
    assert told(recorded, "--app", app(body), "--hooks", "auth")[2] == 1
    assert told(recorded, "--app", app(body), "--token", f"{ANN}=secret of ann")[2] == 0


def test_against_skips_a_token_that_nobody_gave_and_says_how_to_give_it(replay, file, app):
    bob, place = masked_token("secret of bob"), app("print('false')")
    recorded = file(call("auth"), call("auth", token=bob))
    args = ("--app", place, "--against", place, "--token", f"{ANN}=secret of ann")
    said = replay(recorded, *args)
    assert said.stdout.startswith("1 call replayed: 1 same")
    assert f"1 skipped: auth with a masked token (give it with --token {bob}=TOKEN)" in said.stdout
    assert (said.stdout.split()[-6], said.stdout.split()[-3]) == ("then", "now")


def test_a_token_that_is_given_is_given_to_the_app_and_masked_in_what_it_says(replay, file, app):
    body = 'print(json.dumps({"me": token, "text": json.loads(message)["to"] + "!"}))'
    recorded = file(call(message={"to": ANN}, answers=[{"me": "x", "text": f"{ANN}!"}]))
    result = replay(recorded, "--app", app("import json\n" + body), "--token", f'{ANN}=a"b')
    assert result.exit_code == 1
    assert f'+      "me": "{ANN}"' in result.stdout
    assert 'a\\"b' not in result.stdout


# Against another app


def test_against_compares_masked_calls_exactly(told, file, app):
    old, same = app(SAY % '{"a": text + "!"}', "old.py"), app(SAY % '{"a": text + "!"}', "same.py")
    new = app(SAY % '{"a": text + "?"}', "new.py")
    recorded = file(call(message={"text": MASK}, answers=[]), first=head(payloads="masked"))
    assert told(recorded, "--app", same, "--against", old)[2] == 0
    (difference,), _, code = told(recorded, "--app", new, "--against", old)
    assert code == 1
    assert difference["then"]["answers"] == [{"a": f"{MASK}!"}]
    assert difference["now"]["answers"] == [{"a": f"{MASK}?"}]


CASTER = """
import sys
sys.path.insert(0, %r)
from phlows_cli.app import ws_cast, ws_count, ws_presence
if hook == "receive":
    assert ws_cast("all", host, text=%r)["sent"] == 0
    assert ws_count(host) == 0 and ws_presence(host) == []
"""


def test_casts_reach_nobody_and_are_part_of_what_is_compared(told, file, app, recorder):
    from tests.cli.conftest import ROOT

    old, new = (app(CASTER % (str(ROOT), text), f"{text}.py") for text in ("old", "new"))
    recorded = file(call())
    assert told(recorded, "--app", old, "--against", old, env={"PHLOWS_URL": recorder.url})[2] == 0
    (difference,), _, _ = told(recorded, "--app", new, "--against", old)
    (cast,) = difference["now"]["casts"]
    assert (cast["path"], cast["host"], cast["data"]) == ("/message", HOST, {"text": "new"})
    assert recorder.requests == []


def test_casts_that_are_not_compared_are_counted_said_and_in_json_shown(replay, told, file, app):
    from tests.cli.conftest import ROOT

    place, recorded = app(CASTER % (str(ROOT), f"for {ANN}")), file(call(), call())
    said = replay(recorded, "--app", place)
    assert (said.exit_code, said.stdout.splitlines()[0][:24]) == (0, "2 calls replayed: 2 same")
    assert "2 casts made: casts were not compared: use --against OLD" in said.stdout
    assert "not compared" not in replay(recorded, "--app", place, "--against", place).stdout
    shown, summary, code = told(recorded, "--app", place)
    assert (code, summary["casts"]) == (0, {"made": 2, "compared": False})
    assert [one["type"] for one in shown] == ["same", "same"]
    assert shown[0]["now"]["casts"][0]["data"] == {"text": f"for {ANN}"}
    assert told(recorded, "--app", place, "--against", place)[0] == []


def test_a_calls_casts_are_shown_as_far_as_there_is_room():
    casts = [{"text": "x" * 30_000}] * 5
    assert shown_casts(casts) == {"casts": casts[:2], "casts_left_out": 3}
    assert shown_casts(casts[:2]) == {"casts": casts[:2]}


# Order, and what runs


NOTE = """
import os, time
with open({log!r}, "a") as log:
    log.write(f"{{socket}} {{hook}} {{message or ''}}\\n")
"""


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_sockets_calls_run_in_order(told, file, app, tmp_path, concurrency):
    log = tmp_path / "log"
    calls = [
        call("connect" if n == 0 else "receive", message={"n": n}, socket=f"s{socket}")
        for n in range(5)
        for socket in range(4)
    ]
    _, summary, code = told(
        file(*calls), "--app", app(NOTE.format(log=str(log))), "--concurrency", concurrency
    )
    assert (code, summary["calls"]) == (0, 20)
    lines = log.read_text().splitlines()
    assert len(lines) == 20
    for socket in range(4):
        own = [line.split(maxsplit=2)[1:] for line in lines if line.startswith(f"s{socket} ")]
        assert own == [["connect"], *(["receive", json.dumps({"n": n})] for n in range(1, 5))]


def test_what_did_not_run_then_or_is_not_whole_is_skipped_and_said(replay, file, app):
    calls = [call(outcome="overloaded"), call(cut=["message"]), call("connect")]
    result = replay(file(*calls), "--app", app("pass"))
    assert result.stdout.startswith("1 call replayed: 1 same")
    assert "1 skipped: did not run" in result.stdout
    assert "1 skipped: message not recorded" in result.stdout


def test_hooks_hosts_and_a_limit_choose(told, file, app):
    calls = [call("connect"), call("close"), call("connect", host="other.test"), call("connect")]
    args = (file(*calls), "--app", app("pass"))
    assert told(*args, "--hooks", "close,connect", "--host", "APP.test")[1]["calls"] == 3
    assert told(*args, "--host", "other.test")[1]["calls"] == 1
    assert told(*args, "--limit", "2")[1]["calls"] == 2


def test_a_registered_host_is_run_as_it_is_registered(told, file, app, tmp_path):
    place = app("import os\nprint('[\"%s\",\"%s\"]' % (os.environ['MODE'], command))")
    config = tmp_path / "phlows.toml"
    config.write_text(
        f'[hosts."{HOST}"]\napp = "{place}"\nhook_class = "mine"\nhooks = ["receive"]\n'
        'env = { MODE = "try", PHLOWS_URL = "http://127.0.0.1:1" }\n'
    )
    calls = [call(answers=[["try", "mine::receive"]]), call("close")]
    differences, summary, code = told(file(*calls))
    assert (differences, code) == ([], 0)
    assert summary["skipped"] == {"hook that the host does not have": 1}
    other = app("print('[1]')", "other.py")
    assert told(file(*calls), "--app", other)[2] == 1


# What cannot be replayed


@pytest.mark.parametrize("text", ["", "hello\n", "{}\n", '{"type":"open"}\n', "\x00\xff"])
def test_a_foreign_file_is_a_usage_error(replay, tmp_path, text):
    (tmp_path / "file").write_text(text)
    result = replay("file")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: file is no recording: make one with `phlows record`\n"


def test_a_later_format_is_a_usage_error_that_names_its_version(replay, file):
    result = replay(file(first=head(format=2, phlows="9.1")))
    assert result.exit_code == 2
    assert "has format 2, written by phlows 9.1: this one reads up to 1" in result.stderr


@pytest.mark.parametrize("line", ['{"type":"hook"}', "nonsense", '{"type":"hook","time":"x"}'])
def test_a_line_that_is_none_of_a_recording_is_named(replay, file, app, line):
    result = replay(file(call("connect"), end=line + "\n"), "--app", app("pass"))
    assert result.exit_code == 2
    assert "calls.ndjson:3 is no line of a recording" in result.stderr


def test_a_line_that_is_cut_ends_the_recording_and_is_said(replay, file, app):
    result = replay(file(call("connect"), end='{"type":"hook","ti'), "--app", app("pass"))
    assert result.exit_code == 0
    assert result.stdout.startswith("1 call replayed")
    assert "calls.ndjson is cut, and was left out" in result.stderr


def test_lost_calls_are_told_and_parts_are_read_on(replay, file, app):
    lines = [call("connect"), {"type": "lost", "count": 3}, head(), call("connect")]
    result = replay(file(*lines), "--app", app("pass"))
    assert result.stdout.startswith("2 calls replayed")
    assert "missing: 3 calls" in result.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "host 'app.test' of the recording is not registered: name an --app"),
        (("--app", "none.py"), "none.py does not exist"),
        (("--hooks", "open"), "--hooks 'open' is not one of connect, auth, receive, close"),
        (("--token", "abc"), "--token takes MASK=TOKEN"),
    ],
)
def test_what_was_typed_wrong_is_a_usage_error(replay, file, args, words):
    result = replay(file(call("connect")), *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


def test_a_file_that_is_not_there_is_a_usage_error(replay):
    result = replay("none")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: cannot read none: No such file or directory\n",
    )


def test_an_app_that_does_not_boot_is_a_usage_error(replay, file, app):
    place = app("import sys\nsys.exit(1)")
    result = replay(file(call("connect")), "--app", place, "--runtime", "resident")
    assert result.exit_code == 2
    assert "app.py does not boot" in result.stderr


def test_an_app_that_does_not_parse_is_told_with_its_line(replay, file, app):
    result = replay(file(call("connect")), "--app", app("x = 1\n}"), "--runtime", "resident")
    assert result.exit_code == 2
    assert re.search(r"app\.py: does not parse: unmatched '}' \(app\.py, line \d+\)", result.stderr)


def test_the_pace_is_that_of_then_in_the_measure_that_is_asked_for(told, file, app, monkeypatch):
    pauses = []
    really = asyncio.sleep

    async def sleep(seconds):
        pauses.append(seconds)
        await really(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    calls = [call("connect", time=time) for time in (1000.0, 2000.0, 1500.0)]
    args = (file(*calls), "--app", app("pass"))
    assert told(*args, "--speed", "2")[1]["calls"] == 3
    due = [pause for pause in pauses if pause > 100]
    assert [round(pause / 250) for pause in due] == [2, 1], "500 and 250 seconds, less the run"
    pauses.clear()
    told(*args)
    assert [pause for pause in pauses if pause > 100] == []


def test_ctrl_c_ends_the_app_and_is_exit_code_130(file, app, environ, tmp_path):
    os.mkfifo(tmp_path / "began")
    place = app("import time\nopen('began', 'w').close()\nwhile True: time.sleep(60)")
    command = [sys.executable, "-m", "phlows_cli", "replay", str(file(call("connect")))]
    with subprocess.Popen(
        [*command, "--app", str(place)], env=environ, stderr=subprocess.PIPE, text=True
    ) as process:
        (tmp_path / "began").read_text()  # opens once the app does
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said.strip()) == (130, "")
    assert not [command for command in commands() if str(place).encode() in command]


def commands():
    """The command lines of all processes that there are."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes()
