"""Run it with `python test_app.py`; it needs no broker.

`phlows hook` calls a function of the app as the broker would, and tells what
came of it: the exit code is 0 when it accepted, and 4 when it refused.
"""

import json
import subprocess
from pathlib import Path


def hook(name, token, *message):
    """Call a hook; its exit code, and what its client would be sent."""
    command = ["phlows", "hook", name, "--host", "localhost", "--token", token, "--json", *message]
    folder = Path(__file__).parent
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_who_says_a_name_comes_in():
    assert hook("auth", "Ann")[0] == 0


def test_who_says_none_does_not():
    assert hook("auth", "")[0] == 4
    assert hook("auth", "a name that is far longer than thirty letters")[0] == 4


def test_who_says_something_has_an_empty_field_again():
    code, answer = hook("receive", "Ann", json.dumps({"type": "say", "text": "hi"}))
    assert code == 0
    assert "#text" in answer


def test_who_says_nothing_is_not_answered():
    code, answer = hook("receive", "Ann", json.dumps({"type": "say", "text": " "}))
    assert code == 0
    assert "#text" not in answer


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print("ok  ", name.removeprefix("test_").replace("_", " "))
