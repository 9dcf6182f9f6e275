from __future__ import annotations

import io
import json
import math

import pytest
from rich.console import Console

from firstgrad.cli.growth_change_rows import growth_change_rows
from firstgrad.cli.growth_change_table import show_growth_changes
from firstgrad.codec import to_json
from firstgrad.growth.change import find_growth_changes
from firstgrad.row import make_row
from planted_sweep import planted_records


def rows(seed, slower=1.0, only=None):
    """The planted sweep, whose warm samples alone may be slower by a factor."""
    from dataclasses import replace

    return [
        make_row(replace(record, time_to_first_gradient_cpu_seconds=record.time_to_first_gradient_cpu_seconds * slower))
        for record in planted_records(seed=seed)
        if only is None or only(record)
    ]


@pytest.fixture(scope="module")
def changes():
    return find_growth_changes(rows(1), rows(2, slower=2.0))


def shown(changes, **options):
    stream = io.StringIO()
    show_growth_changes(Console(file=stream, width=220), changes, **options)
    return stream.getvalue()


def test_the_table_has_what_changed_and_counts_the_rest(changes):
    text = shown(changes, show_all=False)
    assert "time_to_first_gradient_cpu" in text
    assert "nodes" not in text
    assert "(level)" in text
    assert "grew" in text
    assert f"{len(changes.lines)} growth laws: " in text
    assert f"(99% for all {changes.n_tests} intervals together)" in text
    assert "nodes" in shown(changes, show_all=True)


def test_rows_are_json_with_every_number(changes):
    documents = json.loads(to_json(growth_change_rows(changes.lines)))
    assert len(documents) == len(changes.lines)
    flat = next(
        each
        for each in documents
        if (each["metric"], each["axis"], each["verdict"]) == ("time_to_first_gradient_cpu", "timesteps", "grew")
    )
    assert flat["compared_fixed_cost"] == "level"
    assert flat["fixed_cost_difference"]["low"] > 0
    assert flat["fixed_cost_head"]["value"] == pytest.approx(2 * flat["fixed_cost_base"]["value"], rel=0.15)
    assert math.isclose(
        flat["fixed_cost_difference"]["value"], flat["fixed_cost_head"]["value"] - flat["fixed_cost_base"]["value"]
    )


def test_lines_on_one_side_only_are_told_and_nothing_at_all_is_silent():
    one_sided = find_growth_changes(rows(1), [], axes=["timesteps"])
    assert "no growth law compared: timesteps, BASE only: pose" in shown(one_sided, show_all=False)
    assert not shown(find_growth_changes([], []), show_all=True)
