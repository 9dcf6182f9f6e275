"""Figures along a size: laws with samples, bands, bounds and cliffs; ratios with intervals and bounds; names."""

from __future__ import annotations

import pytest

from drawn import HOSTILE, HOSTILE_DRAWN, any_overlap, boxes_of_texts, line, saves_as_text, texts, title
from firstgrad.columns import Unit
from firstgrad.growth.contrasts import RatioCurve, RatioPoint
from firstgrad.growth.fit import fit_growth_laws
from firstgrad.growth.law import Interval, NoLaw, Observations
from firstgrad.show.growth import GrowthPanel, growth_picture, ratio_picture

SIZES = (10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
WOBBLE = (0.97, 1.0, 1.04)


def observed(cost, *, sizes=SIZES, limit=float("inf"), hosts=(("a", 1.0),), wobble=WOBBLE):
    """Samples of a planted cost: three a size and host, the true value in their middle."""
    rows = [(size, level * cost(size) * each, host) for host, level in hosts for size in sizes for each in wobble]
    return Observations(
        sizes=tuple(size for size, _, _ in rows),
        values=tuple(min(value, limit) for _, value, _ in rows),
        is_censored=tuple(value > limit for _, value, _ in rows),
        hosts=tuple(host for _, _, host in rows),
    )


def fitted(name, observations):
    return name, *fit_growth_laws([observations])


def bare(name, observations):
    return name, NoLaw(reason="why", observations=observations)


def panel(*laws, title="Time to first gradient", unit=Unit.SECONDS):
    return GrowthPanel(title=title, unit=unit, laws=laws)


def test_medians_bars_and_samples_are_where_they_were_measured():
    (axes,) = growth_picture([panel(fitted("HMM", observed(lambda size: 3.0 + 0.05 * size)))]).draw().axes
    medians = line(axes, "HMM")
    assert list(medians.get_xdata()) == list(SIZES)
    assert list(medians.get_ydata()) == pytest.approx([3.0 + 0.05 * size for size in SIZES])
    assert len(line(axes, "HMM: samples").get_xdata()) == len(SIZES) * len(WOBBLE)
    bars = [each for each in axes.collections if hasattr(each, "get_segments")]
    assert list(bars[0].get_segments()[0][:, 1]) == pytest.approx([3.5 * 0.97, 3.5 * 1.04])
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_ylabel()) == ("log", "log", "seconds")


def test_the_law_passes_through_its_planted_cost_and_says_its_exponent():
    law = fitted("HMM scan", observed(lambda size: 3.1 + 0.06 * size**1.3, wobble=(0.999, 1.0, 1.001)))
    (axes,) = growth_picture([panel(law)], symbol="T").draw().axes
    law = line(axes, "HMM scan: law")
    assert law.get_ydata()[0] == pytest.approx(3.1 + 0.06 * 10**1.3, rel=0.02)
    assert law.get_ydata()[-1] == pytest.approx(3.1 + 0.06 * 1000**1.3, rel=0.02)
    name, told = texts(axes)[0].splitlines()
    assert name == "HMM scan"
    assert told.startswith("T^1.30 [1.")
    assert told.endswith(" + 3.10 s")


def test_the_description_has_every_law_and_what_does_not_grow_says_so():
    hmm = fitted("HMM", observed(lambda size: 3.0 + 0.05 * size))
    text = growth_picture([panel(hmm)], size="timesteps T", symbol="T").description
    assert text.startswith("Lines along timesteps T")
    assert "HMM: 21 samples at 7 sizes, T^1.0" in text
    assert "linear" in text
    (axes,) = growth_picture([panel(fitted("a", observed(lambda _: 5.0)))]).draw().axes
    assert texts(axes) == ["a\ndoes not grow"]


def test_the_band_lies_around_the_law():
    (axes,) = growth_picture([panel(fitted("a", observed(lambda size: size)))]).draw().axes
    (band,) = [each for each in axes.collections if not hasattr(each, "get_segments")]
    extents = band.get_paths()[0].get_extents()
    assert (extents.x0, extents.x1) == pytest.approx((10, 1000))
    assert extents.y0 < 10 * 1.01
    assert extents.y1 > 1000 * 0.99


def test_each_host_has_a_line_of_its_level():
    (axes,) = (
        growth_picture([panel(fitted("a", observed(lambda size: size, hosts=(("one", 1.0), ("two", 3.0)))))])
        .draw()
        .axes
    )
    one, two = [each for each in axes.lines if each.get_label() == "a: law"]
    assert two.get_ydata()[-1] / one.get_ydata()[-1] == pytest.approx(3.0, rel=0.02)
    assert len(line(axes, "a").get_xdata()) == 2 * len(SIZES)
    assert len(texts(axes)) == 1


