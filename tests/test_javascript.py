"""phlows.js: its own tests, in Node, and its size."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "phlows_cli" / "assets" / "phlows.js"

SIZE_LIMIT = 6144
"""Bytes, minified and compressed: less than what most pages spend on an icon font."""

MINIFIER = "terser@5.51.2"
COMPILER = "typescript@5.9.3"

pytestmark = pytest.mark.node


def run(*command, cwd=ROOT):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """Where npm has put what only these tests need."""
    folder = tmp_path_factory.mktemp("npm")
    npm = shutil.which("npm")
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0")
    done = npm and run(npm, "install", *options, MINIFIER, COMPILER, cwd=folder)
    if not npm or done.returncode != 0:
        reason = f"npm cannot install {MINIFIER} and {COMPILER} from here"
        if os.environ.get("PHLOWS_REQUIRE_ALL") == "1":
            said = done.stderr[-2000:] if npm else "npm is missing: apt install npm"
            pytest.fail(f"{reason}: {said}", pytrace=False)
        pytest.skip(reason)
    return folder / "node_modules" / ".bin"


def test_the_clients_own_tests_pass():
    done = run("node", "--test", "tests/js")
    assert done.returncode == 0, done.stdout[-20_000:]
    counts = dict(line[2:].split() for line in done.stdout.splitlines() if line[:7] == "# tests")
    assert int(counts["tests"]) >= 100, "the tests were not found"


def test_the_client_is_small(packages):
    done = run(packages / "terser", SOURCE, "--compress", "--mangle")
    assert done.returncode == 0, done.stderr
    minified = done.stdout.encode()
    size = len(gzip.compress(minified, 9, mtime=0))
    sizes = f"{SOURCE.stat().st_size} bytes, {len(minified)} minified, {size} compressed"
    print(f"phlows.js: {sizes}")  # noqa: T201 - the figure is what is wanted, not only its bound
    assert size < SIZE_LIMIT
    assert len(minified) > SIZE_LIMIT, "nothing was minified"


USE = """\
import phlows, { connect, apply, fetch as stream, type Client, type State } from './phlows.mjs'

const ws: Client = connect({ token: async () => 't', outbox: 5, allow: ['call'] })
const end: () => void = ws.on('state', (state: State, before) => console.log(state, before))
ws.on('close', ({ code, retry }) => console.log(code.toFixed(), retry === null), document.body)
const sent: boolean = ws.send({ text: 'hi' })
apply({ inner: { '#a': '<b>1</b>' }, class: { p: 'x -y' }, toast: ['a', { text: 'b' }], mine: 1 })
apply.on('mine', (value) => console.log(value))
apply.calls.ring = () => {}
const run = stream('/x', { body: { a: 1 }, lineLimit: 5 })
run.on('end', ({ lines }) => lines.toFixed())
run.then(({ status }) => status.toFixed())
run.abort()
window.phlows.connect() === phlows.connect()
end()
// @ts-expect-error: there is no such event
ws.on('nothing', () => {})
// @ts-expect-error: only objects are sent
ws.send('text')
// @ts-expect-error: there is no such right
connect({ allow: ['everything'] })
console.log(sent)
"""


def test_the_types_say_how_the_client_is_used(packages, tmp_path):
    types = (SOURCE.parent / "phlows.d.ts").read_text(encoding="utf-8")
    (tmp_path / "phlows.d.mts").write_text(types, encoding="utf-8")
    (tmp_path / "use.mts").write_text(USE, encoding="utf-8")
    flags = ("--strict", "--noEmit", "--target", "es2022", "--module", "nodenext")
    done = run(packages / "tsc", *flags, "use.mts", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
