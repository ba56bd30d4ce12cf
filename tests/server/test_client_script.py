"""phlows.js as browsers get it: where, how long they keep it, and what is in it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from phlows_cli import __version__
from phlows_cli.server.client_script import (
    BRIEFLY,
    FOR_EVER,
    LAST_LINE,
    ClientScript,
    as_module,
    read_assets,
)
from tests.builders import Answer, make_request
from tests.server.serving import http, post, serving

NAMES = ["phlows.js", "phlows.mjs", "phlows.d.ts"]
PATHS = ("/websocket", "/live/")


def ask(target, method="GET", paths=PATHS, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ClientScript(paths).answer(make_request(target, method, headers=named))


# Where


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("folder", ["", "/websocket", "/live"])
def test_each_file_is_at_the_root_and_under_each_path_of_sockets(folder, name):
    answer = Answer(ask(f"{folder}/{name}"))
    assert answer.status == 200
    assert answer.body == read_assets()[name].body


@pytest.mark.parametrize(
    "path", ["/phlows", "/else/phlows.js", "/phlows.js/", "/websocket/x/phlows.js", "phlows.js/.."]
)
def test_nothing_else_is_the_clients(path):
    assert ask(path) is None


def test_where_every_path_opens_sockets_the_client_is_under_every_path():
    assert Answer(ask("/any/where/phlows.js", paths=("*",))).status == 200


async def test_anybody_gets_it_of_a_broker_that_wants_a_key_for_the_rest():
    async with serving() as scene:
        client = await scene.client()
        strange = {"host": "elsewhere.test", "origin": "https://elsewhere.test"}
        answers = [await client.ask(http(f"/websocket/{name}", headers=strange)) for name in NAMES]
        assert [answer.status for answer in answers] == [200, 200, 200]
        assert {a.headers["access-control-allow-origin"] for a in answers} == {"*"}
        assert (await client.ask(http("/health", headers=strange))).status == 401
        assert (await client.ask(http("/websocket", headers=strange))).status == 426


# How long


def test_a_plain_address_is_asked_about_again_after_minutes():
    answer = Answer(ask("/phlows.js"))
    assert answer.headers["cache-control"] == BRIEFLY
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"


def test_an_address_that_names_its_content_is_kept_for_ever():
    for named in (__version__, read_assets()["phlows.mjs"].hash):
        answer = Answer(ask(f"/phlows.mjs?v={named}"))
        assert answer.headers["cache-control"] == FOR_EVER


def test_an_address_that_names_another_content_is_not_kept_for_ever():
    another = read_assets()["phlows.js"].hash
    assert Answer(ask(f"/phlows.mjs?v={another}")).headers["cache-control"] == BRIEFLY


def test_what_differs_has_another_tag():
    tags = {Answer(ask(f"/{name}")).headers["etag"] for name in NAMES}
    assert len(tags) == len(NAMES)


@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
def test_who_has_it_is_not_sent_it_again(known):
    tag = Answer(ask("/phlows.js")).headers["etag"]
    answer = ask("/phlows.js", if_none_match=known.format(tag))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 304 Not Modified\r\n")
    assert body == b""
    assert f"ETag: {tag}".encode() in head
    assert b"content-length" not in head.lower()


def test_who_has_another_one_is_sent_it():
    assert Answer(ask("/phlows.js", if_none_match='"else"')).status == 200


async def test_a_connection_goes_on_after_an_answer_without_a_body():
    async with serving() as scene:
        client = await scene.client()
        tag = (await client.ask(http("/phlows.js"))).headers["etag"]
        client.send(
            http("/phlows.js", headers={"if-none-match": tag}),
            http("/phlows.js", "HEAD"),
            http("/ready"),
        )
        assert b" 304 " in await client.reader.readuntil(b"\r\n\r\n")
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert f"content-length: {len(read_assets()['phlows.js'].body)}".encode() in head
        assert (await client.answer()).json == {"status": "ok"}


async def test_other_methods_are_405():
    async with serving() as scene:
        client = await scene.client()
        answer = await client.ask(post(b"{}", "/phlows.js"))
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        assert answer.message == "phlows.js takes GET"


# What


def test_script_and_module_differ_in_their_last_lines_alone():
    script = read_assets()["phlows.js"].body.decode()
    module = read_assets()["phlows.mjs"].body.decode()
    body = script.removesuffix(LAST_LINE)
    assert module.startswith(body)
    assert "install(" not in module.removeprefix(body)


@pytest.mark.parametrize("source", ["", "var phlows = {}\n", LAST_LINE])
def test_a_source_with_another_end_is_no_module(source):
    with pytest.raises(ValueError, match="does not end with"):
        as_module(source)


@pytest.mark.node
def test_the_module_exports_what_its_types_say(tmp_path):
    (tmp_path / "phlows.mjs").write_bytes(read_assets()["phlows.mjs"].body)
    program = """
        import phlows, { connect, apply, fetch as stream } from './phlows.mjs'
        const same = connect === phlows.connect && apply === phlows.apply && stream === phlows.fetch
        console.log(same, typeof connect, typeof stream, stream === fetch, 'app' in globalThis)
    """
    (tmp_path / "program.mjs").write_text(program, encoding="utf-8")
    node = [shutil.which("node"), "program.mjs"]
    done = subprocess.run(node, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["true", "function", "function", "false", "false"]
