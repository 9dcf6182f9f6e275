"""The forest plot of a comparison: rows, ratios, intervals, verdicts, words."""

from __future__ import annotations

import pytest

from drawn import HOSTILE, HOSTILE_DRAWN, saves_as_text, ticks
from firstgrad.case import BackendName
from firstgrad.comparing.comparison import compare
from firstgrad.comparing.judge import Thresholds
from firstgrad.model import Model
from firstgrad.phase import Phase
from firstgrad.record import Failure, Memory, Status
from firstgrad.show.forest import forest_picture
from helpers import MIB, make_case, make_environment, make_record


def sample(case, label, seconds, *, number=0, peak=100.0, failed=""):
    failure = Failure(kind="CompileError", message=failed, phase=Phase.LINK) if failed else None
    return make_record(
        record_id=f"{case.id}-{label}-{number}",
        case=case,
        environment=make_environment(label=label),
        status=Status.FAILED if failed else Status.OK,
        failure=failure,
        time_to_first_gradient_seconds=None if failed else seconds,
        memory=Memory(peak_rss_bytes=int(peak * MIB)),
    )


def samples(name, base, head, **fields):
    case = make_case(model=Model(reference=f"{name}.py:build"))
    return [
        *(sample(case, "old", each, number=i) for i, each in enumerate(base)),
        *(sample(case, "new", each, number=i, **fields) for i, each in enumerate(head)),
    ]


def compared(records, **fields):
    return compare(records, "old", "new", **fields)


def rows(figure):
    """Each row's name, and the verdict written beside it."""
    (axes,) = figure.axes
    beside = {text.get_position()[1]: text.get_text() for text in axes.texts if text.get_position()[0] > 1}
    return {name: beside[number] for number, name in enumerate(ticks(axes))}


def words(figure):
    """What stands within the rows."""
    return [text.get_text() for text in figure.axes[0].texts if text.get_position()[0] < 1]


def bar(figure, row):
    """The interval and the median of a row."""
    found = {each.get_label(): each for each in figure.axes[0].lines if row in each.get_ydata()}
    interval, median = found["interval"], found["ratio"]
    return tuple(interval.get_xdata()), median.get_xdata()[0]


def test_a_row_has_the_ratio_and_its_interval():
    comparison = compared(samples("a", [10.0, 10.1, 10.2], [20.0, 20.2, 20.4]))
    ratio = comparison.cases[0].metrics[0].ratio
    figure = forest_picture(comparison).draw()
    interval, median = bar(figure, 0)
    assert interval == pytest.approx((ratio.low, ratio.high))
    assert median == ratio.value == pytest.approx(2.0)
    assert 1.9 < ratio.low < 2.0 < ratio.high < 2.1
    assert rows(figure) == {"this case": f"slower 2.00 [{ratio.low:.2f}, {ratio.high:.2f}]"}
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    left, right = axes.get_xlim()
    assert left < 1
    assert right > ratio.high


def test_the_worst_stand_first_and_each_verdict_has_its_marker():
    records = [
        *samples("same", [10.0, 10.1, 10.2], [10.0, 10.1, 10.3]),
        *samples("faster", [10.0, 10.1, 10.2], [5.0, 5.1, 5.2]),
        *samples("undecided", [10.0, 10.1, 20.0], [15.0, 15.1, 15.2]),
        *samples("slower", [10.0, 10.1, 10.2], [20.0, 20.1, 20.2]),
        *samples("slowest", [10.0, 10.1, 10.2], [40.0, 40.1, 40.2]),
        *samples("gone", [10.0, 10.1, 10.2], []),
        *samples("failed", [10.0], [0.0], failed="no linker"),
    ]
    figure = forest_picture(compared(records)).draw()
    order = [name.partition(".py")[0] for name in rows(figure)]
    assert order == ["failed", "slowest", "slower", "undecided", "gone", "faster", "same"]
    verdicts = [text.split()[0] for text in rows(figure).values()]
    assert verdicts == ["failed", "slower", "slower", "undecided", "missing", "faster", "same"]
    markers = {each.get_label(): each.get_marker() for each in figure.axes[0].lines if each.get_label() in verdicts}
    assert len(set(markers.values())) == 6
    assert words(figure) == ["on HEAD 1 of 1 samples: failed in link: CompileError: no linker", "on BASE only"]


