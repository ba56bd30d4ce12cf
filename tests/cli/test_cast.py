from __future__ import annotations

import json

import pytest

from phlows_cli.cli.apply_options import COMMANDS
from phlows_cli.cli.commands.cast import receipt_line

ID = "0123456789abcdef"
RECEIPT = {"status": "ok", "host": "app.example.com", "sent": 3, "matched": 3}


@pytest.fixture
def cast(phlows, recorder, config):
    """Casts to the recorder, with one host registered."""
    recorder.answers["/message"] = (200, {**RECEIPT, "dropped": 0, "held": 0})
    config("app.example.com", port=int(recorder.url.rpartition(":")[2]))
    return lambda *args, **settings: phlows("cast", *args, **settings)


@pytest.fixture
def payload(cast, recorder):
    """The payload of a cast that succeeds."""

    def send(*args, **settings):
        result = cast(*args, **settings)
        assert (result.exit_code, result.stderr) == (0, "")
        return recorder.last.json()["data"]

    return send


def refusal(result):
    assert result.exit_code == 2
    return result.stderr.splitlines()[0].removeprefix("error: ")


def test_a_cast_without_anything_is_refused(cast, recorder):
    assert refusal(cast()).startswith("nothing to send: give --toast, key=value, --data ")
    assert refusal(cast("--target", "all")).startswith("nothing to send: ")
    assert recorder.requests == []


def test_an_empty_object_goes_out_when_it_is_asked_for(cast, recorder):
    result = cast("--data", "{}")
    assert result.stdout == "sent to 3 of 3 sockets of app.example.com\n"
    assert recorder.last.method == "POST"
    assert recorder.last.json() == {"host": "app.example.com", "target": "all", "data": {}}


def test_the_receipt_with_json_is_as_the_broker_gave_it(cast):
    result = cast("a=1", "--json")
    assert json.loads(result.stdout) == {**RECEIPT, "dropped": 0, "held": 0}


@pytest.mark.parametrize(
    ("receipt", "line"),
    [
        ({"sent": 1, "matched": 1}, "sent to 1 of 1 socket of h"),
        ({"sent": 0, "matched": 0}, "sent to 0 of 0 sockets of h"),
        (
            {"sent": 1, "matched": 3, "dropped": 2},
            "sent to 1 of 3 sockets of h, dropped for 2 slow",
        ),
        (
            {"sent": 0, "matched": 0, "held": 4},
            "sent to 0 of 0 sockets of h, held for 4 until authenticated",
        ),
    ],
)
def test_the_receipt_for_people(receipt, line):
    assert receipt_line({"host": "h", **receipt}) == line


def test_targets_and_exceptions_add_up(cast, recorder):
    cast("a=1", "--target", "token:a", "--target", ID, "--except", "s2", "--except", "socket:s3")
    body = recorder.last.json()
    assert body["target"] == ["token:a", ID]
    assert body["except"] == ["s2", "socket:s3"]


def test_an_empty_target_is_not_everyone(cast, recorder):
    assert refusal(cast("a=1", "--target", "")).startswith("--target '' is not one of: all, ")
    assert not recorder.requests


@pytest.mark.parametrize("target", ["token:", "token:not:"])
def test_a_target_whose_variable_is_empty_is_not_sent(cast, recorder, target):
    result = cast("a=1", "--target", ID, "--target", target)
    assert refusal(result) == f"--target {target} has no token after it: is a variable empty?"
    assert not recorder.requests


@pytest.mark.parametrize(
    ("target", "shown"), [("abc", "'abc'"), ("x" * 99, repr("x" * 40 + "..."))]
)
def test_a_target_that_is_none_is_shown_cut(cast, target, shown):
    assert refusal(cast("a=1", "--target", target)).startswith(f"--target {shown} is not one of: ")


def test_a_target_that_may_hold_a_token_is_not_shown(cast):
    assert "s3cret" not in refusal(cast("a=1", "--target", "Token:s3cret"))


