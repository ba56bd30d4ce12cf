"""How phlows.js keeps its connection: when it tries again, and when it gives up."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.browser.conftest import ROOT, address
from tests.browser.pages import hurry, page
from tests.conformance.program import Program
from tests.conformance.stream import dial
from tests.conformance.web import read_answer, request_bytes

pytestmark = pytest.mark.browser

PUSH, MESSAGE, UPGRADE = "push.example.com", "message.example.com", "upgrade.example.com"
ROOM = ROOT / "tests" / "apps" / "room.py"
FAILED = "WebSocket connection to .* failed"
BODY = '<b id="state"></b><i id="news"></i><ol id="log"></ol>'
CONNECT = """
  window.told = []; window.states = []
  window.ws = phlows.connect(%s)
  ws.on('close', (event) => told.push(event))
  ws.on('state', (state) => states.push(state))
"""
START = datetime(2030, 1, 1, tzinfo=UTC)
UNLUCKY = "Math.random = () => 0.999999"
"""The longest wait each time: what is random is tested elsewhere."""


def connecting(options="{}"):
    return page(BODY, CONNECT % options)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A host for casts alone, and one of each way to be refused."""
    app = {"app": str(ROOM), "runtime": "resident", "env": {"PYTHONPATH": str(ROOT)}}
    hosts = {
        PUSH: {"hooks": []},
        MESSAGE: {**app, "auth": "message"},
        UPGRADE: {**app, "auth": "upgrade"},
    }
    program = Program(tmp_path_factory.mktemp("broker"), hosts)
    yield program
    program.stop()


def with_a_clock(page):
    """The page's time stands still unless the test turns it on."""
    page.add_init_script(UNLUCKY)
    page.clock.install(time=START)
    page.clock.pause_at(START + timedelta(seconds=1))


def upgrades(broker, host):
    """How many sockets of a host were opened by now."""
    return sum(event["type"] == "open" for event in broker.events.of_host(host))


def test_a_token_that_is_refused_is_not_tried_again(broker, visit):
    html = connecting("{ token: 'of nobody' }")
    tab = visit(address(broker, MESSAGE), html, prepare=with_a_clock)
    tab.until("told.length === 1")
    assert tab.run("[told[0].code, told[0].retry]") == [4501, None]
    tab.page.clock.run_for(120_000)
    assert tab.run("[ws.state, told.length]") == ["stopped", 1]
    assert tab.run("states.filter(state => state === 'connecting').length") == 0
    assert upgrades(broker, MESSAGE) == 1


def test_after_a_login_the_same_client_can_be_opened_again(broker, visit):
    html = connecting("{ token: () => window.token || 'of nobody' }")
    tab = visit(address(broker, MESSAGE), html)
    tab.until("ws.state === 'stopped'")
    tab.do("window.token = 'token of ann'; ws.open()")
    tab.until("ws.state === 'open'")
    tab.do("ws.send({ type: 'ping' }); ws.on('message', (message) => { window.answer = message })")
    assert tab.until("window.answer") == {"pong": 1}


def test_attempts_at_a_refused_upgrade_settle_at_twenty_seconds(broker, visit):
    tab = visit(address(broker, UPGRADE), connecting(), prepare=with_a_clock)
    tab.expects("failed: HTTP Authentication failed")
    for attempt in range(1, 8):
        tab.until("count => told.length === count", attempt)
        wait = tab.run("told.at(-1).retry")
        tab.page.clock.run_for(wait - 2)
        assert tab.run("ws.state") == "waiting"
        tab.page.clock.run_for(3)
    waits = tab.run("told.map(event => Math.round(event.retry))")
    assert waits[:7] == [333, 999, 2997, 8991, 20000, 20000, 20000]


def test_a_thousand_messages_are_applied_in_the_order_of_their_casts(broker, visit):
    tab = visit(address(broker, PUSH), connecting())
    tab.until("ws.state === 'open'")
    casts = [
        request_bytes("POST", "/message", {"host": PUSH, "data": {"append": {"#log": f"{n},"}}})
        for n in range(1000)
    ]
    stream = dial(broker.address)
    stream.send(b"".join(casts))
    receipts = [read_answer(stream).json for _ in casts]
    stream.close()
    assert {receipt["sent"] for receipt in receipts} == {1}
    expected = "".join(f"{n}," for n in range(1000))
    tab.until("text => document.querySelector('#log').textContent === text", expected)


