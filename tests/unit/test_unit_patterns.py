"""Functions that differ by a number only are one line; nothing is lost in adding them up."""

import pytest

from firstgrad.analysis.unit_patterns import merge_patterns
from firstgrad.observe.events import UnitKind
from firstgrad.record import Phase
from planted_profile import planted_unit


def test_numbered_functions_are_one_line_the_dearest_first():
    units = (
        planted_unit(1, 3.0, name="split_1", op="Split{len_splits=2}", sources=("x", "y"), nodes=1, code_bytes=10),
        planted_unit(2, 2.0, name="split_2", op="Split{len_splits=3}", sources=("z", "x"), nodes=4, code_bytes=5),
        planted_unit(3, 6.0, name="dot", op="Dot"),
    )
    dot, split = merge_patterns(units)
    assert (dot.unit, dot.units) == (units[2], 1)
    assert (split.unit.name, split.unit.op, split.units, split.unit.nodes) == ("split_#", "Split", 2, 5)
    assert (split.unit.own_seconds, split.unit.code_bytes) == (5.0, 15)
    assert split.unit.sources == ("x", "y", "z")  # by the seconds they stand for: 5, 3, 2


def test_what_is_unknown_of_one_is_unknown_of_all():
    (one,) = merge_patterns((planted_unit(1, 1.0, code_bytes=None), planted_unit(2, 1.0, op="Dot", within="dot")))
    assert (one.unit.code_bytes, one.unit.op, one.unit.within) == (None, "", "")


@pytest.mark.parametrize(
    "fields", [{"kind": UnitKind.C_MODULE}, {"phase": Phase.LINK}, {"from_cache": True}, {"name": "other_2"}]
)
def test_unlike_units_are_not_put_together(fields):
    assert len(merge_patterns((planted_unit(1, 1.0), planted_unit(2, 1.0, **fields)))) == 2


def test_modules_stay_alone_whatever_their_names():
    units = [planted_unit(n, 1.0, kind=UnitKind.XLA_MODULE) for n in range(5)]
    assert [each.unit for each in merge_patterns(units)] == units


def test_no_second_is_lost():
    units = [planted_unit(n, 0.5 + n, name=f"{'ab'[n % 2]}_{n}") for n in range(9)]
    assert sum(each.unit.own_seconds for each in merge_patterns(units)) == sum(each.own_seconds for each in units)
