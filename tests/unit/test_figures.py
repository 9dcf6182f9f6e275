from __future__ import annotations

from dataclasses import replace

import pytest

from firstgrad.case import BackendName
from firstgrad.figures.phases import describe_phases, draw_phases
from firstgrad.figures.style import PHASE_COLOURS, save_figure
from firstgrad.record import FIRST_GRADIENT_PHASES, Memory, Phase, PhaseRecord
from helpers import make_record


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