@pytest.mark.parametrize(
    "name", ["inner", "outer", "before", "after", "prepend", "append", "value"]
)
def test_html_goes_to_selectors(payload, name):
    sent = payload(f"--{name}", "#count=5", f"--{name}", 'a[b="c"]=<b>x</b>')
    assert sent == {name: {"#count": "5", 'a[b="c"]': "<b>x</b>"}}


@pytest.mark.parametrize(
    "name", ["main", "remove", "css", "js", "defer", "call", "error", "log", "toast"]
)
def test_a_text_is_a_text_and_several_are_an_array(payload, name):
    assert payload(f"--{name}", "a") == {name: "a"}
    assert payload(f"--{name}", "a", f"--{name}", "b") == {name: ["a", "b"]}
    assert payload(f"--{name}", "") == {name: ""}


@pytest.mark.parametrize(
    ("option", "key"),
    [
        ("--title", "title"),
        ("--lang", "lang"),
        ("--options", "options"),
        ("--path", "path"),
        ("--path-replace", "pathReplace"),
        ("--scroll", "scroll"),
        ("--location", "location"),
    ],
)
def test_what_means_something_once_is_given_once(payload, cast, option, key):
    assert payload(option, "x") == {key: "x"}
    assert refusal(cast(option, "x", option, "y")) == f"{option} is given twice"


def test_attributes_are_set_set_empty_and_removed(payload):
    sent = payload("--attr", "a:href=/x", "--attr", "#go:disabled=", "--attr", "a:title")
    assert sent == {"attr": {"a": {"href": "/x", "title": None}, "#go": {"disabled": ""}}}


def test_the_dataset_is_the_data_command(payload, cast):
    assert payload("--dataset", "#a:userId=5", "--dataset", "#a:n=") == {
        "data": {"#a": {"userId": "5", "n": ""}}
    }
    assert refusal(cast("--dataset", "#a:n")) == "--dataset takes SELECTOR:KEY=VALUE, not '#a:n'"


def test_classes_and_settings(payload):
    assert payload("--class", "#a=a -b !c", "--settings", "theme=dark", "--settings", "n=a=b") == {
        "class": {"#a": "a -b !c"},
        "settings": {"theme": "dark", "n": "a=b"},
    }


def test_a_transition_is_names_or_true(payload):
    assert payload("--trans", "slide") == {"trans": "slide"}
    assert payload("--trans", "slide", "--trans", "fade") == {"trans": ["slide", "fade"]}
    assert payload("--trans", "true") == {"trans": True}


def test_scroll_takes_pixels_or_a_place(payload):
    assert payload("--scroll", "120") == {"scroll": 120}
    assert payload("--scroll", "#top") == {"scroll": "#top"}


def test_location_true_reloads(payload):
    assert payload("--location", "true") == {"location": True}
    assert payload("--location", "/login") == {"location": "/login"}


def test_the_state_of_the_history(payload):
    assert payload("--no-state") == {"state": False}
    assert payload("--state") == {"state": True}


def test_every_apply_command_of_the_contract_has_an_option():
    named = {command.name for command in COMMANDS} | {"state"}
    assert named == {
        "inner", "outer", "before", "after", "prepend", "append", "main", "remove", "attr",
        "value", "data", "class", "title", "lang", "options", "settings", "path", "pathReplace",
        "trans", "state", "scroll", "css", "js", "defer", "location", "call", "error", "log",
        "toast",
    }  # fmt: skip


def test_items_and_options_make_one_payload(payload):
    sent = payload("--toast", "hi", "kind=order", "n:=1", "--toast", "ho", "--append", "ul=x")
    assert sent == {"toast": ["hi", "ho"], "append": {"ul": "x"}, "kind": "order", "n": 1}