def test_censored_samples_are_hollow_at_their_limit_with_arrows_upwards():
    law = fitted("a", observed(lambda size: size, limit=300.0))
    (axes,) = growth_picture([panel(law)]).draw().axes
    hollow = line(axes, "a: censored")
    assert list(hollow.get_xdata()) == [500.0, 1000.0]
    assert list(hollow.get_ydata()) == [300.0, 300.0]
    assert hollow.get_markerfacecolor() == "none"
    arrows = [each for each in axes.texts if not each.get_text()]
    assert [each.xy for each in arrows] == [(500.0, 300.0), (1000.0, 300.0)]
    assert all(each.xyann[1] > 0 for each in arrows)
    assert list(line(axes, "a").get_xdata()) == list(SIZES[:-2])
    assert "6 censored" in growth_picture([panel(law)]).description


def test_a_cliff_is_marked_between_the_sizes_beside_it_with_its_factor():
    law = fitted("a", observed(lambda size: size * (8 if size > 150 else 1)))
    (cliff,) = law[1].cliffs
    (axes,) = growth_picture([panel(law)]).draw().axes
    mark = line(axes, "a: cliff 1")
    assert list(mark.get_xdata()) == [100.0, 200.0]
    assert list(mark.get_ydata()) == pytest.approx([100.0, 1600.0])
    assert cliff.factor == pytest.approx(16, rel=0.01)
    assert "cliff, factor 16" in texts(axes)
    assert "cliff from 100 to 200: factor 16" in growth_picture([panel(law)]).description


def test_lines_of_one_name_look_alike_in_all_panels_and_others_differ_in_all_ways():
    hmm, none = observed(lambda size: 2 * size), observed(lambda size: size)
    panels = [
        panel(fitted("HMM", hmm), fitted("no HMM", none), title="c"),
        panel(fitted("no HMM", none), fitted("HMM", hmm), title="jax"),
    ]
    first, second = growth_picture(panels).draw().axes

    def look(axes, name):
        law, medians = line(axes, f"{name}: law"), line(axes, name)
        return law.get_color(), law.get_linestyle(), medians.get_marker()

    assert look(first, "HMM") == look(second, "HMM")
    assert look(first, "no HMM") == look(second, "no HMM")
    assert all(one != other for one, other in zip(look(first, "HMM"), look(first, "no HMM"), strict=True))
    assert [title(axes) for axes in (first, second)] == ["c", "jax"]
    assert first.get_xlim() == second.get_xlim()


def test_without_a_law_the_samples_are_drawn_and_the_reason_is_told():
    seen = observed(lambda size: size, sizes=(10.0, 20.0))
    name, law = fitted("short", seen)
    assert isinstance(law, NoLaw)
    (axes,) = growth_picture([panel((name, law))]).draw().axes
    assert texts(axes) == ["short\nno law"]
    assert list(line(axes, "short").get_xdata()) == [10.0, 20.0]
    assert f"no law ({law.reason})" in growth_picture([panel((name, law))]).description


def test_numbers_of_zero_are_left_out_and_counted():
    seen = observed(lambda size: size - 10.0)
    (axes,) = growth_picture([panel(bare("a", seen))]).draw().axes
    assert list(line(axes, "a").get_xdata()) == list(SIZES[1:])
    assert "3 at 0 or below not shown" in growth_picture([panel(bare("a", seen))]).description


def test_an_axis_counts_in_the_unit_of_its_metric():
    law = fitted("a", observed(lambda size: size * 2**19))
    (axes,) = growth_picture([panel(law, unit=Unit.BYTES)]).draw().axes
    assert axes.get_ylabel() == "MiB"
    assert line(axes, "a").get_ydata()[0] == pytest.approx(5)


def test_a_panel_without_numbers_says_so_beside_one_with_numbers():
    empty = bare("empty", Observations(sizes=(), values=(), is_censored=(), hosts=()))
    figure = growth_picture([panel(empty), panel(fitted("a", observed(lambda size: size)))]).draw()
    assert texts(figure.axes[0]) == ["no numbers"]
    with pytest.raises(ValueError, match="no panel has an observation: nothing to draw"):
        growth_picture([panel(empty)])
    for nothing in ([], [panel()]):
        with pytest.raises(ValueError, match="nothing to draw"):
            growth_picture(nothing)


def test_names_at_the_ends_do_not_overlap():
    lines = [fitted(f"line {number}", observed(lambda size, n=number: (1 + 0.01 * n) * size)) for number in range(6)]
    figure = growth_picture([panel(*lines)]).draw()
    boxes = boxes_of_texts(figure, figure.axes[0])
    assert len(boxes) == 6
    assert not any_overlap(boxes)
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)


