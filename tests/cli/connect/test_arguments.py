"""What is refused before anything is connected."""

from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete

from phlows_cli.cli.dialogue.closing import MEANINGS
from phlows_cli.cli.dialogue.place import place_of_host, place_of_url
from phlows_cli.cli.dialogue.typed import close_arguments, message, unknown_command
from phlows_cli.cli.dialogue.wishes import headers
from phlows_cli.cli.main import cli
from phlows_cli.config import load_config
from phlows_cli.errors import UsageError
from phlows_cli.model import CloseCode


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("app.test", "a=b"), "'a=b' is left over: items are sent with -x"),
        (("app.test", "-x"), "-x sends one message: give key=text items, JSON, @FILE or -"),
        (("app.test", "-x", "word"), "'word' is neither key=text nor key:=json"),
        (("app.test", "-x", "{"), "the message is not JSON"),
        (("app.test", "-x", "@missing"), "cannot read missing"),
        (("app.test", "-x", "--text", "a", "b"), "--text takes one argument, not 2"),
        (("localhost:99", "-x", "a=b"), "has a port: give the host alone, with the broker's"),
        (("a b", "-x", "a=b"), "'a b' is neither a host nor a URL"),
        (("ftp://a.test/", "-x", "a=b"), "this is not a URL such as"),
        (("ws://a.test:0/", "-x", "a=b"), "this is not a URL such as"),
        (("ws://a.test:99999/", "-x", "a=b"), "this is not a URL such as"),
        (("ws://a.test/#x", "-x", "a=b"), "this is not a URL such as"),
        (("ws://a.test/a b", "-x", "a=b"), "the URL holds a space"),
        (("ws://ann@a.test/", "-x", "a=b"), "a user without a password"),
        (("app.test", "--path", "nope", "-x", "a=b"), "--path 'nope' is not a path"),
        (("app.test", "--header", "no", "-x", "a=b"), "--header takes NAME:VALUE"),
        (("app.test", "--header", "Host: x", "-x", "a=b"), "--header cannot set Host"),
        (("app.test", "--header", "X: \x01", "-x", "a=b"), "must be printable ASCII"),
        (("app.test", "--origin", "a\r\nb", "-x", "a=b"), "is not an origin such as"),
        (("app.test", "--url", "nonsense", "-x", "a=b"), "the broker's URL must be"),
        (("app.test", "--token", "@missing", "-x", "a=b"), "cannot read missing"),
        (("app.test", "--wait", "-1", "-x", "a=b"), "--wait"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(phlows, config, args, said):
    config("app.test")
    result = phlows("connect", *args)
    assert result.exit_code == 2
    assert said in result.stderr


def test_without_a_host_the_only_one_is_meant(config):
    one = load_config(config("one.test"))
    assert place_of_host(one, None, None, None).url == "ws://one.test/websocket"
    two = load_config(config("one.test", "two.test"))
    with pytest.raises(UsageError, match="name one as the first argument"):
        place_of_host(two, None, None, None)


def test_an_address_that_is_an_item_or_a_payload_is_no_host(phlows, config):
    config("one.test", "two.test")
    for word in ("type=a", "u=ws://x/", "-", "@file", '{"a":1}', "[1]"):
        result = phlows("connect", "-x", word)
        assert "2 hosts are registered" in result.stderr, word


@pytest.mark.parametrize(
    ("typed", "address", "url", "shown"),
    [
        ("ws://a.test", ("a.test", 80), "ws://a.test", "ws://a.test/"),
        ("wss://a.test/p?q=1", ("a.test", 443), "wss://a.test/p?q=1", "wss://a.test/p"),
        ("https://a.test:8/", ("a.test", 8), "wss://a.test:8/", "wss://a.test:8/"),
        ("http://[::1]:8/", ("::1", 8), "ws://[::1]:8/", "ws://[::1]:8/"),
        ("ws://u:p@a.test/", ("a.test", 80), "ws://a.test/", "ws://a.test/"),
    ],
)
def test_urls_are_taken_apart_and_shown_without_secrets(typed, address, url, shown):
    place = place_of_url(typed, None)
    assert (place.address, place.url, place.shown) == (address, url, shown)


@pytest.mark.parametrize(
    ("broker", "address", "server_name"),
    [
        ("http://127.0.0.1:3001", ("127.0.0.1", 3001), ""),
        ("3009", ("127.0.0.1", 3009), ""),
        ("https://127.0.0.1:3001", ("127.0.0.1", 3001), "app.test"),
        ("https://localhost:3001", ("localhost", 3001), "app.test"),
        ("https://edge.test", ("edge.test", 443), "edge.test"),
        ("unix:/run/x.sock", "/run/x.sock", ""),
        ("unix:///run/x.sock", "/run/x.sock", ""),
    ],
)
def test_the_broker_is_found_by_its_url(config, broker, address, server_name):
    place = place_of_host(load_config(config("app.test")), broker, "App.Test.", None)
    assert (place.address, place.server_name) == (address, server_name)
    assert place.url.partition("://")[2] == "app.test/websocket"


def test_a_path_of_any_kind_is_the_usual_one(config):
    place = place_of_host(load_config(config("a.test", text='path = "*"')), None, "::1", None)
    assert place.url == "ws://[::1]/websocket"


@pytest.mark.parametrize(
    ("typed", "header"),
    [
        ("abc", "sid=abc"),
        ("YWJj==", "sid=YWJj=="),
        ("a=b=c", "a=b=c"),
        ("sid=a;b c", "sid=a%3Bb%20c"),
        ("sid=a%20b", "sid=a%20b"),
        ("sid=é\r\n", "sid=%C3%A9%0D%0A"),
    ],
)
def test_cookies_are_written_so_that_they_can_be_sent(typed, header):
    assert headers((), [typed], "sid") == [("Cookie", header)]


def test_a_host_without_cookies_takes_none_without_a_name():
    with pytest.raises(UsageError, match="give --cookie NAME=VALUE"):
        headers((), ["value"], "")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (' {"a": 1.0} ', '{"a": 1.0}'),
        ("[]", "[]"),
        ("type=chat.send text='hi there' n:=3", '{"type":"chat.send","text":"hi there","n":3}'),
        (r'a="b \" c"', r'{"a":"b \" c"}'),
    ],
)
def test_a_typed_line_is_json_or_items(line, text):
    assert message(line, is_text=False) == text
    assert message(line, is_text=True) == line


