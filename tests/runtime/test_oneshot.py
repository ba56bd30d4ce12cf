from __future__ import annotations

import asyncio
import os
import signal

import pytest

from phlows_cli.errors import ConfigError
from phlows_cli.model import Host, Outcome
from phlows_cli.runtime.oneshot import OneShot
from phlows_cli.runtime.runtime import runtime_for
from tests.runtime.apps import FAULTS, NAME, URL, Printed, gone, hook, host, settings

pytestmark = pytest.mark.usefixtures("loop_factory")


class Log(list):
    def __call__(self, event, line):
        self.append(line)


def ignore(*_):
    """Takes output that the test does not look at."""


async def call(app, event, *, on_line=ignore, log=ignore, grace=0.2, php=None, **more):
    """Run one hook on a runtime of its own."""
    limits = {key: more.pop(key) for key in ("output", "queue", "slots") if key in more}
    if php is not None:
        limits["php"] = php
    runtime = OneShot(host(app, **more), settings(**limits), log, grace)
    try:
        return await runtime.call(event, on_line)
    finally:
        await runtime.stop()


async def test_the_command_names_hook_class_and_hook(sh):
    printed = Printed()
    app = sh('echo "$#:$1:$2:$3:$4:$5"')
    await call(app, hook("close", token=""), on_line=printed, hook_class="websocket")
    assert printed.lines == [f"4:websocket::close:{NAME}::0123456789abcdef:".encode()]


async def test_an_app_runs_in_its_folder_and_finds_the_bridge(sh, tmp_path):
    printed = Printed()
    app = sh('pwd; echo "$PHLOWS_URL $OWN $PHLOWS_KEY."')
    os.environ["PHLOWS_KEY"] = "secret"
    try:
        await call(app, hook(), on_line=printed, env={"OWN": "mine"})
    finally:
        del os.environ["PHLOWS_KEY"]
    assert printed.lines == [bytes(tmp_path.resolve()), f"{URL} mine .".encode()]


@pytest.mark.parametrize("token", ["\u00e9\U0001f600", "\udcff\udcfe", "\ud800", "--help", "a\nb"])
async def test_any_token_reaches_the_app(sh, token):
    printed = Printed()
    app = sh('printf "%s" "$3" | od -An -v -tx1')
    assert (await call(app, hook(token=token), on_line=printed)).is_accepted
    try:
        expected = token.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        expected = token.encode("utf-8", "surrogatepass")
    assert bytes.fromhex(b" ".join(printed.lines).decode()) == expected


async def test_the_longest_message_reaches_the_app(sh):
    printed = Printed()
    app = sh('echo "${#5}"')
    message = "x" * OneShot.message_limit
    assert (await call(app, hook(data=message), on_line=printed)).is_accepted
    assert printed.lines == [b"131071"]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (hook(token="a\0b"), "NUL"),
        (hook(data="x" * (OneShot.message_limit + 1)), "limits.max_message"),
    ],
)
async def test_what_no_argument_can_hold_is_a_failure_that_never_started(sh, event, reason):
    result = await call(sh("echo started"), event)
    assert (result.outcome, result.started) == (Outcome.FAILED, False)
    assert reason in result.reason


async def test_a_missing_app_is_a_failure_that_names_it(tmp_path):
    for name in ("app", "app.php", "app.py"):
        result = await call(tmp_path / name, hook("auth"))
        assert (result.outcome, result.started, result.exit_code) == (Outcome.FAILED, False, None)
        assert f"{tmp_path / name} does not exist" in result.reason
        assert 'hosts."app.example.com".app' in result.reason


async def test_a_missing_folder_is_a_failure_that_names_it(tmp_path):
    result = await call(tmp_path / "gone" / "app", hook("auth"))
    assert result.outcome is Outcome.FAILED
    assert f"folder {tmp_path / 'gone'}" in result.reason


async def test_an_interpreter_that_is_gone_is_a_failure_that_names_it(tmp_path):
    app = tmp_path / "app.php"
    app.write_text("<?php echo 'true';")
    result = await call(app, hook("auth"), php="/nowhere/php")
    assert (result.outcome, result.started) == (Outcome.FAILED, False)
    assert result.reason == "/nowhere/php does not exist: correct interpreters"


async def test_an_app_that_may_not_be_executed_is_told_so(sh):
    result = await call(sh("echo true", mode=0o644), hook("auth"))
    assert result.outcome is Outcome.FAILED
    assert "chmod +x" in result.reason


@pytest.mark.parametrize("name", ["no_first_line.sh", "wrong_first_line.sh"])
async def test_a_bad_first_line_is_told_so(name):
    result = await call(FAULTS / name, hook("auth"))
    assert (result.outcome, result.started) == (Outcome.FAILED, False)
    assert "#! line" in result.reason


async def test_an_environment_that_cannot_be_given_is_a_failure(sh):
    result = await call(sh("echo true"), hook("auth"), env={"A": "b\0c"})
    assert (result.outcome, result.started) == (Outcome.FAILED, False)
    assert ".env" in result.reason


async def test_a_push_only_host_has_no_runtime():
    with pytest.raises(ConfigError):
        runtime_for(Host(NAME), settings(), Log())


AUTH_FAULTS = {
    "crash.sh": Outcome.FAILED,
    "flood.sh": Outcome.FAILED,
    "invalid_utf8.sh": Outcome.FAILED,
    "shouting.sh": Outcome.FAILED,
    "no_first_line.sh": Outcome.FAILED,
    "hang.sh": Outcome.TIMEOUT,
}


