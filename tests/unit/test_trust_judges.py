"""Judges on trial, from planted rounds; and what is written of them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from test_trust import always, make_rounds  # noqa: E402

from benchmarks.markers import replace_between_markers, write_between_markers  # noqa: E402 - no package on the path
from benchmarks.trust import judge as script  # noqa: E402
from benchmarks.trust.judges import Firstgrad, FirstgradUntilDecided, Measured  # noqa: E402
from benchmarks.trust.report import to_markdown, to_text  # noqa: E402
from benchmarks.trust.rounds import as_slower, as_unchanged, plant  # noqa: E402
from benchmarks.trust.trials import simulated  # noqa: E402
from benchmarks.trust.yardsticks import Yardstick  # noqa: E402
from firstgrad.store import export_jsonl  # noqa: E402


def pairs_of(count, *, noise=0.01, seed=0):
    return as_unchanged(make_rounds(count, noise=noise, seed=seed), np.random.default_rng(seed))


def test_firstgrad_alarms_where_it_should_and_not_where_it_shouldnt():
    pairs = pairs_of(10)
    alarms = Firstgrad()(plant(pairs, 1.1))
    assert (alarms.time, alarms.any_metric, alarms.rounds) == (True, True, 10)
    for unchanged in (pairs, plant(pairs, 0.8)):
        alarms = Firstgrad()(unchanged)
        assert (alarms.time, alarms.any_metric) == (False, False)


def test_firstgrad_sees_the_really_slower_side_although_it_is_another_case():
    assert Firstgrad()(as_slower(make_rounds(10, noise=0.01), np.random.default_rng(0))).time


def test_firstgrad_gates_on_more_than_the_time():
    grown = [
        replace(pair, head=replace(pair.head, counts=replace(pair.head.counts, nodes_after=200)))
        for pair in pairs_of(10)
    ]
    alarms = Firstgrad()(grown)
    assert (alarms.time, alarms.any_metric) == (False, True)


def test_pairs_hold_drift_at_bay_as_they_are_measured_in_turn():
    drifting = [
        replace(one, a=scaled(one.a, 1 + 0.2 * number), b=scaled(one.b, 1 + 0.2 * number))
        for number, one in enumerate(make_rounds(10, noise=0.005))
    ]
    pairs = as_unchanged(drifting, np.random.default_rng(0))
    assert not Firstgrad()(pairs).time
    assert Firstgrad()(plant(pairs, 1.05)).time


def scaled(record, factor):
    return replace(
        record,
        time_to_first_gradient_seconds=record.time_to_first_gradient_seconds * factor,
        time_to_first_gradient_cpu_seconds=record.time_to_first_gradient_cpu_seconds * factor,
    )


def test_until_decided_takes_few_rounds_for_much_and_more_for_little():
    pairs = pairs_of(110, noise=0.04)
    judge = FirstgradUntilDecided()
    much, little = (judge(plant(pairs, factor)) for factor in (1.5, 1.05))
    assert much.time
    assert much.rounds == judge.looks[0]
    assert little.rounds in judge.looks[1:]
    with pytest.raises(ValueError, match="110 rounds are needed"):
        judge(pairs[:50])


def test_a_yardstick_looks_at_the_cpu_time_and_at_what_else_it_is_told():
    def grown(base, head):
        return sum(head) > 1.5 * sum(base)

    pairs = [
        replace(pair, head=replace(pair.head, memory=replace(pair.head.memory, peak_rss_bytes=2**40)))
        for pair in pairs_of(5)
    ]
    yardstick = Yardstick(name="by sums", alarms=grown)
    (only,) = (metric for metric in script.GATING if metric.name == "peak_memory")
    assert Measured(yardstick=yardstick)(pairs).any_metric is False
    told = Measured(yardstick=yardstick, metrics=(only,))(pairs)
    assert (told.time, told.any_metric) == (False, True)
    assert Measured(yardstick=yardstick)(plant(pairs, 2.0)).time


@pytest.fixture(scope="module")
def report():
    return script.judge_all(make_rounds(40, noise=0.02, seed=1), 20)


def test_the_report_has_every_tool_and_the_planted_factors(report):
    assert [tool.name.split(",")[0] for tool in report.tools] == [
        "firstgrad compare", *["asv"] * 3, *["pytest-benchmark"] * 3
    ]  # fmt: skip
    own = report.tools[0]
    assert own.windows.time.trials == script.LABELLINGS * 31
    assert own.disjoint.time.trials == 4
    assert own.drawn.time.hits == 0
    assert own.slower_10.time.value == 1.0
    assert report.noise == pytest.approx(0.02, rel=0.3)
    assert report.paired_noise == pytest.approx(0.02 * 2**0.5, rel=0.4)
    assert abs(report.drift) < 0.4
    value, low, high = report.real_factor
    assert low < value < high
    assert pytest.approx(value, rel=0.02) == 1.1
    assert {point.rounds for point in report.curve} == set(script.LENGTHS)


def test_markdown_and_text_have_the_same_tables(report):
    markdown, text = to_markdown(report), to_text(report)
    for words in (
        "firstgrad compare",
        "asv, factor 1.1, --no-stats",
        "compare-fail=median:10%",
        "A against A, drawn (20)",
    ):
        assert words in markdown
        assert words in text
    tables = [block for block in markdown.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_missed_promises_are_told(report):
    assert not [each for each in script.misses(report) if "drawn" in each]
    own = replace(report.tools[0], drawn=simulated(always, make_rounds(20), 10, trials=10))
    spoilt = replace(report, tools=(own, *report.tools[1:]))
    assert "false alarms, drawn: 100.0%, and at most 2% is promised" in script.misses(spoilt)


def test_the_script_prints_writes_the_page_and_the_data(tmp_path, monkeypatch, capsys):
    samples, page, data = tmp_path / "trust.jsonl", tmp_path / "method.md", tmp_path / "report.json"
    export_jsonl((record for each in make_rounds(24, noise=0.02) for record in each.records()), samples)
    page.write_text("before\n<!-- trust: begin (made so) -->\nold\n<!-- trust: end -->\nafter\n")
    monkeypatch.setattr(sys, "argv", ["judge", str(samples), "--trials", "8", "--page", str(page), "--data", str(data)])
    with pytest.raises(SystemExit):
        script.main()
    assert "firstgrad compare --until-decided" in capsys.readouterr().out
    assert "| firstgrad compare |" in page.read_text()
    assert "old" not in page.read_text()
    document = json.loads(data.read_text())
    assert document["tools"][0]["drawn"]["time"]["trials"] == 8


def test_too_few_rounds_are_refused(tmp_path, monkeypatch, capsys):
    samples = tmp_path / "trust.jsonl"
    export_jsonl((record for each in make_rounds(5) for record in each.records()), samples)
    monkeypatch.setattr(sys, "argv", ["judge", str(samples)])
    with pytest.raises(SystemExit):
        script.main()
    assert "has 5 rounds, and it takes 20" in capsys.readouterr().err


PAGE = "a\n<!-- x: begin (how) -->\nold\n<!-- x: end -->\nb\n"


def test_a_text_goes_between_its_markers_and_nowhere_else(tmp_path):
    expected = "a\n<!-- x: begin (how) -->\n\nnew\n\n<!-- x: end -->\nb\n"
    assert replace_between_markers(PAGE, "x", "new") == expected
    assert replace_between_markers(expected, "x", "new") == expected
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    write_between_markers(path, "x", "new")
    assert path.read_text() == expected


@pytest.mark.parametrize(
    "page", ["nothing", PAGE.replace("<!-- x: end -->", ""), PAGE + PAGE, "<!-- x: end -->\n<!-- x: begin -->\n"]
)
def test_missing_or_repeated_markers_are_refused(page):
    with pytest.raises(SystemExit, match="x: begin"):
        replace_between_markers(page, "x", "new")
