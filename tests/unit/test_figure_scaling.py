"""The figure of growth laws: samples, laws, bands, what limits cut off, cliffs, names."""

from __future__ import annotations

import pytest

from firstgrad.figures.scaling import ScalingLine, ScalingPanel, describe_scaling, draw_scaling
from firstgrad.growth.fit import fit_growth_law
from firstgrad.growth.law import GrowthLaw, NoLaw, Observations
from firstgrad.metrics import Unit
from firstgrad.show.style import save_figure

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


def fitted(name, observations, **fields):
    return ScalingLine(name=name, observations=observations, law=fit_growth_law(observations), **fields)


def panel(*lines, title="Time to first gradient", unit=Unit.SECONDS):
    return ScalingPanel(title=title, unit=unit, lines=lines)


def only(axes, label):
    (found,) = [each for each in axes.lines if each.get_label() == label]
    return found


def texts(axes):
    return [each.get_text() for each in axes.texts]


def test_medians_bars_and_samples_are_where_they_were_measured():
    (axes,) = draw_scaling([panel(fitted("HMM", observed(lambda size: 3.0 + 0.05 * size)))]).axes
    medians = only(axes, "HMM")
    assert list(medians.get_xdata()) == list(SIZES)
    assert list(medians.get_ydata()) == pytest.approx([3.0 + 0.05 * size for size in SIZES])
    assert len(only(axes, "HMM: samples").get_xdata()) == len(SIZES) * len(WOBBLE)
    bars = [each for each in axes.collections if hasattr(each, "get_segments")]
    assert list(bars[0].get_segments()[0][:, 1]) == pytest.approx([3.5 * 0.97, 3.5 * 1.04])
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_ylabel()) == ("log", "log", "seconds")


def test_the_law_passes_through_its_planted_cost_and_says_its_exponent():
    line = fitted("HMM scan", observed(lambda size: 3.1 + 0.06 * size**1.3, wobble=(0.999, 1.0, 1.001)))
    (axes,) = draw_scaling([panel(line)], symbol="T").axes
    law = only(axes, "HMM scan: law")
    assert law.get_ydata()[0] == pytest.approx(3.1 + 0.06 * 10**1.3, rel=0.02)
    assert law.get_ydata()[-1] == pytest.approx(3.1 + 0.06 * 1000**1.3, rel=0.02)
    name, told = texts(axes)[0].splitlines()
    assert name == "HMM scan"
    assert told.startswith("T^1.30 [1.")
    assert told.endswith(" + 3.10 s")


def test_the_band_lies_around_the_law():
    (axes,) = draw_scaling([panel(fitted("a", observed(lambda size: size)))]).axes
    (band,) = [each for each in axes.collections if not hasattr(each, "get_segments")]
    extents = band.get_paths()[0].get_extents()
    assert (extents.x0, extents.x1) == pytest.approx((10, 1000))
    assert extents.y0 < 10 * 1.01
    assert extents.y1 > 1000 * 0.99


def test_each_host_has_a_line_of_its_level():
    (axes,) = draw_scaling([panel(fitted("a", observed(lambda size: size, hosts=(("one", 1.0), ("two", 3.0)))))]).axes
    one, two = [each for each in axes.lines if each.get_label() == "a: law"]
    assert two.get_ydata()[-1] / one.get_ydata()[-1] == pytest.approx(3.0, rel=0.02)
    assert len(only(axes, "a").get_xdata()) == 2 * len(SIZES)
    assert len(texts(axes)) == 1


def test_censored_samples_are_hollow_at_their_limit_with_arrows_upwards():
    line = fitted("a", observed(lambda size: size, limit=300.0))
    (axes,) = draw_scaling([panel(line)]).axes
    hollow = only(axes, "a: censored")
    assert list(hollow.get_xdata()) == [500.0, 1000.0]
    assert list(hollow.get_ydata()) == [300.0, 300.0]
    assert hollow.get_markerfacecolor() == "none"
    arrows = [each for each in axes.texts if not each.get_text()]
    assert [each.xy for each in arrows] == [(500.0, 300.0), (1000.0, 300.0)]
    assert all(each.xyann[1] > 0 for each in arrows)
    assert list(only(axes, "a").get_xdata()) == list(SIZES[:-2])
    assert "6 censored" in describe_scaling([panel(line)])


def test_a_cliff_is_marked_between_the_sizes_beside_it_with_its_factor():
    line = fitted("a", observed(lambda size: size * (8 if size > 150 else 1)))
    (cliff,) = line.law.cliffs
    (axes,) = draw_scaling([panel(line)]).axes
    mark = only(axes, "a: cliff 1")
    assert list(mark.get_xdata()) == [100.0, 200.0]
    assert list(mark.get_ydata()) == pytest.approx([100.0, 1600.0])
    assert cliff.factor == pytest.approx(16, rel=0.01)
    assert "cliff, factor 16" in texts(axes)
    assert "cliff from 100 to 200: factor 16" in describe_scaling([panel(line)])


