from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from phlows_cli.cli import shell_folders
from phlows_cli.cli.main import COMPLETE_VAR, cli
from phlows_cli.cli.shells import FILES, SCRIPTS, Bash, Fish, Zsh
from tests.cli.terminal import Terminal

COMPLETIONS = Path(__file__).parents[2] / "completions"
BREAKS = " \t\n\"'><=;|&(:"
SHELLS = {"bash": Bash, "zsh": Zsh, "fish": Fish}


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_is_printed(phlows, shell):
    assert phlows("completion", shell).stdout == SCRIPTS[shell]
    answer = json.loads(phlows("completion", shell, "--json").stdout)
    assert answer == {"shell": shell, "script": SCRIPTS[shell]}


def test_an_unknown_shell_is_a_usage_error(phlows):
    result = phlows("completion", "tcsh")
    assert result.exit_code == 2
    assert "bash" in result.stderr


# What phlows answers


@pytest.fixture
def answers(monkeypatch):
    """The answers to a line, as (kind, word) pairs."""

    def ask(line, shell="fish", breaks=BREAKS):
        monkeypatch.setenv("_PHLOWS_LINE", line)
        monkeypatch.setenv("_PHLOWS_BREAKS", breaks)
        completed = SHELLS[shell](cli, {}, "phlows", COMPLETE_VAR).complete()
        return [tuple(answer.split("\t")[:2]) for answer in completed.splitlines()]

    return ask


def words(answered):
    assert all(kind == "word" for kind, _ in answered)
    return [word for _, word in answered]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("phlows com", ["completion"]),
        ("phlows sta", ["status"]),
        ("phlows --v", ["--version"]),
        ("phlows host ", ["add", "list", "remove", "show"]),
        ("phlows completion z", ["zsh"]),
        ("phlows cast toa", ["toast="]),
        ("phlows cast --target s", ["socket:"]),
        ("phlows hook re", ["receive"]),
        ("phlows tail --type c", ["cast", "close"]),
        ("phlows cast --target t", ["token:", "token:not:"]),
        ("phlows cast --target=t", ["--target=token:", "--target=token:not:"]),
        ("phlows cast --path", ["--path", "--path-replace"]),
        ("phlows cast --toast hi --inner '#a=b' --tar", ["--target"]),
        ("phlows cast --toast 'un finished", []),
    ],
)
def test_words_are_completed(answers, line, expected):
    assert words(answers(line)) == expected


def test_a_blank_at_the_end_begins_a_new_word(answers):
    assert "serve" in words(answers("phlows "))
    assert words(answers("phlows serve")) == ["serve"]


def test_hosts_are_completed_wherever_a_host_is_meant(answers, config):
    config("app.example.com", "beta.example.com")
    for command in ("cast", "hook receive", "tail"):
        assert words(answers(f"phlows {command} --host b")) == ["beta.example.com"]
    assert words(answers("phlows cast --host=b")) == ["--host=beta.example.com"]


def test_files_are_the_shells_to_complete(answers):
    for shell in SHELLS:
        assert [kind for kind, *_ in answers("phlows status --config ph", shell)] == ["file"]


def test_what_is_typed_before_is_not_run(answers, recorder):
    assert words(answers(f"phlows cast --url {recorder.url} --path /a --path-replace /b --tit"))
    assert recorder.requests == []


@pytest.mark.parametrize(
    ("line", "breaks", "word"),
    [
        ("phlows cast --target token:n", BREAKS, "not:"),
        ("phlows cast --target token:n", " ", "token:not:"),
        ("phlows cast --target=token:n", BREAKS, "not:"),
        ("phlows cast --target=token:n", " =", "token:not:"),
        ("phlows cast --target=token:n", " ", "--target=token:not:"),
    ],
)
def test_bash_gets_what_follows_its_last_break(answers, line, breaks, word):
    assert words(answers(line, "bash", breaks)) == [word]