@pytest.mark.parametrize(
    "line", ["word", "a='b", "{", '{"a":1} x', "a:=x", "a=1 a=2", "a=\udcff", '{"a":"\udcff"}']
)
def test_another_line_is_a_usage_error(line):
    with pytest.raises(UsageError):
        message(line, is_text=False)


@pytest.mark.parametrize(
    ("rest", "meant"),
    [("", (1000, "")), ("4001", (4001, "")), ("3000 two words", (3000, "two words"))],
)
def test_close_takes_a_code_and_a_reason(rest, meant):
    assert close_arguments(rest) == meant


@pytest.mark.parametrize("rest", ["1006", "5000", "x", "99999", "4000 " + "é" * 62, "²000"])
def test_close_refuses_what_no_client_may_send(rest):
    with pytest.raises(UsageError):
        close_arguments(rest)


def test_a_mistyped_command_is_told_which_was_meant():
    assert unknown_command("/hepl") == "no command /hepl: did you mean /help?"
    assert unknown_command("/xyz") == "no command /xyz: /help shows them"


def test_the_first_word_is_completed_to_a_registered_host(config):
    config("one.test", "two.test")
    shell = ShellComplete(cli, {}, "phlows", "_PHLOWS_COMPLETE")
    assert [item.value for item in shell.get_completions(["connect"], "t")] == ["two.test"]
    assert shell.get_completions(["connect", "one.test"], "t") == []


def test_every_close_code_has_a_meaning():
    assert set(MEANINGS) == set(CloseCode)
