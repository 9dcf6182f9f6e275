"""The figures of profiles: what their bars are as long as, and what they say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firstgrad.analysis.profile_difference import find_difference
from firstgrad.case import ExternalModel
from firstgrad.figures.profile import describe_profile, draw_profile
from firstgrad.figures.profile_difference import describe_profile_difference, draw_profile_difference
from firstgrad.profile import Attribution
from firstgrad.record import Phase
from firstgrad.show.style import PHASE_COLOURS, save_figure
from planted_profile import failed_profile, grown_profile, planted_profile, planted_record, planted_unit


def names(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def colours(axes):
    from matplotlib.colors import to_hex

    return [to_hex(bar.get_facecolor()).upper() for bar in axes.patches]


def widths(axes):
    return [bar.get_width() for bar in axes.patches]


def texts(axes):
    return [each.get_text() for each in axes.texts]


def test_phases_are_bars_in_order_with_their_share():
    above, _ = draw_profile(planted_profile()).axes
    assert names(above) == ["build", "logp_graph", "grad_graph", "rewrite", "link", "first_call"]
    assert widths(above) == [0.2, 0.3, 0.5, 3.0, 1.0, 5.0]
    assert texts(above)[-1] == "5.00 s (50%)"
    assert colours(above)[-1] == PHASE_COLOURS[Phase.FIRST_CALL]


def test_passes_and_units_are_bars_together_in_the_colours_of_their_phases():
    _, below = draw_profile(planted_profile()).axes
    assert names(below) == [
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


def test_only_the_dearest_are_drawn():
    letters = "abcdefghijklmnopqrstuvwxyzABCD"
    units = tuple(planted_unit(number, 0.1 * number, name=f"kernel_{letters[number]}") for number in range(30))
    _, below = draw_profile(planted_profile(units=units), top=4).axes
    assert widths(below) == pytest.approx([2.9, 2.8, 2.7, 2.6])


def test_however_many_are_asked_for_the_figure_can_be_drawn():
    profile = planted_profile(
        units=tuple(planted_unit(0, 0.1, name=f"{'ab'[number % 2]}{'x' * number}") for number in range(300))
    )
    axes = draw_profile(profile, top=5000).axes[1]
    assert len(axes.patches) == 60


def test_a_long_case_is_written_within_the_figure():
    case = replace(planted_profile().record.case, model=ExternalModel(reference=f"{'a_model_/' * 20}m.py:build"))
    base, contender = planted_profile(), grown_profile()
    base, contender = (replace(each, record=replace(each.record, case=case)) for each in (base, contender))
    for figure in (draw_profile(base), draw_profile_difference(find_difference(base, contender))):
        figure.draw_without_rendering()
        assert figure.get_suptitle().count("\n") >= 2
        assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1


def test_functions_that_differ_by_a_number_are_one_bar():
    _, below = draw_profile(planted_profile(units=tuple(planted_unit(number, 1.0) for number in range(7)))).axes
    assert widths(below)[0] == pytest.approx(7.0)
    assert "kernel_# x7" in names(below)[0]


def test_a_unit_whose_phase_is_not_known_is_drawn_and_says_so():
    unit = planted_unit(1, 9.0, phase=None, op="", sources=())
    _, below = draw_profile(planted_profile(units=(unit,))).axes
    assert names(below)[0] == "kernel_1"
    assert texts(below)[0] == "9.00 s, in no known phase"


def test_a_profile_without_passes_and_units_has_phases_alone():
    bare = replace(planted_profile(record_id="r"), attribution=Attribution(), record=planted_record(rewrite_passes=()))
    (axes,) = draw_profile(bare).axes
    assert len(names(axes)) == 6
    assert "Dearest" not in describe_profile(bare)


def test_a_failed_profile_shows_what_ended_and_one_without_phases_is_refused():
    (axes,) = draw_profile(failed_profile()).axes
    assert names(axes) == ["build"]
    nothing = replace(failed_profile(), record=planted_record(phases={}))
    with pytest.raises(ValueError, match="no phase that ended"):
        draw_profile(nothing)


def test_the_description_names_phases_and_the_dearest():
    text = describe_profile(planted_profile(), top=2)
    assert "first_call 5.00 s (50%)" in text
    assert "raw_u_3" in text
    assert "inplace" not in text


def test_the_difference_has_pairs_of_bars_by_unit():
    seconds, counts, memory = draw_profile_difference(find_difference(planted_profile(), grown_profile())).axes
    assert names(seconds) == [
        "time to first gradient",
        "phase first_call",
        "unit kernel_# Elemwise",
        "phase rewrite",
        "pass fusion",
        "unit kernel_# Sum",
    ]
    base, contender = widths(seconds)[:6], widths(seconds)[6:]
    assert base == [10.0, 5.0, 3.5, 3.0, 2.0, 0.0]
    assert contender == [13.04, 7.0, 4.7, 4.0, 3.0, 0.8]
    assert "7.00 s  x1.4" in texts(seconds)
    assert texts(seconds)[5] == "none"
    assert names(counts)[:2] == ["nodes before rewriting", "nodes after rewriting"]
    assert "nodes Elemwise, after rewriting" in names(counts)
    assert "peak" in names(memory)
    assert memory.get_title(loc="left") == "Resident memory [MiB]"


def test_the_difference_draws_only_the_largest():
    for axes in draw_profile_difference(find_difference(planted_profile(), grown_profile()), top=2).axes:
        assert len(names(axes)) <= 2


def test_no_change_is_refused_and_described():
    same = find_difference(planted_profile(), planted_profile())
    with pytest.raises(ValueError, match="nothing changed by more than noise"):
        draw_profile_difference(same)
    assert "nothing beyond noise" in describe_profile_difference(same)
    assert "phase first_call 5.00 s to 7.00 s" in describe_profile_difference(
        find_difference(planted_profile(), grown_profile())
    )


def test_names_that_matplotlib_might_read_are_drawn_and_saved(tmp_path):
    odd = planted_unit(1, 3.0, op="$\\frac{1}{$ <b>&\x00" + "x" * 200, sources=("$a_1$", "\ud800"))
    profile = planted_profile(units=(odd,))
    for path in save_figure(draw_profile(profile), tmp_path, "odd", description=describe_profile(profile)[:500]):
        assert path.stat().st_size > 1000
