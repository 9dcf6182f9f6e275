from __future__ import annotations

import json

import pytest

from firstgrad.figures.power import PowerPoint, describe_power, draw_power, read_power

POINTS = tuple(
    PowerPoint(tool=tool, factor=factor, rounds=rounds, hits=rounds * steep, trials=100)
    for factor in (1.05, 1.1)
    for tool, steep in (("firstgrad compare", 3), ("asv", 1))
    for rounds in (3, 10, 30)
)


def test_a_panel_a_slowdown_and_a_line_a_tool_with_its_own_marker():
    panels = draw_power(POINTS).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["HEAD slower by 5%", "HEAD slower by 10%"]
    for axes in panels:
        lines = [line for line in axes.get_lines() if list(line.get_xdata()) == [3, 10, 30]]
        assert [list(line.get_ydata()) for line in lines] == [[0.09, 0.3, 0.9], [0.03, 0.1, 0.3]]
        assert len({line.get_marker() for line in lines}) == 2
    assert {text.get_text() for text in panels[-1].texts} == {"firstgrad compare", "asv"}


def test_the_description_has_every_number():
    told = describe_power(POINTS)
    assert "HEAD slower by 5%: firstgrad compare: 9% with 3, 30% with 10, 90% with 30; asv: 3% with 3" in told


def test_what_the_judge_wrote_is_read(tmp_path):
    path = tmp_path / "report.json"
    point = {"tool": "asv", "factor": 1.05, "rounds": 3, "found": {"hits": 3, "trials": 100}}
    path.write_text(json.dumps({"curve": [point], "tools": []}))
    assert read_power(path) == (POINTS[3],)


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="no trials"):
        draw_power(())