def test_a_request_from_a_shell_that_is_not_ours_fails(environ):
    done = subprocess.run(
        [sys.executable, "-m", "phlows_cli"],
        env={**environ, COMPLETE_VAR: "ksh_complete"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, b"")


# In the shells themselves


@pytest.fixture
def shell_environ(environ, config, tmp_path):
    """An environment whose PATH has `phlows`, in a folder with one host."""
    config("app.example.com")
    program = tmp_path / "bin" / "phlows"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m phlows_cli "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{environ['PATH']}"
    return {**environ, "PATH": path, "TERM": "dumb", "HOME": str(tmp_path), "PS1": "$ "}


TYPED = [
    ("phlows cas", "phlows cast "),
    ("phlows cast --target token:n", "phlows cast --target token:not:"),
    ("phlows cast --target=token:n", "phlows cast --target=token:not:"),
    ("phlows cast --host ", "phlows cast --host app.example.com "),
    ("phlows cast --host=", "phlows cast --host=app.example.com "),
    ("phlows status --config phlo", "phlows status --config phlows.toml "),
    ("phlows status --config=phlo", "phlows status --config=phlows.toml "),
    ("true; phlows sta", "true; phlows status "),
]

BASH_SETUP = """
bind 'set enable-bracketed-paste off'
show() { printf 'line<%s>\\n' "$READLINE_LINE"; }
bind -x '"\\C-g": show'
"""

ZSH_SETUP = """
PS1='$ '; unset zle_bracketed_paste
autoload -Uz compinit; compinit -u -D
show() { print -r -- "line<$BUFFER>" }
zle -N show; bindkey '^G' show
"""


def completed(argv, environ, setup, typed):
    """The command line after a tab."""
    with Terminal(argv, environ) as terminal:
        terminal.type(f"{setup}\necho rea''dy\n")
        terminal.wait_for(r"ready\r?\n")
        terminal.type(f"{typed}\t\x07")
        return terminal.wait_for(r"line<(.*)>")


@pytest.mark.parametrize(("typed", "line"), TYPED)
def test_bash_completes(shell_environ, typed, line):
    setup = f"source {COMPLETIONS / FILES['bash']}{BASH_SETUP}"
    assert completed(["bash", "--norc", "--noprofile", "-i"], shell_environ, setup, typed) == line


@pytest.mark.zsh
@pytest.mark.parametrize(("typed", "line"), TYPED)
def test_zsh_completes(shell_environ, typed, line):
    setup = f"{ZSH_SETUP}\nsource {COMPLETIONS / FILES['zsh']}"
    assert completed(["zsh", "-f", "-i"], shell_environ, setup, typed) == line


@pytest.mark.zsh
def test_zsh_completes_with_the_file_in_its_fpath(shell_environ, tmp_path):
    functions = tmp_path / "functions"
    functions.mkdir()
    shutil.copy(COMPLETIONS / FILES["zsh"], functions)
    setup = f"fpath=({functions} $fpath){ZSH_SETUP}"
    line = completed(["zsh", "-f", "-i"], shell_environ, setup, "phlows cas")
    assert line == "phlows cast "


@pytest.mark.fish
@pytest.mark.parametrize(("typed", "line"), TYPED)
def test_fish_completes(shell_environ, typed, line):
    script = f"source {COMPLETIONS / FILES['fish']}; complete --do-complete $argv[1]"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script, typed],
        env=shell_environ,
        capture_output=True,
        text=True,
        check=True,
    )
    last = line.rstrip().rpartition(" ")[2]
    assert last in [answer.partition("\t")[0] for answer in done.stdout.splitlines()]


@pytest.mark.fish
def test_fish_offers_no_file_where_none_is_meant(shell_environ):
    script = f"source {COMPLETIONS / FILES['fish']}; complete --do-complete 'phlows phl'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], env=shell_environ, capture_output=True, check=True
    )
    assert done.stdout == b""


# Installed

