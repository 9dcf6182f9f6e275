from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from firstgrad.case import BackendName
from firstgrad.cli.compare import comparison_result
from firstgrad.cli.compare_growth import find_growth, growth_change_parts, is_growth_alarm
from firstgrad.columns import samples_table
from firstgrad.comparing.comparison import compare
from firstgrad.comparing.judge import Gate, Thresholds
from firstgrad.growth.change import GrowthChangeVerdict, find_growth_changes
from firstgrad.show.result import Form, Result, render
from planted_sweep import planted_records


def labelled(label, seed, slower=1.0):
    """The planted sweep under a label; ids are its own."""
    return [
        replace(
            record,
            record_id=f"{label}{number}",
            environment=replace(record.environment, label=label),
            time_to_first_gradient_cpu_seconds=record.time_to_first_gradient_cpu_seconds * slower,
        )
        for number, record in enumerate(planted_records(seed=seed))
    ]


@pytest.fixture(scope="module")
def records():
    return [*labelled("before", 1), *labelled("after", 2, slower=2.0)]


@pytest.fixture(scope="module")
def growth(records):
    return find_growth(records, "before", "after", lambda _: "")


@pytest.fixture(scope="module")
def comparison(records):
    return compare(records, "before", "after", thresholds=Thresholds(gate=Gate.SECONDS))


def in_turn(comparison):
    return replace(comparison, cases=tuple(replace(each, is_interleaved=True) for each in comparison.cases))


def test_a_law_that_grew_is_an_alarm_only_where_sides_were_measured_in_turn(growth, comparison):
    assert growth.has_alarm
    assert not is_growth_alarm(growth, comparison)
    assert is_growth_alarm(growth, in_turn(comparison))
    assert not is_growth_alarm(growth, in_turn(replace(comparison, thresholds=Thresholds())))  # only seconds grew


def test_the_same_sweep_twice_raises_no_alarm(records, comparison):
    before = [each for each in records if each.environment.label == "before"]
    noise = random.Random(3)  # noqa: S311 - noise, no secret
    again = [
        replace(
            each,
            record_id=f"x{number}",
            environment=replace(each.environment, label="again"),
            time_to_first_gradient_cpu_seconds=each.time_to_first_gradient_cpu_seconds * noise.gauss(1.0, 0.03),
        )
        for number, each in enumerate(before)
    ]
    growth = find_growth([*before, *again], "before", "again", lambda _: "")
    assert growth.lines
    assert not is_growth_alarm(growth, in_turn(comparison))


def shown(growth, *, form=Form.TERMINAL, show_all=False, is_alarm=True):
    return render(
        Result(parts=list(growth_change_parts(growth, show_all=show_all, is_alarm=is_alarm))), form, width=220
    )


def test_the_table_has_what_changed_and_counts_the_rest(growth):
    text = shown(growth)
    assert "time_to_first_gradient_cpu" in text
    assert "nodes" not in text
    assert "(level)" in text
    assert "grew" in text
    assert f"{len(growth.lines)} growth laws: " in text
    assert f"(99% for all {growth.n_tests} intervals together)" in text
    assert "nodes" in shown(growth, show_all=True)


def test_lines_on_one_side_only_are_told_and_nothing_at_all_is_silent(records):
    nothing = samples_table([])
    one_sided = find_growth_changes(samples_table(records), nothing, axes=["timesteps"])
    assert "no growth law compared: timesteps, BASE only: pose" in shown(one_sided)
    assert not shown(find_growth_changes(nothing, nothing), show_all=True)


def test_json_has_the_laws_beside_the_cases_with_every_number(growth, comparison):
    document = json.loads(render(comparison_result(comparison, growth, show_all=False), Form.JSON))
    assert document["cases"]
    assert len(document["growth"]) == len(growth.lines)
    assert {"grew"} < {line["verdict"] for line in document["growth"]} | {"same"}
    key = ("time_to_first_gradient_cpu", "timesteps", "grew")
    flat = next(line for line in document["growth"] if (line["metric"], line["axis"], line["verdict"]) == key)
    assert flat["compared_fixed_cost"] == "level"
    difference, base, head = (flat[f"fixed_cost_{name}"] for name in ("difference", "base", "head"))
    assert difference["low"] > 0
    assert head["value"] == pytest.approx(2 * base["value"], rel=0.15)
    assert difference["value"] == pytest.approx(head["value"] - base["value"], rel=1e-9)
    assert "growth" not in json.loads(render(comparison_result(comparison, None, show_all=False), Form.JSON))


def test_markdown_names_what_grew(growth):
    text = shown(growth, form=Form.MARKDOWN, is_alarm=False)
    assert "raise no alarm" in text
    assert "time_to_first_gradient_cpu along timesteps grew" in text
    assert "**time_to_first_gradient_cpu along timesteps** grew" in shown(growth, form=Form.MARKDOWN)
    nothing = samples_table([])
    assert not shown(find_growth_changes(nothing, nothing), form=Form.MARKDOWN)


def test_between_two_backends_laws_are_compared_and_counts_raise_no_alarm(comparison):
    counted = in_turn(replace(comparison, thresholds=Thresholds()))

    def side(label, backend, nodes=1):
        return [
            replace(
                one,
                record_id=f"{label}{number}",
                environment=replace(one.environment, label=label),
                counts=replace(one.counts, nodes_after=nodes * one.counts.nodes_after),
            )
            for number, one in enumerate(planted_records(backends=(backend,)))
        ]

    before = side("before", BackendName.JAX)
    for backend, is_alarm in ((BackendName.JAX, True), (BackendName.NUMBA, False)):
        growth = find_growth([*before, *side("after", backend, nodes=3)], "before", "after", lambda _: "")
        nodes = [line for line in growth.lines if line.metric.name == "nodes"]
        assert GrowthChangeVerdict.GREW in {line.verdict for line in nodes}
        assert not growth.unmatched
        assert is_growth_alarm(growth, counted) is is_alarm
        assert all(line.name.startswith("jax to numba") for line in nodes) is not is_alarm
