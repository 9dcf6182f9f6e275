from __future__ import annotations

from dataclasses import replace

import pytest

from firstgrad.figures.finiteness import describe_finiteness, draw_finiteness
from firstgrad.record import GroupFiniteness
from firstgrad.spec import Missing, PoseSpec
from helpers import make_case, make_record


def planted(missing, nan):
    record = make_record(case=make_case(model=PoseSpec(missing=missing)))
    groups = (
        GroupFiniteness(group="rho", values=5, nan=0, infinite=0),
        GroupFiniteness(group="raw_u_1", values=300, nan=nan, infinite=0),
    )
    return replace(record, check=replace(record.check, finiteness=groups))


def test_a_panel_a_record_and_a_bar_a_group():
    figure = draw_finiteness([planted(Missing.NAIVE, 75), planted(Missing.SAFE, 0)])
    naive, safe = figure.axes
    assert naive.get_title(loc="left") == "masked after the arithmetic:\n75 of 305 not finite"
    assert safe.get_title(loc="left") == "masked before it:\n0 of 305 not finite"
    widths = [bar.get_width() for bar in naive.patches]
    assert widths == [1.0, 0.75, 0.0, 0.25]
    assert "75 of 300" in [text.get_text() for text in naive.texts]


def test_the_description_names_the_groups():
    told = describe_finiteness([planted(Missing.NAIVE, 75), planted(Missing.SAFE, 0)])
    assert "masked after the arithmetic: 75 of 305 not finite (raw_u_1 75 of 300)" in told
    assert "masked before it: 0 of 305 not finite." in told


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="no groups"):
        draw_finiteness([])
