"""Each command of apply(), in a page that has the elements for it."""

from __future__ import annotations

import pytest

from tests.browser.pages import NOWHERE, page, served
from tests.browser.tab import Tab

pytestmark = pytest.mark.browser

PAGE = page("""
  <main id="main"><h1>Main</h1>
    <div id="box" class="one two" title="t" data-old="1">old</div>
    <p class="many">1</p><p class="many">2</p>
    <input id="field" value="x"><input id="check" type="checkbox">
  </main>
  <div id="far" style="margin-top: 4000px">far</div>
""")
PLACES = {
    "/style.css": ("text/css", "#box { color: rgb(1, 2, 3) }"),
    "/script.js": ("text/javascript", "window.ran = (window.ran || 0) + 1"),
}

BOX = "document.querySelector('#box')"
MANY = "[...document.querySelectorAll('.many')].map(p => p.textContent).join()"
AROUND = f"[{BOX}.previousElementSibling.outerHTML, {BOX}.nextElementSibling.outerHTML]"

TABLE = {
    "inner": ({"inner": {"#box": "<b>new</b>"}}, BOX + ".innerHTML", "<b>new</b>"),
    "inner of all that match": ({"inner": {".many": "x"}}, MANY, "x,x"),
    "several in turn": ({"inner": [{"#box": "1"}, {"#box": "2"}]}, BOX + ".innerHTML", "2"),
    "several selectors": (
        {"inner": {"#box": "1", ".many": "2"}},
        f"{BOX}.innerHTML + {MANY}",
        "12,2",
    ),
    "outer": (
        {"outer": {"#box": '<i id="box">new</i>'}},
        BOX + ".outerHTML",
        '<i id="box">new</i>',
    ),
    "before and after": (
        {"before": {"#box": "<i>b</i>"}, "after": {"#box": "<i>a</i>"}},
        AROUND,
        ["<i>b</i>", "<i>a</i>"],
    ),
    "prepend": ({"prepend": {"#box": "<i>1</i>"}}, BOX + ".innerHTML", "<i>1</i>old"),
    "append": ({"append": {"#box": "<i>1</i>"}}, BOX + ".innerHTML", "old<i>1</i>"),
    "append in turn": (
        {"append": [{"#box": "1"}, {"#box": "2"}]},
        BOX + ".textContent",
        "old12",
    ),
    "main": (
        {"main": "<h2>new</h2>"},
        "document.querySelector('main').innerHTML",
        "<h2>new</h2>",
    ),
    "a whole main": (
        {"main": '<main class="next">new</main>'},
        "[...document.querySelectorAll('main')].map(main => main.outerHTML).join()",
        '<main class="next">new</main>',
    ),
    "main without one": (
        {"remove": "main", "main": "<h2>new</h2>"},
        "document.body.firstElementChild.outerHTML",
        "<h2>new</h2>",
    ),
    "remove": ({"remove": "#box"}, BOX, None),
    "remove several": ({"remove": ["#box", ".many"]}, f"[{BOX}, {MANY}]", [None, ""]),
    "attr": (
        {"attr": {"#box": {"title": None, "role": "note"}}},
        f"[{BOX}.hasAttribute('title'), {BOX}.getAttribute('role')]",
        [False, "note"],
    ),
    "value": ({"value": {"#field": "new"}}, "document.querySelector('#field').value", "new"),
    "value of a checkbox": (
        {"value": {"#check": True}},
        "document.querySelector('#check').checked",
        True,
    ),
    "data": (
        {"data": {"#box": {"userId": 7, "old": "2"}}},
        f"({{...{BOX}.dataset}})",
        {"old": "2", "userId": "7"},
    ),
    "class": ({"class": {"#box": "three -one !two !four"}}, BOX + ".className", "three four"),
    "title": ({"title": "A new title"}, "document.title", "A new title"),
    "lang": ({"lang": "nl"}, "document.documentElement.lang", "nl"),
    "options": ({"options": "wide dark"}, "document.body.className", "wide dark"),
    "settings": (
        [{"settings": {"old": 1}}, {"settings": {"theme": "dark"}}],
        "({...document.body.dataset})",
        {"theme": "dark"},
    ),
    "path": (
        {"path": "inbox/7"},
        "[location.pathname, history.length - lengthBefore]",
        ["/inbox/7", 1],
    ),
    "pathReplace": (
        {"pathReplace": "inbox"},
        "[location.pathname, history.length - lengthBefore]",
        ["/inbox", 0],
    ),
    "path stays on its host": ({"path": "//evil.com/"}, "location.pathname", "/evil.com/"),
    "state": ({"path": "inbox", "state": False}, "location.pathname", "/"),
    "scroll": ({"scroll": 1200}, "scrollY", 1200),
    "scroll to an anchor": (
        {"scroll": "#far"},
        "Math.round(document.querySelector('#far').getBoundingClientRect().bottom) <= innerHeight",
        True,
    ),
    "scroll to what is not there": ({"scroll": "#gone"}, "scrollY", 0),
    "unknown": ({"pong": 1, "constructor": 2, "title": "t"}, "document.title", "t"),
    "no selector matches": ({"inner": {"#gone": "x"}, "title": "t"}, "document.title", "t"),
    "a list of commands": ([{"title": "1"}, {"lang": "nl"}], "document.title", "1"),
    "not an object": ([1, "x", None, {"title": "t"}], "document.title", "t"),
}


