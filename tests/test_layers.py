"""Imports point one way: what ARCHITECTURE.md draws is what the code does."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "phlows_cli"
ASSETS = ROOT / PACKAGE / "assets"
"""Apps that users read and take over: no part of the package."""

SOURCES = sorted(set((ROOT / PACKAGE).rglob("*.py")) - set(ASSETS.rglob("*.py")))


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in SOURCES}


def is_for_typing(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports_in(nodes):
    """What statements import when the module is, skipping functions and typing."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not is_for_typing(node) and not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef
        ):
            yield from imports_in(ast.iter_child_nodes(node))


def at_import(path):
    return set(imports_in(ast.parse(path.read_text("utf-8")).body))


def anywhere(path):
    """What a module imports at any time, inside functions too."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return {
        name
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imports_in([node])
    }


def test_the_sources_are_found():
    assert {"phlows_cli.broker.hub", "phlows_cli.service", "phlows_cli"} <= set(MODULES)


def test_import_linter_keeps_every_contract():
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert command, "import-linter is missing: pip install -e .[dev]"
    done = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_no_module_needs_itself_to_be_imported():
    graph = {name: at_import(path) & set(MODULES) - {name} for name, path in MODULES.items()}
    done, path = set(), []

    def visit(name):
        assert name not in path, f"import cycle: {' -> '.join([*path[path.index(name) :], name])}"
        if name in done:
            return
        path.append(name)
        for imported in sorted(graph[name]):
            visit(imported)
        done.add(path.pop())

    for name in graph:
        visit(name)
    assert done == set(graph)


PURE = ("wire.", "model", "errors", "broker.hub", "broker.messages", "broker.deadlines")
PURE += ("broker.bucket", "runtime.answer")
IO = {"asyncio", "socket", "subprocess", "sqlite3", "uvloop", "threading", "select", "selectors"}


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m.startswith(tuple(f"{PACKAGE}.{p}" for p in PURE))]
)
def test_the_pure_parts_know_no_event_loop_and_no_system(module):
    assert not anywhere(MODULES[module]) & IO


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("click", ("cli.", "__main__", "config")),
        ("rich", ("cli.",)),
        ("requests", ("cli.",)),
        ("uvloop", ("system",)),
        ("httptools", ("wire.",)),
        ("websockets", ("wire.", "cli.dialogue.")),
        ("subprocess", ("runtime.", "banner", "cli.")),
    ],
)
def test_a_library_is_known_to_one_part(library, allowed):
    users = {
        name.removeprefix(f"{PACKAGE}.")
        for name, path in MODULES.items()
        if any(imported.split(".")[0] == library for imported in anywhere(path))
    }
    assert users, f"nothing uses {library}"
    strangers = {name for name in users if not name.startswith(allowed)}
    assert not strangers


def test_concrete_runtimes_are_named_by_the_factory_alone():
    concrete = f"{PACKAGE}.runtime.oneshot"
    users = {name for name, path in MODULES.items() if concrete in anywhere(path)}
    assert users == {f"{PACKAGE}.runtime.runtime"}


def test_the_broker_knows_no_socket_and_no_process():
    for name, path in MODULES.items():
        if name.startswith(f"{PACKAGE}.broker"):
            known = anywhere(path)
            assert not known & {"socket", "subprocess", "os", "signal"}, name
            assert not any(module.startswith(f"{PACKAGE}.server") for module in known), name
