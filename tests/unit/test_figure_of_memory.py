"""The figure of memory over time: line, area, phases, peaks, levels."""

from __future__ import annotations

from dataclasses import replace

import pytest

import builders
from builders import MIB, make_case, make_record, memory
from drawn import HOSTILE, HOSTILE_DRAWN, any_overlap, boxes_of_texts, line, saves_as_text, texts
from firstgrad.phase import Phase
from firstgrad.record import Failure, Status
from firstgrad.show.memory import memory_picture
from firstgrad.show.style import PHASE_COLOURS, save_picture

TIMELINE = ((0.0, 50, 0), (1.0, 100, 0), (2.0, 300, 150), (3.0, 400, 250), (4.0, 180, 0), (5.0, 190, 0))


def phase(which, began, ended, peak=None):
    return builders.phase(which, ended - began, began=began, peak_mib=peak)


def measured(**fields):
    known = {
        "memory": memory(400, timeline=TIMELINE, children_peak_rss_bytes=260 * MIB, retained_bytes=80 * MIB),
        "phases": (
            phase(Phase.IMPORT, 0.0, 0.9, 95),
            phase(Phase.BUILD, 1.0, 1.1, 100),
            phase(Phase.LINK, 1.5, 3.5, 400),
            phase(Phase.FIRST_CALL, 3.5, 4.0, 180),
        ),
    }
    return make_record(**known | fields)


def test_the_line_is_the_tree_and_the_area_its_children():
    (axes,) = memory_picture(measured()).draw().axes
    tree = line(axes, "process tree")
    assert list(tree.get_xdata()) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert list(tree.get_ydata()) == [50, 100, 300, 400, 180, 190]
    (area,) = [each for each in axes.collections if each.get_label() == "children"]
    assert area.get_paths()[0].get_extents().ymax == 250
    assert axes.get_ylabel() == "resident memory [MiB]"


def test_phases_are_shaded_and_named_with_their_peaks():
    (axes,) = memory_picture(measured()).draw().axes
    shaded = {each.get_label(): each for each in axes.patches}
    assert list(shaded) == ["import", "build", "link", "first_call"]
    assert (shaded["link"].get_x(), shaded["link"].get_width()) == (1.5, 2.0)
    assert shaded["link"].get_facecolor()[:3] == pytest.approx(
        tuple(int(PHASE_COLOURS[Phase.LINK][i : i + 2], 16) / 255 for i in (1, 3, 5))
    )
    assert {"import\n95.0 MiB", "build\n100 MiB", "link\n400 MiB", "first_call\n180 MiB"} < set(texts(axes))


def test_the_peak_is_marked_with_its_phase_and_size():
    (axes,) = memory_picture(measured()).draw().axes
    assert (line(axes, "peak").get_xdata()[0], line(axes, "peak").get_ydata()[0]) == (3.0, 400)
    assert "peak 400 MiB, reached in link" in texts(axes)
    marks = line(axes, "highest of a phase")
    assert list(zip(marks.get_xdata(), marks.get_ydata(), strict=True)) == [(0, 50), (1, 100), (3, 400), (4, 180)]


def test_what_was_retained_is_a_span_between_two_levels():
    (axes,) = memory_picture(measured()).draw().axes
    lines = {each.get_label(): each for each in axes.collections}
    (before,) = lines["before build"].get_segments()
    (after,) = lines["after the first call"].get_segments()
    assert (before[0][1], after[0][1], after[0][0]) == (100, 180, 4.0)
    assert "retained\n80.0 MiB" in texts(axes)
    assert "children\n(compilers)\nup to 260 MiB" in texts(axes)


def test_nothing_is_said_of_what_is_not_known():
    record = measured()
    points = tuple(replace(each, children_rss_bytes=0) for each in record.memory.timeline)
    bare = replace(record.memory, timeline=points, children_peak_rss_bytes=0, retained_bytes=None)
    said = " ".join(texts(memory_picture(replace(record, memory=bare, phases=())).draw().axes[0]))
    assert said == "peak 400 MiB, reached outside of the phases"


def test_the_phase_in_which_it_failed_is_shown_too():
    record = measured()
    failed = replace(
        record,
        status=Status.OUT_OF_MEMORY,
        failure=Failure(kind="MemoryLimit", message="too much", phase=Phase.LINK),
        phases=record.phases[:2],
    )
    (axes,) = memory_picture(failed).draw().axes
    (link,) = [each for each in axes.patches if each.get_label() == "link"]
    assert (link.get_x(), link.get_x() + link.get_width()) == (1.1, 5.0)
    assert "link (not ended)\n400 MiB" in texts(axes)
    assert "link 400 MiB (not ended)" in memory_picture(failed).description


def test_names_of_narrow_phases_do_not_overlap():
    order = (Phase.IMPORT, Phase.BUILD, Phase.LOGP_GRAPH, Phase.GRAD_GRAPH, Phase.REWRITE)
    narrow = [phase(each, 0.01 * number, 0.01 * number + 0.01, 123) for number, each in enumerate(order)]
    record = measured(phases=(*narrow, phase(Phase.LINK, 0.06, 4.9, 400), phase(Phase.FIRST_CALL, 4.9, 4.95, 123)))
    figure = memory_picture(record).draw()
    boxes = boxes_of_texts(figure, figure.axes[0], wanted=lambda text: text.split("\n")[0] in set(Phase))
    assert len(boxes) == 7
    assert not any_overlap(boxes)
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_the_description_has_all_numbers():
    text = memory_picture(measured()).description
    assert "over 5.00 s" in text
    assert "peak 400 MiB, reached in link" in text
    assert "by phase: import 95.0 MiB, build 100 MiB, link 400 MiB, first_call 180 MiB" in text
    assert text.endswith("children (compilers) at most 260 MiB; retained 80.0 MiB.")


def test_a_record_without_a_timeline_is_refused():
    for bare in (None, memory(1)):
        with pytest.raises(ValueError, match="record 'r1' has no timeline of memory: nothing to draw"):
            memory_picture(measured(memory=bare))


def test_a_single_point_is_drawn(tmp_path):
    short = memory(1, timeline=[(0.0, 1)])
    record = measured(memory=short, phases=())
    assert save_picture(memory_picture(record), tmp_path)[0].exists()


def test_hostile_names_are_drawn_as_they_are(tmp_path):
    record = measured(case=make_case(f"{HOSTILE}.py:build"))
    figure = memory_picture(record).draw()
    assert saves_as_text(memory_picture(record), tmp_path)
    assert HOSTILE_DRAWN in figure.get_suptitle()
    assert len(figure.get_suptitle()) < 170
