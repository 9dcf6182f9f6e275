from __future__ import annotations

from dataclasses import replace

import pytest

from firstgrad.case import BackendName
from firstgrad.figures.phases import describe_phases, draw_phases
from firstgrad.record import FIRST_GRADIENT_PHASES, Memory, Phase, PhaseRecord, Status
from firstgrad.show.style import PHASE_COLOURS, save_figure
from helpers import make_case, make_environment, make_record


def measured(seconds: dict[Phase, float], backend: BackendName = BackendName.FAKE):
    record = make_record()
    phases, began = [], 0.0
    for phase in FIRST_GRADIENT_PHASES:
        wall = seconds.get(phase, 0.0)
        phases.append(PhaseRecord(phase=phase, began_seconds=began, wall_seconds=wall, cpu_seconds=wall))
        began += wall
    return replace(
        record,
        case=replace(record.case, backend=backend),
        phases=tuple(phases),
        time_to_first_gradient_seconds=began,
        memory=Memory(peak_rss_bytes=100 * 2**20),
    )


def test_bars_have_the_phases_lengths_one_after_the_other():
    figure = draw_phases([measured({Phase.BUILD: 1.0, Phase.LINK: 2.5, Phase.FIRST_CALL: 4.0})])
    (axes,) = figure.axes
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == [1.0, 0.0, 0.0, 0.0, 2.5, 4.0]
    lefts = [bar.get_x() for bar in axes.patches]
    assert lefts == [0.0, 1.0, 1.0, 1.0, 1.0, 3.5]
    texts = [text.get_text() for text in axes.texts]
    assert "7.50 s, peak 100 MiB" in texts
    assert "first_call" in texts


def samples(*totals, **fields):
    """Samples whose link takes three parts in four, and whose first call takes the rest."""
    found = [measured({Phase.LINK: 0.75 * total, Phase.FIRST_CALL: 0.25 * total}) for total in totals]
    return [replace(each, record_id=f"r{number}", **fields) for number, each in enumerate(found)]


def labels(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_samples_of_a_case_are_one_bar_of_medians_with_the_range_of_the_totals():
    figure = draw_phases(samples(8.0, 4.0, 12.0))
    (axes,) = figure.axes
    assert labels(figure) == ["some/file.py:build\nfake, cold, 3 samples"]
    assert [bar.get_width() for bar in axes.patches] == [0.0, 0.0, 0.0, 0.0, 6.0, 2.0]
    whisker, dot = axes.lines
    assert list(whisker.get_xdata()) == [4.0, 12.0]
    assert list(dot.get_xdata()) == [8.0]
    assert "8.00 s, peak 100 MiB\n[4.00 s, 12.0 s]" in [text.get_text() for text in axes.texts]
    assert axes.get_xlim()[1] > 12.0


def test_from_six_samples_on_the_whisker_is_the_interval_of_the_median():
    (axes,) = draw_phases(samples(*(float(number) for number in range(1, 10)))).axes
    assert list(axes.lines[0].get_xdata()) == [2.0, 8.0]


def test_a_single_sample_has_no_whisker():
    assert not draw_phases(samples(4.0)).axes[0].lines


def test_samples_under_unlike_conditions_are_never_one_bar():
    old = make_environment(versions=(("jax", "0.4"), ("pymc", "5.16.2")))
    new = make_environment(versions=(("jax", "0.5"), ("pymc", "6.4.0")))
    figure = draw_phases(samples(1.0, 2.0, environment=old) + samples(3.0, environment=new))
    assert labels(figure) == [
        "some/file.py:build\nfake, cold, pymc 5.16.2, 2 samples",
        "some/file.py:build\nfake, cold, pymc 6.4.0",
    ]


def test_the_version_of_firstgrad_is_no_condition():
    environments = [make_environment(versions=(("firstgrad", version),)) for version in ("1", "2")]
    records = [each for environment in environments for each in samples(1.0, environment=environment)]
    assert labels(draw_phases(records)) == ["some/file.py:build\nfake, cold, 2 samples"]


def test_samples_whose_numbers_do_not_count_are_left_out():
    bad = samples(100.0, status=Status.MISMATCH)
    assert labels(draw_phases(samples(1.0) + bad)) == ["some/file.py:build\nfake, cold"]
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_phases(bad)


def test_what_is_too_short_to_be_named_within_is_named_beside():
    short, long = samples(1.0), samples(100.0, case=make_case("other.py:build"))
    texts = [text.get_text() for text in draw_phases(short + long).axes[0].texts]
    assert "1.00 s, peak 100 MiB, most in link" in texts
    assert "100 s, peak 100 MiB" in texts


def test_hostile_names_of_models_are_drawn_as_they_are(tmp_path):
    records = samples(1.0, case=make_case("odd/$x_$<script>\n" + "long " * 60 + ".py:build"))
    figure = draw_phases(records)
    _, svg = save_figure(figure, tmp_path, "phases", description=describe_phases(records))
    assert "<script>" not in svg.read_text()
    (label,) = labels(figure)
    assert label.startswith("odd/$x_$<script>\N{REPLACEMENT CHARACTER}long")
    assert max(len(part) for part in label.splitlines()) <= 60


def test_a_record_a_row_and_those_without_a_gradient_are_left_out():
    good = measured({Phase.BUILD: 1.0})
    other = measured({Phase.BUILD: 2.0}, BackendName.C)
    failed = replace(good, time_to_first_gradient_seconds=None, phases=())
    figure = draw_phases([good, failed, other])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [label.splitlines()[1] for label in labels] == ["fake, cold", "c, cold"]
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_phases([failed])


def test_the_description_says_what_the_picture_shows():
    text = describe_phases([measured({Phase.LINK: 3.0, Phase.FIRST_CALL: 9.0})])
    assert "12.0 s, of it first_call 75%" in text
    several = describe_phases(samples(8.0, 4.0, 12.0))
    assert "fake, cold, 3 samples: 8.00 s [4.00 s, 12.0 s], of it link 75%" in several


def test_every_phase_has_a_colour_of_its_own():
    assert set(PHASE_COLOURS) == set(Phase)
    assert len(set(PHASE_COLOURS.values())) == len(Phase)


def test_files_hold_their_description_and_are_the_same_each_time(tmp_path):
    records = [measured({Phase.BUILD: 1.0})]
    first = save_figure(draw_phases(records), tmp_path / "a", "phases", description="what it shows")
    second = save_figure(draw_phases(records), tmp_path / "b", "phases", description="what it shows")
    assert [path.name for path in first] == ["phases.png", "phases.svg"]
    assert "what it shows" in first[1].read_text()
    assert first[1].read_bytes() == second[1].read_bytes()
