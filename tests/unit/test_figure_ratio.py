"""The figure of ratios along a size: curves, intervals, bounds, names."""

from __future__ import annotations

import pytest

from firstgrad.analysis.ratio_curve import RatioCurve, RatioPoint
from firstgrad.figures.ratio import RatioLine, describe_ratio, draw_ratio
from firstgrad.growth.law import Interval
from firstgrad.show.style import save_figure


def point(size, ratio, *, interval=None, lower=False, upper=False):
    return RatioPoint(
        size=size,
        ratio=ratio,
        interval=interval,
        is_lower_bound=lower,
        is_upper_bound=upper,
        n_numerator=3,
        n_denominator=3,
        hosts=("h",),
    )


def curve(*points, overall=None, is_constant=None):
    return RatioCurve(points=points, overall=overall, is_constant=is_constant, spread=None)


JAX = RatioLine(
    name="jax",
    curve=curve(
        point(10.0, 2.0, interval=Interval(2.0, 1.8, 2.2)),
        point(100.0, 2.1, interval=Interval(2.1, 1.9, 2.3)),
        overall=Interval(2.05, 1.9, 2.2),
        is_constant=True,
    ),
)
C = RatioLine(
    name="c", curve=curve(point(10.0, 3.0), point(100.0, 9.0), point(1000.0, 20.0, lower=True), is_constant=False)
)


def only(axes, label):
    (found,) = [each for each in axes.lines if each.get_label() == label]
    return found


def texts(axes):
    return [each.get_text() for each in axes.texts if each.get_text()]


def test_curves_have_their_points_and_intervals_and_a_line_at_one():
    (axes,) = draw_ratio([JAX, C]).axes
    assert list(only(axes, "jax").get_xdata()) == [10.0, 100.0]
    assert list(only(axes, "jax").get_ydata()) == [2.0, 2.1]
    bars = [list(bar[:, 1]) for each in axes.collections for bar in each.get_segments()]
    assert bars == [[1.8, 2.2], [1.9, 2.3]]
    assert list(only(axes, "equal").get_ydata()) == [1.0, 1.0]
    low, high = axes.get_ylim()
    assert low < 1
    assert high > 20
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_bounds_are_hollow_with_an_arrow_to_where_the_truth_lies():
    upper = RatioLine(name="u", curve=curve(point(10.0, 2.0), point(100.0, 0.5, upper=True)))
    (axes,) = draw_ratio([C, upper]).axes
    assert list(only(axes, "c: bound").get_xdata()) == [1000.0]
    assert only(axes, "c: bound").get_markerfacecolor() == "none"
    assert list(only(axes, "c").get_xdata()) == [10.0, 100.0]
    up, down = [each for each in axes.texts if not each.get_text()]
    assert (up.xy, down.xy) == ((1000.0, 20.0), (100.0, 0.5))
    assert up.xyann[1] > 0 > down.xyann[1]
    assert "arrows: bounds" in axes.get_xlabel()
    assert "arrows" not in draw_ratio([JAX]).axes[0].get_xlabel()


def test_a_point_of_which_both_sides_are_censored_is_left_out():
    both = RatioLine(name="b", curve=curve(point(10.0, 2.0), point(100.0, 1.0, lower=True, upper=True)))
    (axes,) = draw_ratio([both]).axes
    assert list(only(axes, "b: curve").get_xdata()) == [10.0]


def test_names_say_the_one_ratio_or_that_it_changes():
    (axes,) = draw_ratio([JAX, C], title="HMM / no HMM: peak memory").axes
    assert set(texts(axes)) == {"jax\nfactor 2.05 [1.90, 2.20] at all sizes", "c\nchanges with the size"}
    assert axes.get_title(loc="left") == "HMM / no HMM: peak memory"


def test_no_two_curves_look_alike():
    (axes,) = draw_ratio([JAX, C]).axes
    one, other = only(axes, "jax: curve"), only(axes, "c: curve")
    assert one.get_color() != other.get_color()
    assert one.get_linestyle() != other.get_linestyle()
    assert only(axes, "jax").get_marker() != only(axes, "c").get_marker()


def test_the_description_has_the_ends_and_the_bounds():
    text = describe_ratio([JAX, C], title="HMM / no HMM", size="timesteps T")
    assert text.startswith("Ratios HMM / no HMM along timesteps T. ")
    assert "jax: 2.00 [1.80, 2.20] at 10, 2.10 [1.90, 2.30] at 100, factor 2.05 [1.90, 2.20] at all sizes" in text
    assert "c: 3.00 at 10, at least 20.00 at 1000, changes with the size" in text
    assert "e: no ratio" in describe_ratio([RatioLine(name="e", curve=curve())])


def test_curves_without_a_ratio_are_refused():
    for nothing in ([], [RatioLine(name="a", curve=curve())]):
        with pytest.raises(ValueError, match="no curve has a ratio: nothing to draw"):
            draw_ratio(nothing)


def test_a_single_point_is_drawn_and_hostile_names_as_they_are(tmp_path):
    line = RatioLine(name="$x_1$<script>\n" + "long " * 40, curve=curve(point(10.0, 1.0)))
    figure = draw_ratio([line], title="$\\frac$<b>")
    _, svg = save_figure(figure, tmp_path, "ratio", description=describe_ratio([line]))
    assert "<script>" not in svg.read_text()
    assert texts(figure.axes[0])[0].startswith("$x_1$<script>\N{REPLACEMENT CHARACTER}long")