@pytest.fixture(scope="module")
def context(chromium):
    """One for the module: each test has a page of its own."""
    context = chromium.new_context()
    served(context, NOWHERE)
    context.route(NOWHERE, lambda route: route.fulfill(content_type="text/html", body=PAGE))
    for path, (kind, text) in PLACES.items():
        context.route(NOWHERE[:-1] + path, answer(kind, text))
    yield context
    context.close()


def answer(kind, text):
    return lambda route: route.fulfill(content_type=kind, body=text)


@pytest.fixture(scope="module")
def reused(context):
    return Tab(context.new_page())


@pytest.fixture
def tab(reused):
    """The page as it is when it was just opened."""
    reused.page.goto(NOWHERE)
    reused.do("window.lengthBefore = history.length")
    yield reused
    reused.check()


@pytest.fixture
def own_tab(context):
    """One that is thrown away: for tests that change more than the page."""
    tab = Tab(context.new_page())
    tab.page.goto(NOWHERE)
    yield tab
    tab.close()
    tab.check()


def apply(tab, commands, **options):
    tab.run("([commands, options]) => phlows.apply(commands, options)", [commands, options])


@pytest.mark.parametrize("name", TABLE)
def test_a_command_does_what_the_table_says(tab, name):
    commands, look, expected = TABLE[name]
    assert tab.run(look) != expected or name.startswith(("state", "scroll to what"))
    apply(tab, commands)
    assert tab.run(look) == expected


@pytest.mark.parametrize(
    "commands",
    [
        {"inner": {"#a:broken(": "x"}, "title": "t"},
        {"attr": {"#box": {"not a name": "1"}}, "title": "t"},
        {"remove": ["#a:broken(", "#box"], "title": "t"},
        {"inner": 7, "outer": "text", "class": {"#box": 7}, "value": None, "title": "t"},
        {"fails": 1, "title": "t"},
        {"location": "javascript:void(document.title = 'evil')", "title": "t"},
        [{"inner": {"#a:broken(": "x"}}, {"title": "t"}],
    ],
    ids=str,
)
def test_a_command_that_fails_stops_no_other(tab, commands):
    tab.expects("^phlows: ")
    tab.do("phlows.apply.on('fails', () => { throw new Error('mine') })")
    apply(tab, commands)
    assert tab.run("document.title") == "t"


def test_a_custom_command_gets_its_value_and_its_company(tab):
    tab.do("phlows.apply.on('chat', (...given) => { window.given = given })")
    apply(tab, {"chat": {"text": "hi"}, "title": "t"})
    assert tab.run("given") == [{"text": "hi"}, {"chat": {"text": "hi"}, "title": "t"}]


def test_a_custom_command_can_be_taken_off_again(tab):
    tab.do("window.off = phlows.apply.on('title', () => {})")
    apply(tab, {"title": "1"})
    tab.do("off()")
    apply(tab, {"lang": "nl"})
    assert tab.run("[document.title, document.documentElement.lang]") == ["a page", "nl"]
    apply(tab, {"title": "2"})
    assert tab.run("document.title") == "2"


def test_log_writes_to_the_console(tab):
    with tab.page.expect_console_message() as said:
        apply(tab, {"log": "hello"})
    assert (said.value.type, said.value.text) == ("log", "hello")


def test_a_style_sheet_is_loaded_once(tab):
    apply(tab, {"css": "/style.css"})
    apply(tab, {"css": ["style.css", "/style.css"]})
    tab.until(f"getComputedStyle({BOX}).color === 'rgb(1, 2, 3)'")
    assert tab.run("document.querySelectorAll('link[rel=stylesheet]').length") == 1


@pytest.mark.parametrize("name", ["js", "defer"])
def test_a_script_is_loaded_once_where_that_is_allowed(tab, name):
    apply(tab, {name: ["/script.js", "/script.js"]}, allow=["js"])
    apply(tab, {name: "script.js"}, allow=["js"])
    tab.until("window.ran === 1")
    assert tab.run("document.querySelectorAll('script[src$=\"script.js\"]').length") == 1


@pytest.mark.parametrize("commands", [{"js": "/script.js"}, {"defer": "/script.js"}, {"call": "f"}])
@pytest.mark.parametrize("allow", [[], ["else"], None])
def test_scripts_and_calls_are_refused_unless_they_are_allowed(tab, commands, allow):
    tab.expects("^phlows: a command needs allow")
    tab.do("phlows.apply.calls.f = () => { window.called = true }")
    apply(tab, {**commands, "title": "t"}, **({"allow": allow} if allow is not None else {}))
    assert tab.run("[document.title, document.querySelectorAll('head script').length]") == ["t", 1]
    assert tab.run("window.called") is None


