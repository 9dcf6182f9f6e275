"""Figures of total seconds: lines, leads, crossings, the planned number."""

from __future__ import annotations

import pytest

from drawn import HOSTILE, labels, line, saves_as_text, texts, title
from firstgrad.advising.advice import find_offers, make_advice
from firstgrad.advising.breakeven import Option, break_even
from firstgrad.advising.workload import Workload
from firstgrad.estimates import Estimate
from firstgrad.show.totals import advice_picture, breakeven_picture
from planted_advice import asked, planted_samples


def estimate(value, part=0.0):
    return Estimate(value, value * (1 - part), value * (1 + part), 0.9, 5)


def option(name, first, each, part=0.0):
    return Option(name, estimate(first, part), estimate(each, part))


def drawn(options, n_max):
    result = break_even(options, n_max)
    picture = breakeven_picture(result)
    figure = picture.draw()
    return figure.axes[0], picture.description, figure


def test_lines_are_the_totals_and_the_crossing_is_marked_and_named():
    axes, text, _ = drawn([option("jax", 10.0, 2e-3), option("numba", 92.0, 1e-5)], 1e6)
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_xlim()) == ("log", "log", (1, 1e6))
    assert line(axes, "jax").get_ydata()[-1] == pytest.approx(10 + 2000)
    assert line(axes, "numba").get_ydata()[0] == pytest.approx(92.0, rel=1e-4)
    at = 82 / 1.99e-3
    crossing = line(axes, "numba: crossing")
    assert (crossing.get_xdata()[0], crossing.get_ydata()[0]) == pytest.approx((at, 10 + 2e-3 * at))
    assert "numba from 41,000 on" in texts(axes)
    assert {"jax", "numba"} < set(texts(axes))
    assert "jax is ahead at first; numba from 41,000 on" in text


def test_the_part_where_an_option_leads_is_thick_up_to_the_crossing():
    axes, _, _ = drawn([option("jax", 10.0, 2e-3), option("numba", 110.0, 1e-3), option("never", 200.0, 1e-2)], 1e6)
    ahead = line(axes, "jax: ahead")
    assert (ahead.get_xdata()[0], ahead.get_xdata()[-1]) == pytest.approx((1, 100_000))
    assert line(axes, "numba: ahead").get_xdata()[-1] == 1e6
    assert ahead.get_linewidth() > line(axes, "jax").get_linewidth()
    assert "never: ahead" not in labels(axes)


def test_the_interval_of_a_crossing_is_drawn_and_open_ends_are_said():
    axes, text, _ = drawn([option("a", 10.0, 1e-3, 0.05), option("b", 100.0, 1e-4, 0.05)], 1e6)
    low, high = line(axes, "b: interval").get_xdata()
    assert low == pytest.approx((95 - 10.5) / (1.05e-3 - 0.95e-4))
    assert high == pytest.approx((105 - 9.5) / (0.95e-3 - 1.05e-4))
    assert "b from 100,000 on [88,000, 110,000]" in text
    axes, text, _ = drawn([option("a", 10.0, 1e-4, 0.5), option("b", 12.0, 8e-5, 0.5)], 1e6)
    assert tuple(line(axes, "b: interval").get_xdata()) == (1, 1e6)
    assert "b from 100,000 on [0, never]" in text


def test_one_that_is_always_ahead_is_said_in_the_title():
    axes, text, _ = drawn([option("best", 1.0, 1e-3), option("other", 2.0, 2e-3)], 100)
    assert title(axes) == "Total time: best is ahead all the way"
    assert "best is ahead all the way" in text
    axes, _, _ = drawn([option("alone", 1.0, 1e-3)], 100)
    assert title(axes) == "Total time"


def test_a_crossing_below_one_evaluation_is_not_drawn():
    axes, text, _ = drawn([option("a", 1.0, 4.0), option("b", 2.0, 1.0)], 100)
    assert "b: crossing" not in labels(axes)
    assert "a: ahead" not in labels(axes)
    assert "b from 0.33 on" in text


def test_no_two_options_look_alike():
    axes, _, _ = drawn([option(str(number), 10.0 + number, 1e-3) for number in range(6)], 100)
    looks = {
        (each.get_color(), each.get_marker(), each.get_linestyle()) for each in (line(axes, str(n)) for n in range(6))
    }
    assert len(looks) == 6


def test_hostile_names_are_drawn_as_they_are(tmp_path):
    options = [option(HOSTILE, 10.0, 2e-3), option("$\\frac$", 110.0, 1e-3)]
    assert saves_as_text(breakeven_picture(break_even(options, 1e6)), tmp_path)
    _, _, figure = drawn(options, 1e6)
    assert r"$x_1$<script>\nlong" in "".join(texts(figure.axes[0]))
    assert max(len(each) for each in texts(figure.axes[0])) < 100


def test_each_scenario_has_a_panel_whose_lead_changes_where_it_was_planted():
    records, workload = planted_samples(), Workload(evaluations=20_000)
    advice = make_advice(find_offers(records, asked(records), workload), workload)
    axes, warm = advice_picture(advice).draw().axes
    assert title(axes) == "cold caches: jax"
    assert (axes.get_xlim(), axes.get_ylim()) == (warm.get_xlim(), warm.get_ylim())
    assert line(axes, "jax: ahead").get_xdata()[-1] == pytest.approx(40_000)
    assert line(axes, "numba: ahead").get_xdata()[0] == pytest.approx(40_000)
    assert list(line(axes, "numba: crossing").get_xdata()) == pytest.approx([40_000])
    low, high = line(axes, "numba: interval").get_xdata()
    assert low < 40_000 < high
    assert list(line(axes, "planned").get_xdata()) == [20_000, 20_000]
    assert any("numba from 40,000 on" in text for text in texts(axes))
    totals = line(axes, "jax")
    assert totals.get_ydata()[0] == pytest.approx(10.0, rel=1e-3)
    assert totals.get_ydata()[-1] == pytest.approx(10.0 + 1e-3 * totals.get_xdata()[-1])
    assert "If your cache is empty (cold): jax is ahead up to 40,000" in advice_picture(advice).description
