"""`python -m fuzzing TARGET`: many inputs for one part; see README.md."""

from __future__ import annotations

import argparse
import importlib.util
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fuzzing import TARGETS, mutation

if TYPE_CHECKING:
    from fuzzing.target import Target

FOUND = Path(__file__).parent / "found"
MEGABYTES = 1024
"""What a process that fuzzes may use: beyond it, something grows with the input."""


def main() -> int:
    """Run one part, with atheris or without."""
    parser = argparse.ArgumentParser(prog="python -m fuzzing", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=("atheris", "own"), default="atheris")
    options = parser.parse_args()
    if options.engine == "atheris" and importlib.util.find_spec("atheris"):
        return with_atheris(options)
    return without(load(options.target), options)


def load(name: str) -> Target:
    """The part of this name."""
    return importlib.import_module(f"fuzzing.{name}").TARGET


def with_atheris(options: argparse.Namespace) -> int:
    """Let libFuzzer choose the inputs by the branches they reach."""
    import atheris

    with atheris.instrument_imports(include=["phlows_cli", "tomllib"]):
        target = load(options.target)
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{target.name}-"))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed{number}").write_bytes(seed)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(token)}"\n' for token in target.tokens))
    found = FOUND / target.name
    found.mkdir(parents=True, exist_ok=True)
    atheris.Setup(
        [
            *(sys.argv[0], str(corpus), f"-runs={options.runs}", f"-seed={options.seed}"),
            *(f"-dict={words}", f"-artifact_prefix={found}/", f"-rss_limit_mb={MEGABYTES}"),
            *("-max_len=4096", "-timeout=10", "-print_final_stats=1"),
        ],
        target.check,
    )
    atheris.Fuzz()  # does not return
    return 0


def _escaped(token: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token[:64])


def without(target: Target, options: argparse.Namespace) -> int:
    """Change the seeds at random; the first input that breaks the rule is kept."""
    began = time.monotonic()
    for number, data in enumerate(mutation.inputs(target, options.seed)):
        if number == options.runs:
            break
        try:
            target.check(data)
        except BaseException:
            path = FOUND / target.name / f"own-{options.seed}-{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            print(f"input {number} breaks the rule: {path}", file=sys.stderr)
            raise
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    seconds = time.monotonic() - began
    print(f"{target.name}: {options.runs} inputs in {seconds:.0f} s, {used} MiB at most")
    return 0


if __name__ == "__main__":
    sys.exit(main())
