from __future__ import annotations

import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phlows_cli import registry
from phlows_cli.errors import ConfigError
from phlows_cli.registry import (
    HEADING,
    RegistryError,
    _verify,
    add_host,
    remove_host,
    with_host,
    without_host,
)

TABLE = {"app": "/srv/new.php", "hooks": ["connect", "receive"], "env": {"A": "b\n"}}
WRITTEN = (
    '[hosts."new.example"]\n'
    'app = "/srv/new.php"\n'
    "hooks = [\n"
    '    "connect",\n'
    '    "receive",\n'
    "]\n"
    "\n"
    '[hosts."new.example".env]\n'
    'A = "b\\n"\n'
)


def added(text, name="new.example", table=TABLE, **options):
    return with_host(text, name, table, "phlows.toml", **options)


def removed(text, name):
    return without_host(text, name, "phlows.toml")


# Adding


@pytest.mark.parametrize("text", ["a = 1\n", "# only a comment\n", "\n\n", "[hosts]\n", "[x]\n\n"])
def test_a_new_host_stands_at_the_end_after_a_blank_line(text):
    assert added(text) == text + "\n" + WRITTEN
    assert removed(added(text), "new.example") == text


def test_a_file_without_a_last_newline_gets_one():
    assert added("a = 1") == "a = 1\n\n" + WRITTEN
    assert added("# c") == "# c\n\n" + WRITTEN


def test_an_empty_file_gets_no_blank_line():
    assert added("") == WRITTEN
    assert removed(WRITTEN, "new.example") == ""


def test_a_file_with_crlf_stays_one():
    text = "a = 1\r\n"
    assert added(text) == (text + "\n" + WRITTEN).replace("\r\n", "\n").replace("\n", "\r\n")
    assert removed(added(text), "new.example") == text


def test_a_host_that_is_there_is_not_added_twice_however_it_is_spelled():
    with pytest.raises(RegistryError, match=r"'new\.example' is registered already: --replace"):
        added('[hosts."New.Example:80"]\napp = "x"\n')


# Replacing


def test_a_replaced_host_stays_where_it_was_with_the_comments_around_it():
    old = "app = 1 # gone\n# gone\ntimeout = 2\n"
    text = f"# about old\n[hosts.old]\n{old}# stays\n\n# next\n[hosts.b]\n"
    after = added(text, "old", {"app": "x"}, replace=True)
    assert after == ('# about old\n[hosts.old]\napp = "x"\n# stays\n\n# next\n[hosts.b]\n')


def test_replacing_a_host_in_several_places_leaves_it_in_the_first():
    text = "[hosts.a.env]\nX = '1'\n[server]\nport = 1\n[hosts.a]\napp = '1'\n[bridge]\n"
    after = added(text, "a", {"app": "2"}, replace=True)
    assert after == '[hosts.a]\napp = "2"\n[server]\nport = 1\n[bridge]\n'


@pytest.mark.parametrize(
    "text",
    [
        "hosts.a.app = '1'\ntop = 1\n",
        "[hosts]\na.app = '1'\nb.app = '2'\n",
        "[hosts]\na = { app = '1' }\nb = { app = '2' }\n",
        "hosts.a.app = '1'\n[hosts.a.env]\nX = '1'\n[server]\n",
    ],
)
def test_a_host_in_dotted_keys_is_replaced_by_a_table_at_the_end(text):
    after = added(text, "a", {"app": "new"}, replace=True)
    assert after.endswith('\n\n[hosts.a]\napp = "new"\n')
    wanted = tomllib.loads(text)
    wanted["hosts"]["a"] = {"app": "new"}
    assert tomllib.loads(after) == wanted


def test_a_replaced_host_takes_the_place_of_every_spelling_of_it():
    text = '[hosts."A.b"]\napp = "1"\n[x]\n[hosts."a.b:80"]\napp = "2"\n'
    assert added(text, "a.b", {"app": "3"}, replace=True) == '[hosts."a.b"]\napp = "3"\n[x]\n'