NAMES = {
    "bash": ".local/share/bash-completion/completions/phlows",
    "zsh": ".local/share/zsh/site-functions/_phlows",
    "fish": ".config/fish/completions/phlows.fish",
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("BASH_COMPLETION_USER_DIR", "FPATH", "ZSH", "SHELL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_is_put_where_its_shell_looks_and_only_once(phlows, home, shell):
    path = home / NAMES[shell]
    done = phlows("completion", shell, "--install")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{shell}: written to {path}\nnow: ")
    assert path.read_text() == SCRIPTS[shell]
    before = path.stat()
    again = json.loads(phlows("completion", shell, "--install", "--json").stdout)
    assert again.pop("next") in done.stdout
    assert again == {"shell": shell, "path": str(path), "changed": False}
    assert path.stat() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_script_of_an_older_phlows_is_replaced(phlows, home):
    path = home / NAMES["fish"]
    path.parent.mkdir(parents=True)
    path.write_text("# old")
    assert "written to" in phlows("completion", "fish", "--install").stdout
    assert path.read_text() == SCRIPTS["fish"]


@pytest.mark.parametrize(
    ("shell", "variable", "file"),
    [
        ("bash", "XDG_DATA_HOME", "bash-completion/completions/phlows"),
        ("bash", "BASH_COMPLETION_USER_DIR", "completions/phlows"),
        ("zsh", "XDG_DATA_HOME", "zsh/site-functions/_phlows"),
        ("fish", "XDG_CONFIG_HOME", "fish/completions/phlows.fish"),
    ],
)
def test_the_variables_that_move_a_users_files_are_honoured(
    phlows, tmp_path, monkeypatch, shell, variable, file
):
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    phlows("completion", shell, "--install")
    assert (tmp_path / "elsewhere" / file).read_text() == SCRIPTS[shell]


def test_zsh_gets_it_in_a_folder_of_the_users_that_it_looks_into_already(phlows, home, monkeypatch):
    own = home / "functions"
    own.mkdir(parents=True)
    monkeypatch.setenv("FPATH", f"/usr/share/zsh/functions:{home}/gone:{own}")
    said = phlows("completion", "zsh", "--install").stdout
    assert (own / "_phlows").exists()
    assert "fpath=" not in said
    monkeypatch.delenv("FPATH")
    (home / "omz" / "completions").mkdir(parents=True)
    monkeypatch.setenv("ZSH", str(home / "omz"))
    phlows("completion", "zsh", "--install")
    assert (home / "omz" / "completions" / "_phlows").exists()


def test_without_a_name_it_is_the_users_shell(phlows, monkeypatch):
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert phlows("completion").stdout == SCRIPTS["fish"]
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    done = phlows("completion", "--install")
    said = "error: $SHELL is 'tcsh': name the shell, one of bash, zsh, fish\n"
    assert (done.exit_code, done.stderr) == (2, said)
    monkeypatch.delenv("SHELL")
    assert phlows("completion").stderr.startswith("error: $SHELL is not set: name the shell")


def test_what_cannot_be_written_is_told_and_is_exit_1(phlows, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    done = phlows("completion", "fish", "--install")
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: cannot write {tmp_path}/file/fish/completions/phlows.fish: ")
    assert "Not a directory" in line
    assert "phlows completion fish" in line


def installed(environ, shell):
    """Install it as a user would; the line that it says is to be added."""
    command = [sys.executable, "-m", "phlows_cli", "completion", shell, "--install", "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, check=True)
    return json.loads(done.stdout)["next"].partition(": ")[2]


@pytest.fixture
def user(shell_environ, tmp_path):
    """A shell's environment at home in a folder that has nothing."""
    (tmp_path / "home").mkdir()
    return {**shell_environ, "HOME": str(tmp_path / "home"), "ZDOTDIR": str(tmp_path / "home")}


def test_a_new_bash_finds_what_was_installed(user, tmp_path):
    line = installed(user, "bash")
    loader = next(filter(os.path.exists, shell_folders.LOADERS), None)
    (tmp_path / "home" / ".bashrc").write_text(f"source {loader}" if loader else line)
    argv = ["bash", "--noprofile", "-i"]
    assert completed(argv, user, BASH_SETUP, "phlows cas") == "phlows cast "


def test_bash_is_told_of_a_line_only_where_nothing_loads_it(user, monkeypatch, phlows, tmp_path):
    monkeypatch.setattr(shell_folders, "LOADERS", ())
    assert "~/.bashrc: source /" in phlows("completion", "bash", "--install").stdout
    (tmp_path / "loader").write_text("")
    monkeypatch.setattr(shell_folders, "LOADERS", (str(tmp_path / "loader"),))
    assert phlows("completion", "bash", "--install").stdout.endswith("now: open a new shell\n")


@pytest.mark.zsh
def test_a_new_zsh_finds_what_was_installed(user, tmp_path):
    line = installed(user, "zsh")
    (tmp_path / "home" / ".zshrc").write_text(f"PS1='$ '\n{line}\n")
    setup = ZSH_SETUP.replace("autoload -Uz compinit; compinit -u -D\n", "")
    assert "compinit" not in setup
    assert completed(["zsh", "-d", "-i"], user, setup, "phlows cas") == "phlows cast "


@pytest.mark.fish
def test_a_new_fish_finds_what_was_installed(user):
    assert installed(user, "fish") == ""
    script = "complete --do-complete 'phlows cas'"
    done = subprocess.run(
        ["fish", "-c", script], env=user, capture_output=True, text=True, check=True
    )
    assert done.stdout == "cast\tPush a message to connected clients.\n"