@pytest.mark.parametrize("name", AUTH_FAULTS)
async def test_auth_lets_nobody_in_whatever_goes_wrong(name):
    limit = 1.0 if name == "hang.sh" else 20.0
    result = await call(FAULTS / name, hook("auth"), timeout=limit)
    assert result.outcome is AUTH_FAULTS[name]


async def test_auth_does_not_wait_for_what_a_background_child_might_say():
    log = Log()
    result = await call(FAULTS / "background.sh", hook("auth"), log=log)
    os.killpg(os.getpgid(int(log[0])), signal.SIGKILL)
    await gone(int(log[0]))
    assert result.outcome is Outcome.FAILED


async def test_what_was_dropped_is_counted_and_nothing_is_lost(sh):
    printed = Printed()
    app = sh("echo '{\"a\":1}'; head -c 5000 /dev/zero; echo; echo '{}'")
    result = await call(app, hook(), on_line=printed, output=4096)
    assert result.is_accepted
    assert (printed.lines, result.dropped) == ([b'{"a":1}'], 5004)


async def test_seconds_are_finer_than_milliseconds(sh):
    runtime = runtime_for(host(sh("echo true")), settings(), Log())
    seconds = [(await runtime.call(hook(), Printed())).seconds for _ in range(5)]
    await runtime.stop()
    assert [each for each in seconds if round(each, 3) != round(each, 6)]


async def test_seconds_count_from_the_call(sh):
    result = await call(sh("exit 0"), hook())
    assert result.seconds > 0
    assert result.exit_code == 0


async def test_a_flood_of_stderr_is_bounded(sh):
    log = Log()
    app = sh("seq 1 1000 | sed 's/^/error /' >&2; head -c 9000 /dev/zero | tr '\\0' e >&2")
    assert (await call(app, hook(), log=log)).is_accepted
    assert log[:2] == ["error 1", "error 2"]
    # a machine so slow that a window passed meanwhile lets more through, and says so as well
    dropped = sum(int(line.split()[0]) for line in log if "were dropped" in line)
    logged = [line for line in log if "were dropped" not in line]
    assert dropped > 0
    assert len(logged) + dropped == 1001
    assert max(map(len, logged)) <= 4096


async def test_hosts_that_share_the_slots_take_turns(sh, gate):
    shared = settings(slots=1)
    order = Printed()
    busy = OneShot(Host("busy.example", sh(f"echo busy; read _ <{gate.path}", "b")), shared, Log())
    quiet = OneShot(Host("quiet.example", sh("echo quiet", "q")), shared, Log())
    calls = [asyncio.create_task(busy.call(hook(), order)) for _ in range(3)]
    await order.until(1)
    calls.append(asyncio.create_task(quiet.call(hook(), order)))
    for count in (1, 2, 3):
        gate.let_one_pass()
        await order.until(count + 1)
    results = await asyncio.gather(*calls)
    assert all(result.is_accepted for result in results)
    assert order.lines.index(b"quiet") in (1, 2)
    await busy.stop()
    await quiet.stop()
    assert shared.slots.free == 1


async def test_a_failed_start_gives_its_slot_back(tmp_path):
    shared = settings(slots=1)
    runtime = runtime_for(host(tmp_path / "missing"), shared, Log())
    for _ in range(3):
        assert (await runtime.call(hook(), Printed())).outcome is Outcome.FAILED
    await runtime.stop()
    assert shared.slots.free == 1


async def test_a_stop_in_the_turn_of_a_start_leaves_nothing(sh):
    runtime = OneShot(host(sh("echo started; exec sleep 300")), settings(), ignore, 0.2)
    calls = [asyncio.create_task(runtime.call(hook(), ignore)) for _ in range(3)]
    await asyncio.sleep(0)
    assert (runtime.busy, runtime.queued) == (3, 0)
    await runtime.stop()
    for result in await asyncio.gather(*calls):
        was_ended = (result.outcome, result.started) == (Outcome.FAILED, True)
        assert was_ended or (result.outcome, result.started) == (Outcome.OVERLOADED, False)
        assert "stopping" in result.reason


async def test_a_process_that_cannot_be_killed_times_out_all_the_same(sh, monkeypatch):
    pids = Printed()

    def forbidden(_group, _number):
        raise PermissionError

    runtime = OneShot(host(sh("echo $$; exec sleep 300"), timeout=0.5), settings(), Log(), 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(os, "killpg", forbidden)
        result = await runtime.call(hook(), pids)
    assert (result.outcome, result.exit_code) == (Outcome.TIMEOUT, None)
    assert "could not be killed" in result.reason
    await runtime.stop()
    os.kill(int(pids.lines[0]), signal.SIGKILL)
    await gone(int(pids.lines[0]))
    await asyncio.sleep(0)  # its own watch was told in the same turn


async def test_fifty_rounds_leave_nothing(sh):
    """What the fixture around every test looks for: descriptors and processes."""
    app = sh('[ "$4" = odd ] && exec sleep 300; echo "{}"')
    for _ in range(50):
        runtime = OneShot(host(app), settings(), Log(), 0.2)
        calls = [
            asyncio.create_task(runtime.call(hook("close", socket=kind), Printed()))
            for kind in ("even", "odd")
        ]
        assert (await calls[0]).is_accepted
        await runtime.stop()
        await asyncio.gather(*calls)
