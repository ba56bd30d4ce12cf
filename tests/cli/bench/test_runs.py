"""Each bench with a broker of its own, which is really run."""

from __future__ import annotations

import pytest

from tests.cli.bench.conftest import SMALL

KEYS = {
    "bench", "ok", "interrupted", "config", "figures", "latency_ms", "errors", "refusals",
    "machine", "warnings",
}  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_each_bench_has_one_json_object_with_all_it_knows(bench, name):
    result = bench(name, *SMALL[name])
    assert (result["code"], result["ok"], result["bench"]) == (0, True, name)
    assert result.keys() - {"code"} == KEYS
    assert {"cores", "load", "python"} <= result["machine"].keys()
    assert (result["config"]["broker"], result["config"]["host"]) == ("temporary", "bench.test")
    for times in result["latency_ms"].values():
        assert 0 < times["p50"] <= times["p90"] <= times["p99"] <= times["max"]


@pytest.mark.parametrize(
    ("target", "deliveries"), [("all", 300 * 20), ("token", 300), ("socket", 300)]
)
def test_every_delivery_of_a_target_is_counted(bench, target, deliveries):
    result = bench(
        "fanout", "--sockets", "20", "--casts", "300", "--outstanding", "4", "--target", target
    )
    assert result["code"] == 0
    assert result["figures"]["deliveries"] == deliveries
    assert (result["figures"]["casts"], result["figures"]["receipts_checked"]) == (300, 300)


def test_sockets_that_share_a_token_all_get_its_casts(bench):
    args = ("--sockets", "10", "--casts", "20", "--target", "token", "--token", "same")
    assert bench("fanout", *args)["figures"]["deliveries"] == 200


def test_large_messages_are_compared_whole(bench):
    result = bench("fanout", "--sockets", "5", "--casts", "20", "--size", "100000")
    assert (result["code"], result["figures"]["deliveries"]) == (0, 100)


def test_casts_at_a_rate_are_as_many_as_were_due(bench):
    result = bench("fanout", "--sockets", "5", "--rate", "100", "--casts", "30")
    assert (result["code"], result["figures"]["casts"]) == (0, 30)
    assert result["figures"]["casts_per_second"] <= 105  # the first is due at once


def test_messages_at_a_rate_are_all_answered(bench):
    figures = bench("echo", *SMALL["echo"])["figures"]
    assert figures["messages"] == figures["answers"] == 200


def test_a_closed_loop_answers_every_message(bench):
    result = bench("echo", "--closed-loop", "--sockets", "5", "--seconds", "0.2")
    assert result["code"] == 0
    assert result["figures"]["messages"] == result["figures"]["answers"] > 5


def test_an_app_of_ones_own_is_measured(bench, app):
    path = app("print(message)")
    args = ("--app", str(path), "--runtime", "oneshot", "--sockets", "2", "--rate", "20")
    result = bench("echo", *args, "--seconds", "0.2")
    assert (result["code"], result["figures"]["answers"]) == (0, 4)


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("fanout", ("--cookie", "token=v{n}")),
        ("storm", ("--token", "visitor {n}")),
        ("connect", ("--cookie", "v{n}")),
    ],
)
def test_sockets_are_let_in_by_a_token_or_a_cookie(bench, name, who):
    assert bench(name, *SMALL[name], *who)["code"] == 0


def test_a_token_shows_how_long_letting_in_takes(bench):
    result = bench("connect", *SMALL["connect"], "--token", "same")
    assert result["figures"]["let_in"] == 50
    assert set(result["latency_ms"]) == {"connect to upgrade", "upgrade to let in"}


@pytest.mark.parametrize(("name", "why"), [("fanout", "4501"), ("echo", "4501")])
def test_an_app_that_turns_sockets_away_is_exit_code_4(phlows, app, name, why):
    path = app("print('false' if hook == 'auth' else message)")
    args = ("--app", str(path), "--runtime", "oneshot", "--token", "a", "--timeout", "5")
    result = phlows("bench", name, "--sockets", "2", *args)
    assert (result.exit_code, result.stdout) == (4, "")
    assert f"was turned away: {why}" in result.stderr


def test_handshakes_that_an_app_turns_away_are_refused(phlows, app):
    path = app("print('false')")
    args = ("--app", str(path), "--runtime", "oneshot", "--token", "a{n}", "--count", "3")
    result = phlows("bench", "connect", *args)
    assert result.exit_code == 4
    assert "every handshake was refused: close 4500" in result.stderr


def test_the_table_for_people_has_no_ansi_and_says_that_all_is_well(program):
    done = program("bench", "fanout", *SMALL["fanout"])
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert "cast to last client" in done.stdout
    assert done.stdout.endswith("ok: nothing lost, duplicated, reordered or damaged\n")
    assert [line for line in done.stderr.splitlines() if not line.startswith("warning: ")] == []