def test_commands_keep_the_order_in_which_they_first_appear(cast, recorder):
    cast("--remove", "#a", "--append", "ul=x", "--inner", "b=c", "--remove", "#d")
    assert recorder.last.body.endswith(
        b'"data":{"remove":["#a","#d"],"append":{"ul":"x"},"inner":{"b":"c"}}}'
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--toast", "a", "toast=b"], "'toast' is given twice"),
        (["--inner", "#a=b", "--inner", "#a=c"], "'#a' is given twice"),
        (["--attr", "#a:b=1", "--attr", "#a:b"], "'b' is given twice"),
        (["--settings", "a=1", "--settings", "a=2"], "'a' is given twice"),
        (["--settings", "a"], "--settings takes KEY=VALUE, not 'a'"),
        (["--inner", "#a"], "--inner takes SELECTOR=HTML, not '#a'"),
        (["--attr", "#a"], "--attr takes SELECTOR:NAME[=VALUE], not '#a'"),
        (["--dataset", "#a"], "--dataset takes SELECTOR:KEY=VALUE, not '#a'"),
        (["--path", "/a", "--path-replace", "/b"], "--path and --path-replace exclude each other"),
        (["--data", "[]", "a=1"], "--data is an array: nothing can be added to it"),
        (["--data", '{"a":1}', "a=1"], "'a' is given twice"),
        (["--data", "5"], "--data must be a JSON object or array"),
        (["--toast", "\udcff"], "an argument is not UTF-8"),
        (["nonsense"], "'nonsense' is neither key=text nor key:=json"),
    ],
)
def test_a_conflict_is_a_usage_error_and_nothing_is_sent(cast, recorder, args, message):
    assert refusal(cast(*args)) == message
    assert recorder.requests == []


def test_data_goes_out_byte_for_byte(cast, recorder, tmp_path):
    text = b'{ "a" : "\\/\\u00e9", "n" : 1.0 }'
    (tmp_path / "m.json").write_bytes(text + b"\n")
    cast("--data", text.decode())
    assert recorder.last.body.endswith(b'"data":' + text + b"}")
    cast("--data", "@m.json")
    assert recorder.last.body.endswith(b'"data":' + text + b"\n}")
    cast("--data", "-", input=text)
    assert recorder.last.body.endswith(b'"data":' + text + b"}")


def test_data_is_the_object_that_the_rest_is_added_to(payload):
    assert payload("--data", '{"a":1}', "--toast", "hi", "b=2") == {"a": 1, "toast": "hi", "b": "2"}


def test_the_host_can_be_named_by_option_and_by_variable(cast, recorder, config):
    config("a", "b", port=int(recorder.url.rpartition(":")[2]))
    assert "2 hosts are registered (a, b)" in refusal(cast("a=1"))
    cast("a=1", "--host", "b")
    assert recorder.last.json()["host"] == "b"
    cast("a=1", env={"PHLOWS_HOST": "a"})
    assert recorder.last.json()["host"] == "a"


def test_the_broker_can_be_named_by_option_and_by_variable(phlows, recorder):
    recorder.answers["/message"] = (200, RECEIPT)
    assert phlows("cast", "a=1", "--host", "h", "--url", recorder.url).exit_code == 0
    assert phlows("cast", "a=1", "--host", "h", env={"PHLOWS_URL": recorder.url}).exit_code == 0
    assert len(recorder.requests) == 2


def test_the_configuration_can_be_named_by_variable(cast, recorder, tmp_path):
    moved = tmp_path / "elsewhere.toml"
    (tmp_path / "phlows.toml").rename(moved)
    assert cast("a=1", env={"PHLOWS_CONFIG": str(moved)}).exit_code == 0
    assert recorder.last.json()["host"] == "app.example.com"


def test_a_bad_configuration_is_a_usage_error_with_its_place(cast, tmp_path):
    (tmp_path / "phlows.toml").write_text("[server]\nport = 99999\n")
    assert "phlows.toml:2: server.port" in refusal(cast("a=1"))


def test_the_brokers_refusal_is_exit_code_4(cast, recorder):
    recorder.answers["/message"] = (400, {"status": "error", "message": "target 'x' is none"})
    result = cast("a=1", "--target", ID)
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "error: target 'x' is none\n"


def test_no_broker_is_exit_code_3(program, config):
    config("app.example.com", text='listen = "unix:/nowhere/phlows.sock"')
    done = program("cast", "--toast", "hi")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: no broker answers at unix:/nowhere/phlows.sock (no such")
    assert len(done.stderr.splitlines()) == 1
