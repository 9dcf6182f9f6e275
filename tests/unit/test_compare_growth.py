from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from firstgrad.cli.compare_growth import find_growth, is_growth_alarm, write_growth_json, write_growth_markdown
from firstgrad.codec import to_json
from firstgrad.compare.comparison import compare
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
    return compare(records, "before", "after")


def in_turn(comparison):
    return replace(comparison, cases=tuple(replace(each, is_interleaved=True) for each in comparison.cases))


def test_a_law_that_grew_is_an_alarm_only_where_sides_were_measured_in_turn(growth, comparison):
    assert growth.has_alarm
    assert not is_growth_alarm(growth, comparison)
    assert is_growth_alarm(growth, in_turn(comparison))


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


def test_json_has_the_laws_beside_the_cases(growth, comparison):
    document = json.loads(write_growth_json(to_json(comparison), growth))
    assert document["cases"]
    assert {"grew"} < {each["verdict"] for each in document["growth"]} | {"same"}
    assert write_growth_json(to_json(comparison), None) == to_json(comparison)


def test_markdown_names_what_grew(growth):
    text = write_growth_markdown(growth, is_alarm=False)
    assert "raise no alarm" in text
    assert "time_to_first_gradient_cpu along timesteps grew" in text
    assert "**time_to_first_gradient_cpu along timesteps** grew" in write_growth_markdown(growth, is_alarm=True)
    assert write_growth_markdown(None, is_alarm=False) == ""
