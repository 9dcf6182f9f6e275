"""Figures of bars: the phases of cases, one profile, what differs between two; files of figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import make_case, make_environment, make_record, memory, phases
from drawn import HOSTILE, HOSTILE_DRAWN, saves_as_text, texts, ticks, title, widths
from firstgrad.case import BackendName
from firstgrad.model import Model
from firstgrad.observe.events import Attribution
from firstgrad.phase import FIRST_GRADIENT_PHASES, Phase
from firstgrad.profiling.difference import find_difference
from firstgrad.record import Status
from firstgrad.show.bars import (
    difference_picture,
    phases_picture,
    profile_picture,
)
from firstgrad.show.style import PHASE_COLOURS, save_picture
from planted_profile import failed_profile, grown_profile, planted_profile, planted_record, planted_unit


def measured(seconds: dict[Phase, float], backend: BackendName = BackendName.FAKE):
    spent = {phase: seconds.get(phase, 0.0) for phase in FIRST_GRADIENT_PHASES}
    return make_record(
        case=make_case(backend=backend),
        phases=phases(spent),
        time_to_first_gradient_seconds=sum(spent.values()),
        memory=memory(100),
    )


def test_bars_have_the_phases_lengths_one_after_the_other():
    figure = phases_picture([measured({Phase.BUILD: 1.0, Phase.LINK: 2.5, Phase.FIRST_CALL: 4.0})]).draw()
    (axes,) = figure.axes
    assert widths(axes) == [1.0, 0.0, 0.0, 0.0, 2.5, 4.0]
    lefts = [bar.get_x() for bar in axes.patches]
    assert lefts == [0.0, 1.0, 1.0, 1.0, 1.0, 3.5]
    assert {"7.50 s, peak 100 MiB", "first_call"} <= set(texts(axes))


def samples(*totals, **fields):
    """Samples whose link takes three parts in four, and whose first call takes the rest."""
    found = [measured({Phase.LINK: 0.75 * total, Phase.FIRST_CALL: 0.25 * total}) for total in totals]
    return [replace(each, record_id=f"r{number}", **fields) for number, each in enumerate(found)]


def labels(figure):
    return ticks(figure.axes[0])


def test_samples_of_a_case_are_one_bar_of_medians_with_the_range_of_the_totals():
    figure = phases_picture(samples(8.0, 4.0, 12.0)).draw()
    (axes,) = figure.axes
    assert labels(figure) == ["some/file.py:build\nfake, cold, 3 samples"]
    assert widths(axes) == [0.0, 0.0, 0.0, 0.0, 6.0, 2.0]
    whisker, dot = axes.lines
    assert list(whisker.get_xdata()) == [4.0, 12.0]
    assert list(dot.get_xdata()) == [8.0]
    assert "8.00 s, peak 100 MiB\n[4.00 s, 12.0 s]" in texts(axes)
    assert axes.get_xlim()[1] > 12.0


def test_from_six_samples_on_the_whisker_is_the_interval_of_the_median():
    (axes,) = phases_picture(samples(*(float(number) for number in range(1, 10)))).draw().axes
    assert list(axes.lines[0].get_xdata()) == [2.0, 8.0]


def test_a_single_sample_has_no_whisker():
    assert not phases_picture(samples(4.0)).draw().axes[0].lines


def test_samples_under_unlike_conditions_are_never_one_bar():
    old = make_environment(versions=(("jax", "0.4"), ("pymc", "5.16.2")))
    new = make_environment(versions=(("jax", "0.5"), ("pymc", "6.4.0")))
    figure = phases_picture(samples(1.0, 2.0, environment=old) + samples(3.0, environment=new)).draw()
    assert labels(figure) == [
        "some/file.py:build\nfake, cold, pymc 5.16.2, 2 samples",
        "some/file.py:build\nfake, cold, pymc 6.4.0",
    ]


def test_commits_and_labels_have_bars_of_their_own():
    sides = [make_environment(git_commit=letter * 40, label=label) for letter, label in ("ab", "cb", "cd")]
    figure = phases_picture([record for side in sides for record in samples(1.0, 2.0, environment=side)]).draw()
    assert labels(figure) == [
        "some/file.py:build\nfake, cold, label b, commit aaaaaaaa, 2 samples",
        "some/file.py:build\nfake, cold, label b, commit cccccccc, 2 samples",
        "some/file.py:build\nfake, cold, label d, commit cccccccc, 2 samples",
    ]


def test_the_version_of_firstgrad_is_no_condition():
    environments = [make_environment(versions=(("firstgrad", version),)) for version in ("1", "2")]
    records = [each for environment in environments for each in samples(1.0, environment=environment)]
    assert labels(phases_picture(records).draw()) == ["some/file.py:build\nfake, cold, 2 samples"]


def test_samples_whose_numbers_do_not_count_are_left_out():
    bad = samples(100.0, status=Status.MISMATCH)
    assert labels(phases_picture(samples(1.0) + bad).draw()) == ["some/file.py:build\nfake, cold"]
    with pytest.raises(ValueError, match="nothing to draw"):
        phases_picture(bad)


def test_what_is_too_short_to_be_named_within_is_named_beside():
    short, long = samples(1.0), samples(100.0, case=make_case("other.py:build"))
    beside = texts(phases_picture(short + long).draw().axes[0])
    assert {"1.00 s, peak 100 MiB, most in link", "100 s, peak 100 MiB"} <= set(beside)


def test_hostile_names_of_models_are_drawn_as_they_are(tmp_path):
    records = samples(1.0, case=make_case(f"{HOSTILE}.py:build"))
    figure = phases_picture(records).draw()
    assert saves_as_text(phases_picture(records), tmp_path)
    (label,) = labels(figure)
    assert label.startswith(HOSTILE_DRAWN)
    assert max(len(part) for part in label.splitlines()) <= 60


def test_a_record_a_row_and_those_without_a_gradient_are_left_out():
    good = measured({Phase.BUILD: 1.0})
    other = measured({Phase.BUILD: 2.0}, BackendName.C)
    failed = replace(good, time_to_first_gradient_seconds=None, phases=())
    figure = phases_picture([good, failed, other]).draw()
    assert [label.splitlines()[1] for label in labels(figure)] == ["fake, cold", "c, cold"]
    with pytest.raises(ValueError, match="nothing to draw"):
        phases_picture([failed])


def test_the_description_says_what_the_picture_shows():
    text = phases_picture([measured({Phase.LINK: 3.0, Phase.FIRST_CALL: 9.0})]).description
    assert "12.0 s, of it first_call 75%" in text
    several = phases_picture(samples(8.0, 4.0, 12.0)).description
    assert "fake, cold, 3 samples: 8.00 s [4.00 s, 12.0 s], of it link 75%" in several


def test_every_phase_has_a_colour_of_its_own():
    assert set(PHASE_COLOURS) == set(Phase)
    assert len(set(PHASE_COLOURS.values())) == len(Phase)


def test_files_hold_their_description_and_are_the_same_each_time(tmp_path):
    records = [measured({Phase.BUILD: 1.0})]
    first, second = (save_picture(phases_picture(records), tmp_path / folder) for folder in ("a", "b"))
    assert [path.name for path in first] == ["phases.png", "phases.svg"]
    assert "Stacked bars of the time to first gradient by phase" in first[1].read_text()
    assert first[1].read_bytes() == second[1].read_bytes()


def colours(axes):
    from matplotlib.colors import to_hex

    return [to_hex(bar.get_facecolor()).upper() for bar in axes.patches]


def test_phases_are_bars_in_order_with_their_share():
    above, _ = profile_picture(planted_profile()).draw().axes
    assert ticks(above) == ["build", "logp_graph", "grad_graph", "rewrite", "link", "first_call"]
    assert widths(above) == [0.2, 0.3, 0.5, 3.0, 1.0, 5.0]
    assert texts(above)[-1] == "5.00 s (50%)"
    assert colours(above)[-1] == PHASE_COLOURS[Phase.FIRST_CALL]


def test_passes_and_units_are_bars_together_in_the_colours_of_their_phases():
    _, below = profile_picture(planted_profile()).draw().axes
    assert ticks(below) == [
        "Elemwise (kernel_0)\nfor raw_u_3, root, rho, …",
        "pass fusion",
        "Dot (kernel_1)\nfor raw_u_3, root, rho, …",
        "pass inplace",
        "pass look",
    ]
    assert widths(below) == [3.5, 2.0, 1.0, 0.5, 0.0001]
    first, rewrite = PHASE_COLOURS[Phase.FIRST_CALL], PHASE_COLOURS[Phase.REWRITE]
    assert colours(below) == [first, rewrite, first, rewrite, rewrite]
    assert texts(below)[:2] == ["3.50 s, in first_call", "2.00 s, in rewrite"]


def test_only_the_slowest_are_drawn():
    letters = "abcdefghijklmnopqrstuvwxyzABCD"
    units = tuple(planted_unit(number, 0.1 * number, name=f"kernel_{letters[number]}") for number in range(30))
    _, below = profile_picture(planted_profile(units=units), top=4).draw().axes
    assert widths(below) == pytest.approx([2.9, 2.8, 2.7, 2.6])


def test_however_many_are_asked_for_the_figure_can_be_drawn():
    profile = planted_profile(
        units=tuple(planted_unit(0, 0.1, name=f"{'ab'[number % 2]}{'x' * number}") for number in range(300))
    )
    axes = profile_picture(profile, top=5000).draw().axes[1]
    assert len(axes.patches) == 60


def test_a_long_case_is_written_within_the_figure():
    case = replace(planted_profile().record.case, model=Model(reference=f"{'a_model_/' * 20}m.py:build"))
    base, head = planted_profile(), grown_profile()
    base, head = (replace(each, record=replace(each.record, case=case)) for each in (base, head))
    for figure in (profile_picture(base).draw(), difference_picture(find_difference(base, head)).draw()):
        figure.draw_without_rendering()
        assert figure.get_suptitle().count("\n") >= 2
        assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1


def test_functions_that_differ_by_a_number_are_one_bar():
    _, below = (
        profile_picture(planted_profile(units=tuple(planted_unit(number, 1.0) for number in range(7)))).draw().axes
    )
    assert widths(below)[0] == pytest.approx(7.0)
    assert "kernel_# x7" in ticks(below)[0]


def test_a_unit_whose_phase_is_not_known_is_drawn_and_says_so():
    unit = planted_unit(1, 9.0, phase=None, op="", sources=())
    _, below = profile_picture(planted_profile(units=(unit,))).draw().axes
    assert ticks(below)[0] == "kernel_1"
    assert texts(below)[0] == "9.00 s, in no known phase"


def test_a_profile_without_passes_and_units_has_phases_alone():
    bare = replace(planted_profile(record_id="r"), attribution=Attribution(), record=planted_record(rewrite_passes=()))
    (axes,) = profile_picture(bare).draw().axes
    assert len(ticks(axes)) == 6
    assert "Slowest" not in profile_picture(bare).description


def test_a_failed_profile_shows_what_ended_and_one_without_phases_is_refused():
    (axes,) = profile_picture(failed_profile()).draw().axes
    assert ticks(axes) == ["build"]
    nothing = replace(failed_profile(), record=planted_record(phases={}))
    with pytest.raises(ValueError, match="no phase that ended"):
        profile_picture(nothing)


def test_a_profile_in_words_names_phases_and_the_slowest():
    text = profile_picture(planted_profile(), top=2).description
    assert "first_call 5.00 s (50%)" in text
    assert "raw_u_3" in text
    assert "inplace" not in text
    assert "Slowest within: " in text


def test_the_difference_has_pairs_of_bars_by_unit():
    seconds, counts, memory = difference_picture(find_difference(planted_profile(), grown_profile())).draw().axes
    assert ticks(seconds) == [
        "time to first gradient",
        "phase first_call",
        "unit kernel_# Elemwise",
        "phase rewrite",
        "pass fusion",
        "unit kernel_# Sum",
    ]
    base, head = widths(seconds)[:6], widths(seconds)[6:]
    assert base == [10.0, 5.0, 3.5, 3.0, 2.0, 0.0]
    assert head == [13.04, 7.0, 4.7, 4.0, 3.0, 0.8]
    assert "7.00 s  x1.4" in texts(seconds)
    assert texts(seconds)[5] == "none"
    assert ticks(counts)[:2] == ["nodes before rewriting", "nodes after rewriting"]
    assert "nodes Elemwise, after rewriting" in ticks(counts)
    assert "peak" in ticks(memory)
    assert title(memory) == "Resident memory [MiB]"


def test_the_difference_draws_only_the_largest():
    for axes in difference_picture(find_difference(planted_profile(), grown_profile()), top=2).draw().axes:
        assert len(ticks(axes)) <= 2


def test_no_change_is_refused_and_described():
    same = find_difference(planted_profile(), planted_profile())
    with pytest.raises(ValueError, match="nothing changed by more than noise"):
        difference_picture(same)
    grown = difference_picture(find_difference(planted_profile(), grown_profile()))
    assert "phase first_call 5.00 s to 7.00 s" in grown.description


def test_names_that_matplotlib_might_read_are_drawn_and_saved(tmp_path):
    odd = planted_unit(1, 3.0, op="$\\frac{1}{$ <b>&\x00" + "x" * 200, sources=("$a_1$", "\ud800"))
    profile = planted_profile(units=(odd,))
    for path in save_picture(profile_picture(profile), tmp_path):
        assert path.stat().st_size > 1000
