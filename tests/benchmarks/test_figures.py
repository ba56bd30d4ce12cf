from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

sys.path.append(str(Path(__file__).resolve().parents[2]))  # benchmarks/ is not installed

from benchmarks import aims, contenders, cores, echo, plot, report, results, tools
from benchmarks import idle as resting
from benchmarks.__main__ import main
from benchmarks.errors import CountError, MissingToolError
from benchmarks.figures import FIGURES, idle
from benchmarks.figures.plan import Plan
from benchmarks.report import Figure, Series
from tests.conftest import leave_out

TINY = Plan(rounds=1, seconds=0.1, sockets=10, is_quick=True)
LIKE_FANOUT = {"sizes", "curve", "latency", "crowds", "idle"}
"""Figures whose peers another one starts already."""
ONLY_BESIDE_WS = {"runtimes"}
"""Figures that are a comparison with it, and nothing without."""
WS = "ws is missing: npm ci --prefix benchmarks/peers"
SECONDS_EACH = {"keepalive"}
"""Figures that take as long as a ping interval."""


@pytest.fixture(autouse=True)
def _install_nothing(monkeypatch):
    monkeypatch.setattr(tools._Allowed, "installing", False)


@pytest.fixture
def in_short(monkeypatch):
    """Without the peers in Python, whose start takes longer than their round."""
    monkeypatch.setattr(contenders, "install_python_peer", missing)
    monkeypatch.setattr(resting, "_PAUSE", 0.02)


def missing(*_):
    raise MissingToolError("there is no such peer")


@pytest.mark.usefixtures("in_short")
@pytest.mark.cc
@pytest.mark.php
@pytest.mark.node
@pytest.mark.parametrize("name", sorted(FIGURES.keys() - SECONDS_EACH - {"help"}))
def test_a_figure_is_measured_with_phlows_and_who_else_is_there(name, monkeypatch):
    if name in LIKE_FANOUT:
        monkeypatch.setattr(contenders, "install_ws", missing)
    elif name in ONLY_BESIDE_WS and not tools.has_ws():
        leave_out(WS)
    figures = FIGURES[name](TINY)

    for figure in figures:
        assert figure.series[0].contender.startswith("phlows")
        assert all(value > 0 for series in figure.series for value in series.values)


@pytest.mark.node
def test_the_peer_in_node_is_there_for_the_figures_beside_it():
    if not tools.has_ws():
        leave_out(WS)
    with contenders.node_broker() as peer:
        assert peer.port


@pytest.mark.cc
def test_idle_sockets_are_held_while_their_share_of_a_core_is_read():
    pings = []

    assert idle._share(contenders.phlows, 10, 0.2, pings) >= 0
    assert pings == ["0 of phlows"]


@pytest.mark.parametrize(("peers", "seconds"), [(idle._PINGING, 25), (idle._QUIET, 600)])
def test_peers_ping_as_often_as_phlows_where_that_is_what_is_measured(peers, seconds, monkeypatch):
    told = {}

    @contextmanager
    def record(contender, command, *_):
        config = Path(command[command.index("-c") + 1]) if "-c" in command else None
        told[contender.name] = config.read_text() if config else " ".join(command)
        yield contender

    monkeypatch.setattr(contenders, "running", record)
    for tool in ("node", "nginx", "nchan_module", "install_ws"):
        monkeypatch.setattr(contenders, tool, lambda tool=tool: tool)
    monkeypatch.setattr(contenders, "install_python_peer", lambda name: name)
    for start in peers.values():
        with start():
            pass

    assert told.keys() == peers.keys()
    assert ("--ping" in told["node ws"]) == (seconds == contenders.PING)  # it knows no other
    assert f"nchan_websocket_ping_interval {seconds};" in told["nchan"]
    assert [told[name].split()[-1] for name in ("websockets", "picows")] == [str(seconds)] * 2


