from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phlows_cli.errors import ConfigError
from phlows_cli.toml_text import decode, line_of, parse, statements

TRICKY_VALUES = (
    '"plain"',
    '"a # no comment"',
    r'"quote \" and [bracket"',
    "'literal \\'",
    '""',
    "''",
    '"""\n[hosts.fake]\napp = "x"\n"""',
    '"""two quotes inside ""x"" and two at the end"""""',
    "'''\n# no comment\n''x'''''",
    '"""ends in a backslash \\\\"""',
    '"""joined \\\n   lines"""',
    "[1, 2]",
    "[\n  1, # ] a comment with a bracket\n  2,\n]",
    "[[\"]\"], ['[']]",
    '{ a = "}", "b.c" = [1, 2] }',
    "{}",
    "1979-05-27T07:32:00Z",
    "1_000",
    "-inf",
    "true",
)
KEYS = ("plain", '"quoted key"', '"with.dot"', "'it = [x]'", "a . b", 'a."c d".e')


def test_every_statement_is_found_with_its_keys_and_its_lines():
    text = (
        "# heading\n"
        "top = 1\n"
        "\n"
        '[hosts."app.example.com"] # [not.this]\n'
        '  app = "x"\n'
        "origins = [\n"
        '  "https://a", # ]\n'
        "]\n"
        "env.A = '''\n"
        "[no.header]\n"
        "'''\n"
        "[[list.of]]\n"
        "x = 1"
    )
    assert tomllib.loads(text)
    found = [(s.keys, s.is_header, s.line, text[s.start : s.end]) for s in statements(text)]
    host = ("hosts", "app.example.com")
    assert found == [
        (("top",), False, 2, "top = 1\n"),
        (host, True, 4, '[hosts."app.example.com"] # [not.this]\n'),
        ((*host, "app"), False, 5, '  app = "x"\n'),
        ((*host, "origins"), False, 6, 'origins = [\n  "https://a", # ]\n]\n'),
        ((*host, "env", "A"), False, 9, "env.A = '''\n[no.header]\n'''\n"),
        (("list", "of"), True, 12, "[[list.of]]\n"),
        (("list", "of", "x"), False, 13, "x = 1"),
    ]


@pytest.mark.parametrize("value", TRICKY_VALUES)
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_no_value_hides_or_invents_a_statement(value, key, eol):
    text = f"[first]\n{key} = {value} # end\n[last]\nx = 1\n".replace("\n", eol)
    tomllib.loads(text)
    found = statements(text)
    assert [s.keys for s in found[:1] + found[2:]] == [("first",), ("last",), ("last", "x")]
    assert [s.is_header for s in found] == [True, False, True, False]
    assert text[found[1].start : found[1].end].startswith(key)
    assert text[found[2].start :].startswith("[last]")
    assert found[2].line == text[: found[2].start].count("\n") + 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(TRICKY_VALUES),
            st.sampled_from(["", "\n", "# c\n", "  # [x]\n\n"]),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_statements_and_gaps_make_up_the_whole_text(rows):
    lines = [
        f"{gap}[t{i}]\nk = {value}\n" if header else f"{gap}k{i} = {value}\n"
        for i, (value, gap, header) in enumerate(rows)
    ]
    text = "".join(lines)
    root = tomllib.loads(text)
    found = statements(text)
    assert len(found) == sum(1 + header for *_, header in rows)
    between, at = "", 0
    for statement in found:
        between += text[at : statement.start]
        at = statement.end
    assert between + text[at:] == "".join(gap for _, gap, _ in rows)
    for statement in found:
        node = root
        for key in statement.keys:
            node = node[key]


def test_a_key_is_on_the_line_that_says_it_else_on_the_nearest_one_around():
    text = "[a]\nb.c = 1\nd = { e = 1 }\n[a.f.g]\n"
    found = statements(text)
    assert line_of(found, ("a",)) == 1
    assert line_of(found, ("a", "b")) == 2
    assert line_of(found, ("a", "b", "c")) == 2
    assert line_of(found, ("a", "d", "e")) == 3
    assert line_of(found, ("a", "f")) == 4
    assert line_of(found, ("a", "missing")) == 1
    assert line_of(found, ("z",)) == 0


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = \n", 2),
        ("a = 1\n\n\n[x", 4),
        ("a = 1\na = 2\n", 2),
        ('a = "\n', 1),
        ("a = 1979-13-45\n", 1),
    ],
)
def test_a_text_that_is_not_toml_is_an_error_with_its_line(text, line):
    with pytest.raises(ConfigError, match="not valid TOML") as caught:
        parse(text, "phlows.toml")
    assert (caught.value.path, caught.value.line) == ("phlows.toml", line)
    assert "at line" not in str(caught.value)


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000])
def test_a_text_made_to_break_the_parser_is_an_error_like_any_other(text):
    with pytest.raises(ConfigError, match="not valid TOML"):
        parse(text, "phlows.toml")


def test_bytes_that_are_not_utf_8_are_an_error_with_their_line():
    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        decode(b"a = 1\nb = '\xff'\n", "phlows.toml")
    assert caught.value.line == 2
