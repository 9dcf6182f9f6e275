"""The chart of an advice: lines, leads, crossings, the planned number."""

from __future__ import annotations

import pytest

from firstgrad.analysis.advice import make_advice
from firstgrad.analysis.advice_offers import find_offers
from firstgrad.analysis.advice_workload import Workload
from firstgrad.figures.advice import describe_advice, draw_advice
from planted_advice import asked, planted_samples, rows


@pytest.fixture(scope="module")
def advice():
    records, workload = planted_samples(), Workload(evaluations=20_000)
    return make_advice(find_offers(rows(records), asked(records), workload), workload)


def line(axes, label):
    return next(each for each in axes.lines if each.get_label() == label)


def test_each_scenario_has_a_panel_with_equal_scales(advice):
    cold, warm = draw_advice(advice).axes
    assert cold.get_title(loc="left") == "cold caches: jax"
    assert (cold.get_xlim(), cold.get_ylim()) == (warm.get_xlim(), warm.get_ylim())


def test_the_lead_changes_where_it_was_planted(advice):
    axes = draw_advice(advice).axes[0]
    assert line(axes, "jax: ahead").get_xdata()[-1] == pytest.approx(40_000)
    assert line(axes, "numba: ahead").get_xdata()[0] == pytest.approx(40_000)
    assert list(line(axes, "numba: crossing").get_xdata()) == pytest.approx([40_000])
    low, high = line(axes, "numba: interval").get_xdata()
    assert low < 40_000 < high
    assert list(line(axes, "planned").get_xdata()) == [20_000, 20_000]
    assert any("numba from 40,000 on" in each.get_text() for each in axes.texts)


def test_lines_are_totals(advice):
    drawn = line(draw_advice(advice).axes[0], "jax")
    assert drawn.get_ydata()[0] == pytest.approx(10.0, rel=1e-3)
    assert drawn.get_ydata()[-1] == pytest.approx(10.0 + 1e-3 * drawn.get_xdata()[-1])


def test_the_description_says_what_is_to_be_seen(advice):
    assert "If your cache is empty (cold): jax is ahead up to 40,000" in describe_advice(advice)