@pytest.mark.cc
def test_a_figure_of_which_no_peer_is_there_says_so(monkeypatch):
    monkeypatch.setattr(contenders, "install_ws", missing)
    monkeypatch.setattr(contenders, "nginx", missing)
    monkeypatch.setattr(contenders, "install_python_peer", missing)
    monkeypatch.setattr(contenders, "compile_floor", missing)
    [figure] = FIGURES["handshakes"](TINY)

    assert [series.contender for series in figure.series] == ["phlows"]
    assert figure.remarks.count("left out: there is no such peer") == 5


def figure(key, **values):
    series = tuple(Series(name.replace("_", " "), taken) for name, taken in values.items())
    return Figure(key, key, "deliveries/s", series)


def test_an_aim_is_met_by_the_ratio_of_medians():
    taken = [figure("fanout.1000.32", phlows=(1.0, 30.0, 900.0), node_ws=(2.0, 2.0, 1.0))]
    rows = {row[0]: row[1:] for row in aims.table(taken)}

    assert rows["1,000 sockets, 32 outstanding, beside node ws"] == (">= 15x", "15x", "met")
    assert rows["1,000 sockets, 32 outstanding, beside nchan"][1] == "not measured"


def test_an_aim_for_the_most_is_missed_above_it():
    rows = {row[0]: row[1:] for row in aims.table([figure("idle", phlows=(4097.0,))])}

    assert rows["idle socket"] == ("<= 4,096 bytes", "4,097 bytes", "**not met**")


def test_bridge_requests_one_at_a_time_and_many_in_a_row_are_two_aims():
    taken = [
        figure("bridge.1", phlows=(3.0,), node_http=(1.0,)),
        figure("bridge.32", phlows=(9.0,), node_http=(2.0,)),
    ]
    rows = {row[0]: row[1:] for row in aims.table(taken)}

    assert rows["bridge requests, one at a time, beside node http"][1:] == ("3x", "**not met**")
    assert rows["bridge requests, 32 in a row, beside node http"][1:] == ("4.5x", "met")


def test_the_echo_of_the_socket_layer_is_the_one_with_an_aim():
    both = {"phlows": (60.0,), "phlows_socket_layer": (140.0,), "node_ws": (100.0,)}
    rows = {row[0]: row[1:] for row in aims.table([figure("echo.64.1", **both)])}

    assert rows["socket-layer echo, beside node ws"] == (">= 1.3x", "1.4x", "met")


@pytest.mark.usefixtures("in_short")
@pytest.mark.cc
def test_both_echoes_of_ours_are_told_apart(monkeypatch):
    monkeypatch.setattr(contenders, "install_ws", missing)
    monkeypatch.setattr(echo, "SHAPES", echo.SHAPES[:1])
    [one] = FIGURES["echo"](TINY)

    assert [each.contender for each in one.series[:2]] == ["phlows", "phlows socket layer"]
    assert any("through a session and an app in the broker" in each for each in one.remarks)


def test_every_aim_reads_a_figure_that_is_measured():
    names = {name.partition(".")[0] for name in FIGURES}
    keys = set()

    class Asked(aims.Results):
        def median(self, key, contender=aims.OURS):
            keys.add(key)

    for each in aims.AIMS:
        each.reading(Asked([]))
    assert {key.partition(".")[0] for key in keys} <= names


def measured():
    counts = ((100, 1.0), (1000, 2.0))
    return [
        Figure(
            f"{name}.{count}.{window}",
            f"{name} {count}",
            "deliveries/s",
            (Series("phlows", (value, value), (0.5,)), Series("node <ws>", (value / 2,), (5.0,))),
        )
        for name in ("fanout", "curve")
        for count, value in counts
        for window in (1, 32)
    ]