# Removing


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("[hosts.a]\napp = 1\n\n# of b\n[hosts.b]\n", "# of b\n[hosts.b]\n"),
        ("[hosts.b]\n\n[hosts.a]\napp = 1\n", "[hosts.b]\n"),
        ("x = 1\n\n[hosts.a]\napp = 1\n\n[hosts.b]\n", "x = 1\n\n[hosts.b]\n"),
        ("x = 1\n[hosts.a]\napp = 1\n[hosts.b]\n", "x = 1\n[hosts.b]\n"),
        ("[hosts.a]\napp = 1\n# of b\n[hosts.b]\n", "# of b\n[hosts.b]\n"),
        ("# kept\n[hosts.a]\napp = 1\n\n[b]\n", "# kept\n\n[b]\n"),
        ("[hosts.a]\napp = 1\n# in a\nport = 2\n# kept\n", "# kept\n"),
        ("[hosts.a]\napp = 1\n\n[hosts.a.env]\nX = '1'\n", ""),
        ("[hosts.a]\n[server]\n[hosts.a.env]\nX = '1'\n[b]\n", "[server]\n[b]\n"),
        ("[hosts.a]\napp = '''\n[hosts.b]\n'''\n[hosts.b]\n", "[hosts.b]\n"),
        ("[hosts.a]\napp = 1", ""),
        ("[b]\n[hosts.a]\napp = 1", "[b]\n"),
        ("[hosts]\na.app = 1\nb.app = 2\na.env.X = '1'\n", "[hosts]\nb.app = 2\n"),
        ("[hosts]\na = {app = 1} # c\n", "[hosts]\n"),
        ("hosts.'a'.app = [\n1,\n]\nx = 1\n", "x = 1\n"),
        ("[hosts.a]\r\napp = 1\r\n\r\n[b]\r\n", "[b]\r\n"),
        ("[[hosts.a]]\napp = 1\n[[hosts.a]]\napp = 2\n[b]\n", "[b]\n"),
    ],
)
def test_a_removed_host_takes_its_lines_and_nothing_else(text, after):
    assert removed(text, "a") == after


def test_a_number_that_is_not_one_does_not_stand_in_the_way():
    assert removed("[hosts.a]\n[x]\ny = nan\n", "a") == "[x]\ny = nan\n"


def test_a_host_that_is_not_there_is_an_error_that_names_those_that_are():
    with pytest.raises(RegistryError, match="no host 'c': registered are a, b"):
        removed("[hosts.b]\n[hosts.a]\n", "c")


# What cannot be edited


@pytest.mark.parametrize("text", ["hosts = { a = { app = '1' } }\n", "x = 1\nhosts = {}\n"])
def test_an_inline_table_of_hosts_is_left_to_a_person(text):
    with pytest.raises(RegistryError, match=r"phlows.toml:\d: hosts is an inline table"):
        added(text)


def test_removing_from_an_inline_table_of_hosts_is_refused():
    with pytest.raises(RegistryError, match=r"phlows\.toml:1: hosts is an inline table"):
        removed("hosts = { a = { app = '1' } }\n", "a")


@pytest.mark.parametrize("text", ["hosts = 1\n", "[[hosts]]\na = 1\n"])
def test_hosts_that_are_no_table_are_refused(text):
    with pytest.raises(RegistryError, match="hosts is not a table"):
        added(text)


def test_a_file_that_is_not_toml_is_left_alone(tmp_path):
    file = tmp_path / "phlows.toml"
    file.write_text("[hosts\n")
    with pytest.raises(ConfigError, match=r"phlows.toml:\d: not valid TOML"):
        add_host(file, "a", TABLE)
    assert file.read_text() == "[hosts\n"


@pytest.mark.parametrize(
    "after",
    [
        "[hosts.b]\n",
        "[server]\nport = 2\n[hosts.b]\n",
        "[server]\nport = 1.0\n[hosts.b]\n",
        "[server]\nport = 1\n[hosts.a]\n[hosts.b]\n",
        "[server]\nport = 1\n[hosts]\n",
        "[server]\nport = 1\n[hosts.b]\n[hosts",
    ],
)
def test_an_edit_that_would_change_anything_else_is_refused(after):
    before = tomllib.loads("[server]\nport = 1\n[hosts.a]\n[hosts.b]\n")
    with pytest.raises(RegistryError, match="cannot be edited safely: nothing was written"):
        _verify(before, after, "phlows.toml", ["a"], {})
    _verify(before, "[server]\nport = 1\n[hosts.b]\n", "phlows.toml", ["a"], {})


# Any file


OWNERS = ("one", "two.example", "three")


def _host_blocks(owner):
    quoted = f'"{owner}"'
    return st.sampled_from(
        [
            f"[hosts.{quoted}]\napp = 'x'\n",
            f"[hosts.{quoted}] # why\n\n  app = 'x' # here\n# inside\n\nx = [\n  'a', # b\n]\n",
            f"[ hosts . {quoted} ]\n[hosts.{quoted}.env]\nA = '''\n[hosts.two]\n'''\n",
            f"[hosts.{quoted}.env]\nA = '1'\n",
            f'[hosts.{quoted}]\nhook_class = """\n# no\n"""\n\n\n[hosts.{quoted}.env]\n',
        ]
    )


