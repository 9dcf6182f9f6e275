from __future__ import annotations

import pytest

from builders import make_environment, make_record, phase
from firstgrad.doubts import ADVICE, FEW_EVALUATIONS, find_doubts
from firstgrad.record import CacheUse, Check, Doubt, GroupFiniteness, Phase, Slope, Verdict


def evaluated(calls):
    return {"phases": (phase(Phase.EVALUATE, 1.0),), "evaluation_seconds": (0.1,) * calls}


def window(explained, whole, extra=()):
    return {"phases": (phase(Phase.BUILD, explained), *extra), "time_to_first_gradient_seconds": whole}


def caches(contradiction):
    used = CacheUse(entries_before=0, entries_read=0, entries_written=1, bytes_written=1, contradiction=contradiction)
    return {"caches": used}


def finite(nan, infinite):
    group = GroupFiniteness(group="x", values=9, nan=nan, infinite=infinite)
    return {"check": Check(verdict=Verdict.NO_ORACLE, finiteness=(group,))}


def checked(**fields):
    return {"check": Check(verdict=Verdict.NO_ORACLE, **fields)}


SPOILED = {
    Doubt.SCENARIO_CONTRADICTED: [caches("cold, but ...")],
    Doubt.UNACCOUNTED_TIME: [window(96.0, 100.0), window(0.0, 1.0), window(96.0, 100.0, (phase(Phase.IMPORT, 9),))],
    Doubt.HIGH_LOAD: [{"environment": make_environment(load_before=3.5)}],
    Doubt.NO_BYTECODE: [{"environment": make_environment(bytecode=False)}],
    Doubt.NOT_FINITE: [finite(1, 0), finite(0, 1), checked(logp_not_finite=("y",))],
    Doubt.FEW_EVALUATIONS: [evaluated(FEW_EVALUATIONS - 1), evaluated(0)],
    Doubt.DISCRETE_FIXED: [checked(held=("k",))],
    Doubt.GRADIENT_SUSPECT: [checked(slope=Slope(expected=2.0, got=2.5, allowed=0.4))],
}
GOOD = [
    {},
    caches(None),
    window(97.5, 100.0),
    window(101.0, 100.0),
    {"environment": make_environment(load_before=3.0, bytecode=True)},  # of 4 cores
    {"environment": make_environment(bytecode=None)},  # nobody imported PyMC
    finite(0, 0),
    checked(slope=Slope(expected=2.0, got=2.5, allowed=0.5)),
    checked(slope=Slope(skipped="why")),
    evaluated(FEW_EVALUATIONS),
    {"phases": (phase(Phase.BUILD, 1.0),)},  # none were asked for
]


@pytest.mark.parametrize(("doubt", "fields"), [(doubt, fields) for doubt, many in SPOILED.items() for fields in many])
def test_each_doubt_is_found_by_itself(doubt, fields):
    assert find_doubts(make_record(**fields)) == (doubt,)


@pytest.mark.parametrize("fields", GOOD)
def test_a_good_record_has_none(fields):
    assert find_doubts(make_record(**fields)) == ()


def test_several_come_in_the_order_of_the_catalogue():
    environment = make_environment(load_before=9.0, bytecode=False)
    found = find_doubts(make_record(environment=environment, **finite(1, 1), **caches("why")))
    assert found == (Doubt.SCENARIO_CONTRADICTED, Doubt.HIGH_LOAD, Doubt.NO_BYTECODE, Doubt.NOT_FINITE)


def test_the_catalogue_is_complete_and_every_doubt_is_tested():
    assert set(ADVICE) == set(Doubt) == set(SPOILED)
    assert all(advice.strip() for advice in ADVICE.values())