def test_a_function_is_called_by_its_name_where_that_is_allowed(tab):
    tab.do("window.calls = []; phlows.apply.calls.f = (...given) => calls.push(given)")
    apply(tab, {"call": ["f", "unknown", "toString", {"f": 1}]}, allow=["call"])
    assert tab.run("calls") == [[], [1]]


def test_location_goes_to_a_path_of_this_host(tab):
    with tab.page.expect_navigation(url=NOWHERE + "?next"):
        tab.page.context.route(NOWHERE + "?next", answer("text/html", PAGE))
        apply(tab, {"location": "?next"})


def test_location_true_loads_the_page_again(tab):
    tab.do("window.isOld = true")
    with tab.page.expect_navigation():
        apply(tab, {"location": True})
    assert tab.run("window.isOld") is None


def test_a_view_transition_ends_with_the_change_made_and_later_ones_after_it(tab):
    apply(tab, {"trans": True, "title": "1"})
    apply(tab, {"title": "2"})
    apply(tab, {"trans": ["back", "slow"], "inner": {"#box": "3"}})
    tab.until(f"{BOX}.innerHTML === '3'")
    assert tab.run("document.title") == "2"
    tab.until("document.documentElement.dataset.trans === undefined")


def test_there_is_no_transition_where_people_want_less_motion(own_tab):
    own_tab.page.emulate_media(reduced_motion="reduce")
    apply(own_tab, {"trans": True, "title": "1"})
    assert own_tab.run("[document.title, document.documentElement.dataset.trans]") == ["1", None]


# What a person was doing


@pytest.mark.parametrize("name", ["inner", "outer"])
def test_focus_selection_and_unsent_text_survive_a_change(tab, name):
    html = '<label>Name <input id="name" value=""></label>'
    apply(tab, {"inner": {"#box": html}})
    tab.page.focus("#name")
    tab.page.keyboard.type("hello")
    tab.do("document.querySelector('#name').setSelectionRange(1, 3)")
    whole = f'<div id="box"><p>new</p>{html}</div>'
    apply(tab, {name: {"#box": html + "<p>new</p>" if name == "inner" else whole}})
    field = "document.querySelector('#name')"
    assert tab.run(f"[{field} === document.activeElement, {field}.value]") == [True, "hello"]
    assert tab.run(f"[{field}.selectionStart, {field}.selectionEnd]") == [1, 3]
    assert tab.run("document.querySelector('#box p').textContent") == "new"


def test_scroll_positions_survive_a_change(tab):
    html = (
        '<div class="list" style="height: 50px; overflow: auto"><p style="height: 900px"></p></div>'
    )
    apply(tab, {"inner": {"#box": html}})
    tab.do("scrollTo(0, 300); document.querySelector('.list').scrollTop = 120")
    apply(tab, {"inner": {"#box": html + "more"}})
    assert tab.run("[scrollY, document.querySelector('.list').scrollTop]") == [300, 120]


def test_focus_outside_of_a_change_is_left_alone(tab):
    tab.page.focus("#field")
    apply(tab, {"inner": {"#box": "<input autofocus>"}})
    assert tab.run("document.activeElement.id") == "field"


# Notices


def test_a_toast_is_text_in_a_live_region_that_was_there_before(tab):
    assert tab.run("document.querySelectorAll('[aria-live=polite]').length") == 1
    apply(tab, {"toast": "<b>Saved</b>"})
    toast = tab.page.get_by_role("region", name="Notifications").locator(".phlows-toast")
    assert toast.locator("span").text_content() == "<b>Saved</b>"


def test_toasts_are_dismissed_by_their_button_and_by_escape(tab):
    apply(tab, {"toast": ["one", "two", "three"]})
    tab.page.get_by_role("button", name="Dismiss").nth(1).click()
    tab.shows_all(".phlows-toast span", ["one", "three"])
    tab.page.keyboard.press("Escape")
    tab.shows_all(".phlows-toast span", ["one"])


def test_a_toast_goes_by_itself_and_an_error_stays(own_tab):
    own_tab.page.clock.install()
    apply(own_tab, {"toast": "gone soon", "error": "it failed"})
    own_tab.shows_all(".phlows-toast span", ["gone soon", "it failed"])
    own_tab.page.clock.run_for(60_000)
    own_tab.shows_all(".phlows-toast span", ["it failed"])
    assert own_tab.page.get_by_role("alert").locator("span").text_content() == "it failed"


def test_a_page_can_give_toasts_its_own_colours(tab):
    tab.do("document.body.style.setProperty('--phlows-toast-background', 'rgb(1, 2, 3)')")
    apply(tab, {"toast": "hi"})
    look = "getComputedStyle(document.querySelector('.phlows-toast')).backgroundColor"
    assert tab.run(look) == "rgb(1, 2, 3)"