def test_lines_of_one_key_look_alike_in_all_panels_and_others_differ_in_all_ways():
    hmm, none = observed(lambda size: 2 * size), observed(lambda size: size)
    panels = [
        panel(fitted("HMM", hmm, key="hmm"), fitted("no HMM", none, key="none"), title="c"),
        panel(fitted("no HMM", none, key="none"), fitted("HMM S=2", hmm, key="hmm"), title="jax"),
    ]
    first, second = draw_scaling(panels).axes

    def look(axes, name):
        law, medians = only(axes, f"{name}: law"), only(axes, name)
        return law.get_color(), law.get_linestyle(), medians.get_marker()

    assert look(first, "HMM") == look(second, "HMM S=2")
    assert look(first, "no HMM") == look(second, "no HMM")
    assert all(one != other for one, other in zip(look(first, "HMM"), look(first, "no HMM"), strict=True))
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["c", "jax"]
    assert first.get_xlim() == second.get_xlim()


def test_emphasised_lines_are_thicker():
    lines = (fitted("a", observed(lambda size: size), is_emphasised=True), fitted("b", observed(lambda size: 2 * size)))
    (axes,) = draw_scaling([panel(*lines)]).axes
    assert only(axes, "a: law").get_linewidth() > only(axes, "b: law").get_linewidth()


def test_what_does_not_grow_says_so():
    line = fitted("a", observed(lambda _: 5.0))
    (axes,) = draw_scaling([panel(line)]).axes
    assert texts(axes) == ["a\ndoes not grow"]


def test_without_a_law_the_samples_are_drawn_and_the_reason_is_told():
    seen = observed(lambda size: size, sizes=(10.0, 20.0))
    lines = (fitted("short", seen), ScalingLine(name="bare", observations=seen))
    assert isinstance(lines[0].law, NoLaw)
    (axes,) = draw_scaling([panel(*lines)]).axes
    assert set(texts(axes)) == {"short\nno law", "bare"}
    assert list(only(axes, "bare").get_xdata()) == [10.0, 20.0]
    assert f"no law ({lines[0].law.reason})" in describe_scaling([panel(*lines)])


def test_numbers_of_zero_are_left_out_and_counted():
    seen = observed(lambda size: size - 10.0)
    (axes,) = draw_scaling([panel(ScalingLine(name="a", observations=seen))]).axes
    assert list(only(axes, "a").get_xdata()) == list(SIZES[1:])
    assert "3 at 0 or below not shown" in describe_scaling([panel(ScalingLine(name="a", observations=seen))])


def test_an_axis_counts_in_the_unit_of_its_metric():
    line = fitted("a", observed(lambda size: size * 2**19))
    (axes,) = draw_scaling([panel(line, unit=Unit.BYTES)]).axes
    assert axes.get_ylabel() == "MiB"
    assert only(axes, "a").get_ydata()[0] == pytest.approx(5)


def test_a_panel_without_numbers_says_so_beside_one_with_numbers():
    empty = ScalingLine(name="empty", observations=Observations(sizes=(), values=(), is_censored=(), hosts=()))
    figure = draw_scaling([panel(empty), panel(fitted("a", observed(lambda size: size)))])
    assert texts(figure.axes[0]) == ["no numbers"]
    with pytest.raises(ValueError, match="no panel has an observation: nothing to draw"):
        draw_scaling([panel(empty)])
    for nothing in ([], [panel()]):
        with pytest.raises(ValueError, match="nothing to draw"):
            draw_scaling(nothing)
        with pytest.raises(ValueError, match="nothing to draw"):
            describe_scaling(nothing)


def test_names_at_the_ends_do_not_overlap():
    lines = [fitted(f"line {number}", observed(lambda size, n=number: (1 + 0.01 * n) * size)) for number in range(6)]
    figure = draw_scaling([panel(*lines)])
    figure.draw_without_rendering()
    boxes = [each.get_window_extent() for each in figure.axes[0].texts if each.get_text()]
    assert len(boxes) == 6
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)


def test_the_description_has_every_law():
    hmm = fitted("HMM", observed(lambda size: 3.0 + 0.05 * size))
    assert isinstance(hmm.law, GrowthLaw)
    text = describe_scaling([panel(hmm)], size="timesteps T", symbol="T")
    assert text.startswith("Lines along timesteps T")
    assert "HMM: 21 samples at 7 sizes, T^1.0" in text
    assert "linear" in text


def test_hostile_names_are_drawn_as_they_are(tmp_path):
    line = fitted("$x_1$<script>\n" + "long " * 40, observed(lambda size: size))
    panels = [panel(line, title="$\\frac$<b>\n" + "long " * 60)]
    figure = draw_scaling(panels, title="$" + "t" * 300, size="<size>", symbol="$n$")
    _, svg = save_figure(figure, tmp_path, "scaling", description=describe_scaling(panels))
    assert "<script>" not in svg.read_text()
    assert texts(figure.axes[0])[0].startswith("$x_1$<script>\N{REPLACEMENT CHARACTER}long")
    assert len(figure.axes[0].get_title(loc="left")) <= 110