def test_hostile_names_of_laws_are_drawn_as_they_are(tmp_path):
    panels = [panel(fitted(HOSTILE, observed(lambda size: size)), title="$\\frac$<b>\n" + "long " * 60)]
    figure = growth_picture(panels, title="$" + "t" * 300, size="<size>", symbol="$n$").draw()
    assert saves_as_text(growth_picture(panels), tmp_path)
    assert texts(figure.axes[0])[0].startswith(HOSTILE_DRAWN)
    assert len(title(figure.axes[0])) <= 110


def point(size, ratio, *, interval=None, lower=False, upper=False):
    known = {"interval": interval, "is_lower_bound": lower, "is_upper_bound": upper}
    return RatioPoint(size=size, ratio=ratio, n_samples=6, **known)


def curve(*points, overall=None, is_constant=None):
    return RatioCurve(points=points, overall=overall, is_constant=is_constant)


JAX = (
    "jax",
    curve(
        point(10.0, 2.0, interval=Interval(2.0, 1.8, 2.2)),
        point(100.0, 2.1, interval=Interval(2.1, 1.9, 2.3)),
        overall=Interval(2.05, 1.9, 2.2),
        is_constant=True,
    ),
)
C = ("c", curve(point(10.0, 3.0), point(100.0, 9.0), point(1000.0, 20.0, lower=True), is_constant=False))


def test_curves_have_their_points_and_intervals_and_a_line_at_one():
    (axes,) = ratio_picture([JAX, C]).draw().axes
    assert list(line(axes, "jax").get_xdata()) == [10.0, 100.0]
    assert list(line(axes, "jax").get_ydata()) == [2.0, 2.1]
    bars = [list(bar[:, 1]) for each in axes.collections for bar in each.get_segments()]
    assert bars == [[1.8, 2.2], [1.9, 2.3]]
    assert list(line(axes, "equal").get_ydata()) == [1.0, 1.0]
    low, high = axes.get_ylim()
    assert low < 1
    assert high > 20
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_bounds_are_hollow_with_an_arrow_to_where_the_truth_lies():
    upper = ("u", curve(point(10.0, 2.0), point(100.0, 0.5, upper=True)))
    (axes,) = ratio_picture([C, upper]).draw().axes
    assert list(line(axes, "c: bound").get_xdata()) == [1000.0]
    assert line(axes, "c: bound").get_markerfacecolor() == "none"
    assert list(line(axes, "c").get_xdata()) == [10.0, 100.0]
    up, down = [each for each in axes.texts if not each.get_text()]
    assert (up.xy, down.xy) == ((1000.0, 20.0), (100.0, 0.5))
    assert up.xyann[1] > 0 > down.xyann[1]
    assert "arrows: bounds" in axes.get_xlabel()
    assert "arrows" not in ratio_picture([JAX]).draw().axes[0].get_xlabel()
    # A point of which both sides are censored is left out.
    both = ("b", curve(point(10.0, 2.0), point(100.0, 1.0, lower=True, upper=True)))
    assert list(line(ratio_picture([both]).draw().axes[0], "b: curve").get_xdata()) == [10.0]


def test_names_say_the_one_ratio_or_that_it_changes_and_no_two_curves_look_alike():
    (axes,) = ratio_picture([JAX, C], title="HMM / no HMM: peak memory").draw().axes
    assert set(texts(axes)) - {""} == {"jax\nfactor 2.05 [1.90, 2.20] at all sizes", "c\nchanges with the size"}
    assert title(axes) == "HMM / no HMM: peak memory"
    one, other = line(axes, "jax: curve"), line(axes, "c: curve")
    assert one.get_color() != other.get_color()
    assert one.get_linestyle() != other.get_linestyle()
    assert line(axes, "jax").get_marker() != line(axes, "c").get_marker()


def test_the_description_of_ratios_has_the_ends_and_the_bounds():
    text = ratio_picture([JAX, C], title="HMM / no HMM", size="timesteps T").description
    assert text.startswith("Ratios HMM / no HMM along timesteps T. ")
    assert "jax: 2.00 [1.80, 2.20] at 10, 2.10 [1.90, 2.30] at 100, factor 2.05 [1.90, 2.20] at all sizes" in text
    assert "c: 3.00 at 10, at least 20.00 at 1000, changes with the size" in text
    assert "e: no ratio" in ratio_picture([JAX, ("e", curve())]).description
    for nothing in ([], [("a", curve())]):
        with pytest.raises(ValueError, match="no curve has a ratio: nothing to draw"):
            ratio_picture(nothing)


def test_a_single_ratio_is_drawn_and_hostile_names_as_they_are(tmp_path):
    named = [(HOSTILE, curve(point(10.0, 1.0)))]
    figure = ratio_picture(named, title="$\\frac$<b>").draw()
    assert saves_as_text(ratio_picture(named), tmp_path)
    assert texts(figure.axes[0])[0].startswith(HOSTILE_DRAWN)
