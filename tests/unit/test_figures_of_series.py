"""The data of the figures along commits and releases: lines, bars, crosses, names."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from drawn import line, saves_as_text, texts, title
from firstgrad.case import BackendName, Case, Scenario
from firstgrad.columns import Unit, metric_named
from firstgrad.estimates import estimate_median
from firstgrad.growth.series import commit_axis, group_records, make_series
from firstgrad.pose.spec import HmmSpec, PoseSpec
from firstgrad.record import Failure, Memory, Status
from firstgrad.show.drawing import scale_of, spread
from firstgrad.show.series import PANELS, releases_picture, series_picture
from firstgrad.show.words import shown, split_common, write_estimate, write_value
from helpers import MIB, make_case, make_environment, make_record

COMMITS = {letter * 40: f"commit {letter}" for letter in "abc"}
DIGESTS = tuple(COMMITS)


def sample(seconds, *, case, number=0, commit="", pymc="6.4.0", failed=False):
    record = make_record(
        record_id=f"{case.id}-{commit}-{pymc}-{number}",
        case=case,
        environment=make_environment(git_commit=commit, versions=(("pymc", pymc),)),
        time_to_first_gradient_seconds=seconds,
        time_to_first_gradient_cpu_seconds=seconds / 2,
        evaluation_seconds=(seconds / 1000,),
        memory=Memory(peak_rss_bytes=300 * MIB),
    )
    failure = Failure(kind="CompileError", message="no")
    return replace(record, status=Status.FAILED, failure=failure) if failed else record


def drawn(records, metric="time_to_first_gradient"):
    axis = commit_axis(records, COMMITS)
    series = make_series(group_records(records, axis), metric_named(metric))
    picture = series_picture(series, axis)
    return picture.draw(), picture


def release_records():
    found = []
    for pymc in ("5.28.5", "6.0.0", "6.4.0"):
        for backend in ("c", "jax", "numba"):
            if backend == "numba" and pymc.startswith("5"):
                continue
            for scenario in (Scenario.COLD, Scenario.WARM):
                case = make_case(backend=BackendName(backend), scenario=scenario)
                is_bad = (backend, pymc) == ("jax", "6.0.0")
                found += [sample(5.0 + i, case=case, number=i, pymc=pymc, failed=is_bad) for i in range(3)]
    return found


def test_a_line_has_the_medians_and_bars_have_the_intervals():
    case = make_case()
    records = [sample(1.0 + i + 3 * j, case=case, number=i, commit=DIGESTS[j]) for i in range(3) for j in (0, 1)]
    figure, picture = drawn(records)
    (axes,) = figure.axes
    assert list(line(axes, "fake").get_ydata()) == [2.0, 5.0]
    segments = [segment.tolist() for bars in axes.collections for segment in bars.get_segments()]
    assert segments == [[[0, 1], [0, 3]], [[1, 4], [1, 6]]]
    assert axes.get_ylabel() == "seconds"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a" * 10, "b" * 10]
    assert axes.get_ylim()[0] == 0
    assert "2.00 s at aaaaaaaaaa, 5.00 s at bbbbbbbbbb" in picture.description


def test_each_scenario_has_a_panel_and_each_model_a_name_at_its_line():
    models = (PoseSpec(), PoseSpec(hmm=HmmSpec(n_states=2)))
    records = [
        sample(2.0, case=Case(model=model, backend=BackendName.JAX, scenario=scenario), commit=DIGESTS[0])
        for model in models
        for scenario in (Scenario.COLD, Scenario.WARM)
    ]
    figure, _ = drawn(records)
    assert [title(axes) for axes in figure.axes] == ["jax, cold", "jax, warm"]
    for axes in figure.axes:
        assert set(texts(axes)) == {"no HMM", "HMM S=2 scan"}
    assert figure.get_suptitle() == "Time to first gradient\npose T=100 K=5"


def test_a_failure_breaks_the_line_and_is_marked():
    case = make_case()
    records = [
        sample(2.0, case=case, commit=DIGESTS[0]),
        sample(0.0, case=case, commit=DIGESTS[1], failed=True),
        sample(3.0, case=case, commit=DIGESTS[2]),
    ]
    figure, picture = drawn(records)
    (axes,) = figure.axes
    medians = line(axes, "fake").get_ydata()
    assert (medians[0], medians[2]) == (2.0, 3.0)
    assert math.isnan(medians[1])
    assert list(line(axes, "fake: failed").get_xdata()) == [1]
    assert "failed" in set(texts(axes))
    assert "failed samples at bbbbbbbbbb" in picture.description


def test_only_failures_are_drawn_too():
    figure, picture = drawn([sample(0.0, case=make_case(), commit=DIGESTS[0], failed=True)])
    assert set(texts(figure.axes[0])) == {"no numbers", "failed"}
    assert "no numbers, failed samples at" in picture.description
    with pytest.raises(ValueError, match="nothing to draw"):
        drawn([])


@pytest.mark.parametrize(("seconds", "scale"), [((1.0, 9.0), "linear"), ((1.0, 11.0), "log"), ((0.0, 100.0), "linear")])
def test_the_axis_is_logarithmic_where_the_span_demands_it(seconds, scale):
    records = [sample(each, case=make_case(), commit=DIGESTS[j]) for j, each in enumerate(seconds)]
    figure, _ = drawn(records)
    assert figure.axes[0].get_yscale() == scale


def test_hostile_names_are_drawn_as_they_are(tmp_path):
    case = make_case("odd/$x_$<b>&\x07.py:build")
    figure, picture = drawn([sample(1.0, case=case, commit=DIGESTS[0])])
    assert saves_as_text(picture, tmp_path)
    assert figure.get_suptitle().endswith(r"odd/$x_$<b>&\x07.py:build")


def test_the_releases_emphasise_the_default_backend_of_each():
    figure = releases_picture(release_records()).draw()
    assert [title(axes) for axes in figure.axes] == [title for title, _, _ in PANELS]
    axes = figure.axes[0]
    assert list(line(axes, "c").get_xdata()) == [0, 1, 2]
    assert list(line(axes, "c: default").get_xdata()) == [0]
    assert list(line(axes, "numba: default").get_xdata()) == [1, 2]
    assert not [each for each in axes.lines if each.get_label() == "jax: default"]
    assert list(line(axes, "jax: failed").get_xdata()) == [1]
    assert list(line(axes, "numba").get_ydata()) == [6.0, 6.0]
    text = releases_picture(release_records()).description
    assert "(c until 5.28.5, numba from 6.0.0)" in text
    assert "jax: 6.00 s at 5.28.5, 6.00 s at 6.4.0, failed samples at 6.0.0" in text
    with pytest.raises(ValueError, match="nothing to draw"):
        releases_picture([make_record()])


def test_names_are_kept_apart_within_the_panel():
    assert spread([0.2, 0.5], 0.1) == [0.2, 0.5]
    assert spread([0.5, 0.5, 0.5], 0.1) == pytest.approx([0.5, 0.6, 0.7])
    assert spread([0.97, 0.98], 0.1) == pytest.approx([0.9, 1.0])
    assert spread([], 0.1) == []


def test_common_words_are_said_once():
    assert split_common(["pose T=1 no HMM", "pose T=1 no HMM tree"]) == ("pose T=1", ["no HMM", "no HMM tree"])
    assert split_common(["a b", "a b"]) == ("a b", ["", ""])
    assert split_common(["a b", "a"]) == ("", ["a b", "a"])
    assert shown("a\nb" + "c" * 90, 10) == r"a\nbccccc…"


def test_numbers_have_units_and_an_axis_has_one():
    assert write_value(Unit.COUNT, 12345) == "12,345"
    assert write_value(Unit.BYTES, 300 * MIB) == "300 MiB"
    assert (scale_of(Unit.SECONDS, [0.002]).unit, scale_of(Unit.BYTES, [3.0e9]).unit) == ("milliseconds", "GiB")
    assert scale_of(Unit.COUNT, []).unit == ""
    assert write_estimate(Unit.SECONDS, estimate_median([2.0])) == "2.00 s"  # no interval
    assert write_estimate(Unit.SECONDS, estimate_median([1.0, 2.0, 3.0])) == "2.00 s [1.00 s, 3.00 s]"