def test_a_message_that_fails_to_apply_stops_no_later_one(broker, visit):
    tab = visit(address(broker, PUSH), connecting())
    tab.expects("^phlows: ")
    tab.until("ws.state === 'open'")
    broker.cast(PUSH, {"inner": {"#not(a selector": "x"}})
    broker.cast(PUSH, {"inner": {"#news": "later"}})
    tab.shows("#news", "later")


def test_a_browser_that_comes_back_online_is_connected_at_once(start, visit):
    broker = start({PUSH: {"hooks": []}})
    tab = visit(address(broker, PUSH), connecting(), prepare=with_a_clock)
    tab.expects(FAILED, "ERR_INTERNET_DISCONNECTED")
    tab.until("ws.state === 'open'")
    tab.page.context.set_offline(True)
    broker.process.kill()
    tab.until("ws.state === 'offline'")
    broker.start_again()
    tab.page.context.set_offline(False)  # the clock stands still: nothing else could do it
    tab.until("ws.state === 'open'")
    broker.cast(PUSH, {"inner": {"#news": "fresh"}})
    tab.shows("#news", "fresh")


def test_a_connection_that_is_silent_after_a_time_offline_is_replaced(broker, visit):
    tab = visit(address(broker, PUSH), connecting(), prepare=with_a_clock)
    tab.until("ws.state === 'open'")
    tab.page.context.set_offline(True)
    tab.until("navigator.onLine === false")
    tab.page.context.set_offline(False)
    tab.until("navigator.onLine === true")
    tab.page.clock.run_for(5000)
    tab.until("told.length === 1")
    tab.page.clock.run_for(333)
    tab.until("ws.state === 'open'")
    broker.cast(PUSH, {"inner": {"#news": "fresh"}})
    tab.shows("#news", "fresh")


def test_what_is_sent_while_it_waits_goes_out_in_order_up_to_the_outbox(start, visit):
    broker = start({MESSAGE: {"app": "python", "hooks": ["receive"]}})
    tab = visit(address(broker, MESSAGE), connecting("{ outbox: 2 }"), prepare=hurry)
    tab.expects(FAILED)
    tab.until("ws.state === 'open'")
    broker.process.kill()
    tab.until("ws.state !== 'open'")
    assert tab.run("[1, 2, 3].map(n => ws.send({ n }))") == [True, True, False]
    broker.start_again()
    calls = broker.stages[MESSAGE].calls(2)
    assert [json.loads(call.argv[-1]) for call in calls] == [{"n": 1}, {"n": 2}]


def test_the_module_is_the_same_client(broker, visit):
    script = "import * as all from '/phlows.mjs'; import phlows from '/phlows.mjs';"
    script += "window.ws = phlows.connect(); window.same = all.connect === phlows.connect"
    html = f"<!doctype html><link rel=icon href=data:,>{BODY}<script type=module>{script}</script>"
    tab = visit(address(broker, PUSH), html)
    tab.until("window.ws && ws.state === 'open'")
    assert tab.run("[same, window.phlows, window.app]") == [True, None, None]
    broker.cast(PUSH, {"inner": {"#news": "module"}})
    tab.shows("#news", "module")


def test_an_element_takes_its_subscribers_with_it(broker, visit):
    tab = visit(address(broker, PUSH), connecting())
    tab.until("ws.state === 'open'")
    tab.do("""
      window.heard = []
      ws.on('message', () => heard.push('element'), document.querySelector('#log'))
      ws.on('message', () => heard.push('page'))
    """)
    broker.cast(PUSH, {"remove": "#log", "inner": {"#news": "1"}})
    tab.shows("#news", "1")
    broker.cast(PUSH, {"inner": {"#news": "2"}})
    tab.shows("#news", "2")
    assert tab.until("heard.length === 2 && heard") == ["page", "page"]
