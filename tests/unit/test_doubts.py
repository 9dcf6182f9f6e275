from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given

from builders import make_case, make_environment, make_record, phase
from firstgrad.case import Counting
from firstgrad.doubts import ADVICE, ENOUGH_DRAWS, FEW_EVALUATIONS, SUSPENDED_SECONDS, find_doubts, why_impossible
from firstgrad.errors import StoreError
from firstgrad.phase import Phase
from firstgrad.record import CacheUse, Check, Doubt, DrawCheck, GroupFiniteness, Slope, Status, Verdict
from firstgrad.store import export_jsonl, import_jsonl
from strategies import records, with_clocks_that_agree


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


def drew(**fields):
    return checked(draws=DrawCheck(**fields))


SPOILED = {
    Doubt.SCENARIO_CONTRADICTED: [caches("cold, but ...")],
    Doubt.UNACCOUNTED_TIME: [window(96.0, 100.0), window(0.0, 1.0), window(96.0, 100.0, (phase(Phase.IMPORT, 9),))],
    Doubt.HIGH_LOAD: [{"environment": make_environment(load_before=3.5)}],
    Doubt.NO_BYTECODE: [{"environment": make_environment(bytecode=False)}],
    Doubt.NOT_FINITE: [finite(1, 0), finite(0, 1), checked(logp_not_finite=("y",))],
    Doubt.FEW_EVALUATIONS: [evaluated(FEW_EVALUATIONS - 1), evaluated(0)],
    Doubt.SUSPENDED: [{"suspended_seconds": SUSPENDED_SECONDS}, {"suspended_seconds": 3600.0}],
    Doubt.DISCRETE_FIXED: [checked(held=("k",))],
    Doubt.STUCK_CHAIN: [drew(draws=ENOUGH_DRAWS, moved=0)],
    Doubt.COUNTED: [{"case": make_case(counting=counting)} for counting in Counting if counting is not Counting.PLAIN],
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
    drew(draws=ENOUGH_DRAWS, moved=1),
    drew(draws=ENOUGH_DRAWS - 1, moved=0),
    drew(draws=ENOUGH_DRAWS, moved=None),  # where a sampler tells one draw alone
    {"suspended_seconds": SUSPENDED_SECONDS / 2},
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


# What no clock can have shown

IMPOSSIBLE = {
    "build has -1": {"phases": (phase(Phase.BUILD, -1.0),)},
    r"build has 1.000 s, -2": {"phases": (phase(Phase.BUILD, 1.0, cpu=-2.0),)},
    r"build has 1.000 s, nan": {"phases": (phase(Phase.BUILD, 1.0, cpu=math.nan),)},
    "build has inf": {"phases": (phase(Phase.BUILD, math.inf),)},
    "up to build it took 41.8": {"phases": (phase(Phase.BUILD, 1e-4, began=0.5, cpu=41.8),)},
    "up to link it took 9": {"phases": (phase(Phase.BUILD, 1.0, cpu=4.0), phase(Phase.LINK, 0.1, began=1.0, cpu=5.0))},
    "phase build lies outside of the sample: from -1": {"phases": (phase(Phase.BUILD, 2.0, began=-1.0),)},
    "link lies outside": {"phases": (phase(Phase.BUILD, 2.0), phase(Phase.LINK, 1.0, began=1.0))},
    "the time to first gradient has -3": {"time_to_first_gradient_seconds": -3.0},
    "the time to first gradient has -4": {"time_to_first_gradient_cpu_seconds": -4.0},
    "its phases took longer": window(2.0, 1.0),
    "evaluations took 1.5": {"phases": (phase(Phase.EVALUATE, 1.0),), "evaluation_seconds": (0.75, 0.75)},
    "what was timed has -1": {"gc_seconds": -1.0},
    "what was timed has -5": {"evaluation_seconds": (-5.0,)},
}
POSSIBLE = [
    *GOOD[:3],
    {"phases": (phase(Phase.BUILD, 1.0, cpu=4.0),)},  # of 4 cores
    {"phases": (phase(Phase.BUILD, 0.0, cpu=0.02),)},  # two ticks of a child's
    {
        "phases": (phase(Phase.IMPORT, 1.0, cpu=0.0), phase(Phase.BUILD, 0.1, began=1.0, cpu=4.0))
    },  # ... that ended there
    # A second of linking had passed before the rewrites.
    {
        "phases": (
            phase(Phase.REWRITE, 1.0, began=1.0),
            phase(Phase.LINK, 3.0, began=2.0),
            phase("first_call", 1.0, began=4.0),
        )
    },
]


@pytest.mark.parametrize(("why", "fields"), IMPOSSIBLE.items(), ids=IMPOSSIBLE)
def test_what_no_clock_can_have_shown_is_named_and_not_imported(why, fields, tmp_path):
    record = make_record(**fields)
    assert why_impossible(record).partition(why)[1]
    failed = make_record(**fields, status=Status.FAILED)
    assert why_impossible(failed) == ("it has inf s" if "inf" in why else ""), "its numbers don't count"
    export_jsonl([make_record(), record], tmp_path / "x.jsonl")
    with pytest.raises(StoreError, match=rf"x\.jsonl: line 2: .*{why}.*, which cannot be\. Delete that line"):
        list(import_jsonl(tmp_path / "x.jsonl"))


@pytest.mark.parametrize("fields", POSSIBLE)
def test_clocks_of_different_kinds_may_differ_a_little(fields):
    assert why_impossible(make_record(**fields)) == ""


def test_a_sample_ends_before_its_parent_has_seen_its_end():
    record = make_record(phases=(phase(Phase.BUILD, 2.0),))
    assert why_impossible(record, lasted_seconds=2.0) == ""
    assert "outside of the sample" in why_impossible(record, lasted_seconds=1.0)


@given(records())
def test_seconds_of_phases_that_follow_each_other_are_possible(record):
    assert why_impossible(with_clocks_that_agree(record)) == ""


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "docs/data").glob("*.jsonl")), ids=lambda path: path.stem
)
def test_nothing_that_was_ever_measured_is_called_impossible(path):
    assert sum(1 for _ in import_jsonl(path)) > 0