OTHERS = st.sampled_from(
    [
        "",
        "\n",
        "\n\n",
        "# a comment\n",
        "\n# above\n",
        "# [hosts.one]\n",
        "  \n# x\n\n",
    ]
)


@st.composite
def documents(draw):
    """Lines of a file, each with the host that owns it, or None."""
    eol = draw(st.sampled_from(["\n", "\r\n"]))
    pieces = [(None, draw(OTHERS)), (None, draw(st.sampled_from(["", "top = '''\n[x]\n'''\n"])))]
    tables = draw(st.permutations([*OWNERS, "server", "bridge"]))
    for table in tables:
        pieces.append((None, draw(OTHERS)))
        if table in OWNERS:
            pieces.append((table, draw(_host_blocks(table))))
        else:
            pieces.append((None, f"[{table}]\nlisten = 'a#b' # c\n"))
    pieces.append((None, draw(OTHERS)))
    return [
        (owner, line.replace("\n", eol))
        for owner, piece in pieces
        for line in piece.splitlines(keepends=True)
    ]


def _text(lines):
    return "".join(line for _, line in lines)


@given(documents(), st.sampled_from(OWNERS))
def test_removing_a_host_leaves_every_line_of_others(lines, gone):
    text = _text(lines)
    after = removed(text, gone)
    wanted = tomllib.loads(text)
    del wanted["hosts"][gone]
    assert tomllib.loads(after) == wanted
    kept = _text([line for line in lines if line[0] != gone])
    # One blank line may go with the host; nothing that anyone wrote does.
    assert after.split() == kept.split()
    assert len(kept.splitlines()) - len(after.splitlines()) in (0, 1)
    first = next(at for at, (owner, _) in enumerate(lines) if owner == gone)
    assert after.startswith(_text(lines[:first]).rstrip())


@given(documents())
def test_adding_a_host_leaves_every_byte_and_removing_it_gives_them_back(lines):
    text = _text(lines)
    after = added(text)
    assert after.startswith(text)
    assert tomllib.loads(after)["hosts"]["new.example"] == TABLE
    assert removed(after, "new.example") == text


@given(documents(), st.sampled_from(OWNERS))
def test_replacing_a_host_leaves_every_byte_around_it(lines, name):
    text = _text(lines)
    mine = [at for at, (owner, _) in enumerate(lines) if owner == name]
    above, below = _text(lines[: mine[0]]), _text(lines[mine[-1] + 1 :])
    after = added(text, name, TABLE, replace=True)
    assert after.startswith(above)
    assert after.endswith(below)
    assert tomllib.loads(after)["hosts"][name] == TABLE


# Files


def test_a_missing_file_is_made_with_a_comment_at_its_top(tmp_path):
    file = tmp_path / "phlows.toml"
    add_host(file, "new.example", TABLE)
    assert file.read_text() == HEADING + "\n" + WRITTEN
    assert HEADING.startswith("# ")


def test_a_host_comes_and_goes_without_a_trace(tmp_path):
    file = tmp_path / "phlows.toml"
    file.write_bytes(b"# mine\r\n[server]\r\nport = 1")
    add_host(file, "a", TABLE)
    assert b'[hosts.a]\r\napp = "/srv/new.php"\r\n' in file.read_bytes()
    remove_host(file, "a")
    assert file.read_bytes() == b"# mine\r\n[server]\r\nport = 1\r\n"


def test_removing_from_a_missing_file_makes_none(tmp_path):
    with pytest.raises(RegistryError, match="no host 'a': registered are none"):
        remove_host(tmp_path / "phlows.toml", "a")
    assert not list(tmp_path.iterdir())


def test_two_threads_that_write_at_once_both_land(tmp_path):
    file = tmp_path / "phlows.toml"
    start = threading.Barrier(8)

    def write(name):
        start.wait()
        add_host(file, name, {"app": "x"})

    names = [f"host{number}" for number in range(8)]
    threads = [threading.Thread(target=write, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(tomllib.loads(file.read_text())["hosts"]) == names


WRITER = """
import sys
from pathlib import Path
from phlows_cli.registry import add_host
print("ready", flush=True)
sys.stdin.readline()
for number in range(10):
    add_host(Path(sys.argv[1]), f"{sys.argv[2]}{number}", {"app": "x"})
"""


def test_two_programs_that_write_at_once_both_land(tmp_path):
    file = tmp_path / "phlows.toml"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, file, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(registry.__file__).parents[1],
        )
        for name in "ab"
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    hosts = tomllib.loads(file.read_text())["hosts"]
    assert sorted(hosts) == sorted(f"{name}{number}" for name in "ab" for number in range(10))