def test_results_are_written_with_plots_that_are_well_formed(tmp_path):
    results.write(tmp_path, {"cores": "2"}, "make bench", measured(), [], is_whole=True)

    text = (tmp_path / "results.md").read_text()
    plots = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert "not finished" not in text
    assert "| fanout 100 | node <ws> | 0.5 deliveries/s | 0.5 - 0.5 | 1 | 2.00 |" in text
    assert plots == sorted({f"{name}.svg" for name in results.plots(measured())})
    for path in (tmp_path / "plots").iterdir():
        assert f"![{path.stem}](plots/{path.name})" in text
        assert "node <ws>" in list(ET.fromstring(path.read_text()).itertext())
    kept = json.loads((tmp_path / "results.json").read_text())
    assert len(kept["figures"]) == len(measured())


def test_what_is_there_of_an_unfinished_run_says_so(tmp_path):
    results.write(tmp_path, {}, "make bench", [], ["idle: it ended"], is_whole=False)

    text = (tmp_path / "results.md").read_text()
    assert "**the run is not finished: more figures follow**" in text
    assert "**idle: it ended**" in text


def test_a_figure_that_is_left_out_is_told_and_not_drawn(tmp_path, monkeypatch):
    monkeypatch.setitem(FIGURES, "handshakes", missing)
    done = CliRunner().invoke(main, ["handshakes", "--output", str(tmp_path)])

    assert done.exit_code == 0
    assert "handshakes: left out: there is no such peer" in (tmp_path / "results.md").read_text()
    assert not list((tmp_path / "plots").iterdir())


def test_a_figure_that_fails_leaves_the_others_and_fails_the_run(tmp_path, monkeypatch):
    def fails(plan):
        raise CountError("one delivery is lost")

    monkeypatch.setitem(FIGURES, "idle", fails)
    monkeypatch.setitem(FIGURES, "echo", lambda plan: [figure("echo.64.1", phlows=(1.0,))])
    done = CliRunner().invoke(main, ["idle", "echo", "--output", str(tmp_path)])

    assert done.exit_code == 1
    assert "idle: one delivery is lost" in done.output
    assert "echo.64.1" in (tmp_path / "results.md").read_text()
    assert "**idle: one delivery is lost**" in (tmp_path / "results.md").read_text()


def test_a_short_run_writes_no_results_unless_told_where(monkeypatch):
    written = []
    monkeypatch.setattr(results, "write", lambda folder, *_, **__: written.append(folder))
    for name in FIGURES.keys() - {"idle"}:
        monkeypatch.delitem(FIGURES, name)
    monkeypatch.setitem(FIGURES, "idle", lambda plan: [])
    runner = CliRunner()

    assert runner.invoke(main, ["all", "--quick"]).exit_code == 0
    assert not written
    assert runner.invoke(main, ["all"]).exit_code == 0
    assert {folder.name for folder in written} == {"benchmarks"}


def test_a_round_has_a_length():
    done = CliRunner().invoke(main, ["idle", "--seconds", "nan"])
    assert done.exit_code == 2
    assert "nan is not a finite number" in done.output


def test_a_bar_is_as_high_as_its_value():
    root = ET.fromstring(plot.bars("t", "u", {"a": {"one": 50.0, "two": 100.0}}))
    bars = [each for each in root.iter() if each.get("fill") in plot._COLOURS]
    heights = [float(each.get("height")) for each in bars if each.get("width") != "12"]

    assert heights[1] == pytest.approx(2 * heights[0], rel=0.01)


def test_a_table_says_what_a_contender_and_the_generator_took():
    line = Series("phlows", (1000.0,), (2.0,), (0.5,), (0.25,))
    [row] = report.rows([Figure("k", "t", "casts/s", (line,))])

    assert row == ("t", "phlows", "1,000 casts/s", "1,000 - 1,000", "1", "", "2", "50%", "25%")


def test_contenders_and_generator_have_a_core_each_and_give_it_back():
    before = cores._ALL
    with cores.apart():
        pinned = cores._Pins.contender
    assert cores._Pins.contender is None
    assert sorted(cores.os.sched_getaffinity(0)) == before
    assert pinned == ({before[0]} if len(before) > 1 else None)
