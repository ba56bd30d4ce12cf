"""phlows.fetch: the lines of a response are applied as they arrive."""

from __future__ import annotations

import json

import pytest

from tests.browser.pages import page, served
from tests.browser.site import site

pytestmark = pytest.mark.browser

PAGE = page('<p id="step"></p><ol id="lines"></ol><p id="end"></p>')
FOLLOW = """(function (url, options) {
  window.told = []
  window.stream = phlows.fetch(url, options)
  for (const type of ['message', 'error', 'abort', 'end'])
    stream.on(type, (event) => told.push([type, event && event.message ? event.message : event]))
  stream.then((result) => { window.result = result }, (error) => { window.result = error.name })
})"""


@pytest.fixture(scope="module")
def web():
    with site() as web:
        yield web


@pytest.fixture
def tab(web, visit):
    def prepare(page):
        served(page.context, web.url)

    return visit(web.url, PAGE, prepare=prepare)


def follow(tab, path="/200", **options):
    tab.run(f"([url, options]) => {FOLLOW}(url, options)", [path, options])


def line(**commands):
    return json.dumps(commands, ensure_ascii=False).encode() + b"\n"


def test_a_line_is_applied_while_the_next_is_not_even_sent(tab, web):
    follow(tab)
    answer = web.take()
    for step in ("1/3", "2/3", "3/3"):
        answer.write(line(inner={"#step": step}))
        tab.shows("#step", step)
    assert tab.run("window.result") is None
    answer.finish()
    tab.until("window.result")
    assert tab.run("result") == {"status": 200, "lines": 3}
    assert tab.run("told.at(-1)") == ["end", {"status": 200, "lines": 3}]


def test_a_request_has_the_method_and_the_body_that_it_was_given(tab, web):
    follow(tab, body={"report": 7})
    answer = web.take()
    assert (answer.method, json.loads(answer.body)) == ("POST", {"report": 7})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["accept"] == "application/x-ndjson"
    answer.finish()
    tab.until("window.result")


def test_lines_come_out_whole_however_they_are_cut(tab, web):
    texts = ["é✓", "\U0001f600\U0001f600", "plain"]
    follow(tab)
    answer = web.take()
    sent = b"".join(line(append={"#lines": f"<li>{text}</li>"}) for text in texts)
    for byte in sent:
        answer.write(bytes([byte]))
    answer.write(b"\n\r\n  \n" + line(inner={"#end": "over"}).rstrip(b"\n"))
    answer.finish()
    tab.shows("#end", "over")
    tab.shows_all("#lines li", texts)


def test_a_line_that_is_no_json_stops_no_other(tab, web):
    follow(tab)
    answer = web.take()
    answer.write(b"<b>Warning</b>: something in PHP\n" + line(inner={"#end": "over"}))
    answer.finish()
    tab.shows("#end", "over")
    tab.until("window.result")
    assert [kind for kind, _ in tab.run("told")] == ["error", "message", "end"]


def test_an_abort_ends_the_request_and_what_comes_after_is_not_applied(tab, web):
    follow(tab)
    answer = web.take()
    answer.write(line(inner={"#step": "1"}))
    tab.shows("#step", "1")
    tab.do("stream.abort()")
    assert tab.until("window.result") == "AbortError"
    assert tab.run("told.at(-1)")[0] == "abort"
    answer.until_left()
    answer.cut()
    tab.shows("#step", "1")


def test_a_connection_that_breaks_is_an_error_after_what_came_before(tab, web):
    tab.expects("ERR_INCOMPLETE_CHUNKED_ENCODING")
    follow(tab)
    answer = web.take()
    answer.write(line(inner={"#step": "1"}))
    tab.shows("#step", "1")
    answer.cut()
    assert tab.until("window.result") == "TypeError"
    assert tab.run("told.at(-1)")[0] == "error"
    tab.shows("#step", "1")


def test_an_answer_that_is_an_error_page_is_told_and_not_applied(tab, web):
    tab.expects("status of 500")
    follow(tab, "/500")
    answer = web.take()
    answer.write(line(inner={"#step": "1"}))
    answer.finish()
    assert tab.until("window.result") == {"status": 500, "lines": 0}
    assert tab.run("told") == [["error", "answered 500"], ["end", {"status": 500, "lines": 0}]]
    tab.shows("#step", "")


def test_an_error_of_the_app_is_shown_and_told(tab, web):
    follow(tab)
    answer = web.take()
    answer.write(line(error="no such report"))
    answer.finish()
    tab.shows("[role=alert] span", "no such report")
    assert ["error", "no such report"] in tab.run("told")