def test_the_shade_is_the_noise_of_each_rows_metric():
    thresholds = Thresholds(noise_factor=1.5)
    records = samples("a", [10.0, 10.0, 10.0], [10.0, 10.0, 10.0])
    figure = forest_picture(compared(records, thresholds=thresholds), ["time_to_first_gradient", "peak_memory"]).draw()
    shades = [each.get_paths()[0].get_extents() for each in figure.axes[0].collections]
    assert [(each.x0, each.x1) for each in shades] == [pytest.approx((1 / 1.5, 1.5))] * 2
    assert list(rows(figure)) == ["this case\ntime to first gradient", "this case\npeak memory, compilers included"]


def test_rows_beyond_the_most_are_counted():
    records = [each for i in range(5) for each in samples(f"case{i}", [10.0] * 3, [10.0 + i] * 3)]
    comparison = compared(records)
    figure = forest_picture(comparison, most_rows=2).draw()
    assert [name.partition(".py")[0] for name in rows(figure)] == ["case4", "case3"]
    assert "3 more rows are left out" in figure.axes[0].get_xlabel()
    assert "left out" not in forest_picture(comparison).draw().axes[0].get_xlabel()
    assert "and 3 more" in forest_picture(comparison, most_told=2).description


def test_an_interval_beyond_all_measure_reaches_the_edge_with_an_arrow():
    figure = forest_picture(compared(samples("a", [0.001, 10.0, 1000.0], [0.001, 10.0, 2000.0]))).draw()
    (axes,) = figure.axes
    assert bar(figure, 0)[0] == pytest.approx(axes.get_xlim())
    assert [each.get_marker() for each in axes.lines if each.get_label() == "no end"] == ["<", ">"]
    assert axes.get_xlim()[1] < 100


def test_the_figure_says_what_was_compared():
    records = samples("a", [10.0] * 3, [10.0] * 3)
    assert forest_picture(compared(records)).draw().get_suptitle().splitlines() == [
        "Time to first gradient",
        "BASE label old, HEAD label new",
        str(records[0].case),
    ]
    # A metric without a ratio says its numbers; cases that differ in their limits only are told apart.
    assert words(forest_picture(compared(samples("a", [0.0] * 3, [10.0] * 3))).draw()) == [
        "0 s on BASE, 10.0 s on HEAD"
    ]
    cases = [make_case(evaluations=number) for number in (1, 2)]
    records = [sample(case, label, 10.0, number=i) for case in cases for label in ("old", "new") for i in range(3)]
    assert len(rows(forest_picture(compared(records)).draw())) == 2


def test_the_description_counts_the_verdicts_and_names_the_worst():
    records = samples("a", [10.0] * 3, [10.0] * 3) + samples("b", [10.0] * 3, [30.0] * 3)
    text = forest_picture(compared(records)).description
    assert "2 rows: 1 slower, 1 same" in text
    assert text.index("b.py:build, fake, dlogp, cold: slower 3.00") < text.index(
        "a.py:build, fake, dlogp, cold: same 1.00"
    )


def test_what_cannot_be_drawn_is_refused():
    comparison = compared(samples("a", [10.0] * 3, [10.0] * 3))
    with pytest.raises(ValueError, match="none named 'speed'"):
        forest_picture(comparison, ["speed"])
    with pytest.raises(ValueError, match="no case of this comparison has retained_memory: nothing to draw"):
        forest_picture(comparison, ["retained_memory"])
    with pytest.raises(ValueError, match="nothing to draw"):
        forest_picture(comparison, [])


def test_hostile_names_are_drawn_as_they_are_and_within_the_figure(tmp_path):
    hostile = "$\\frac$ <b>\nsecond line " + "long " * 40
    records = samples(HOSTILE, [10.0] * 3, [20.0] * 3) + samples("b", [10.0] * 3, [0.0] * 3, failed=hostile)
    records += [sample(make_case(backend=BackendName.C), side, 1.0) for side in ("old", "new")]
    picture = forest_picture(compared(records))
    assert saves_as_text(picture, tmp_path)
    figure = picture.draw()
    figure.draw_without_rendering()
    assert any(each.startswith(HOSTILE_DRAWN) for each in rows(figure))
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)
    (inside,) = [text for text in figure.axes[0].texts if text.get_text().startswith("on HEAD")]
    assert inside.get_window_extent().x1 <= figure.axes[0].bbox.x1 * 1.01
