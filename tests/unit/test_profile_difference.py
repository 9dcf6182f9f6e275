"""What grew between two profiles with known numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.case import BackendName, Scenario
from firstgrad.codec import from_json, to_json
from firstgrad.columns import Unit
from firstgrad.errors import ComparisonError
from firstgrad.observe.events import Attribution, UnitKind
from firstgrad.phase import Phase
from firstgrad.pose.spec import PoseSpec
from firstgrad.profiling.difference import ChangeKind, ProfileDifference, find_difference, group_units, make_change
from firstgrad.profiling.units import find_unit_shares, merge_patterns, normalise_name, share_of_phase
from firstgrad.record import Doubt
from helpers import MIB, make_environment
from planted_profile import DIGEST, failed_profile, grown_profile, planted_profile, planted_unit


@pytest.fixture(scope="module")
def difference():
    return find_difference(planted_profile(), grown_profile())


def told(difference, kind, metric, **noise):
    return [(each.name, each.difference) for each in difference.of_kind(kind, **noise) if each.metric == metric]


def test_phases_that_grew_are_listed_the_largest_first(difference):
    assert told(difference, ChangeKind.PHASE, "wall_seconds") == [("first_call", 2.0), ("rewrite", 1.0)]
    (link,) = [each for each in difference.of_kind(ChangeKind.PHASE, noise=True) if each.name == "link"][:1]
    assert link.is_noise
    assert link.difference == pytest.approx(0.04)


def test_the_length_of_evaluate_is_never_compared():
    base, head = planted_profile(), grown_profile()
    longer = replace(head.record.phase(Phase.EVALUATE), wall_seconds=60.0)
    phases = (*head.record.phases[:-1], longer)
    found = find_difference(base, replace(head, record=replace(head.record, phases=phases)))
    assert "evaluate" not in {each.name for each in found.changes}


def test_passes_rewriters_and_node_types(difference):
    assert told(difference, ChangeKind.PASS, "wall_seconds") == [("fusion", 1.0)]
    assert told(difference, ChangeKind.PASS, "nodes_added") == [("look", 3)]
    assert told(difference, ChangeKind.REWRITER, "wall_seconds") == [("fusion: local_mul", pytest.approx(0.95))]
    assert told(difference, ChangeKind.REWRITER, "applied") == [("fusion: local_add", 1)]
    assert told(difference, ChangeKind.NODE_TYPE, "before") == [("Elemwise", 30), ("Composite", 10)]
    assert told(difference, ChangeKind.NODE_TYPE, "after") == [("Elemwise", 30), ("Composite", 10)]


def test_units_are_matched_under_other_numbers(difference):
    assert told(difference, ChangeKind.UNIT, "own_seconds") == [
        ("kernel_# Elemwise", pytest.approx(1.2)),
        ("kernel_# Sum", 0.8),
    ]
    assert told(difference, ChangeKind.UNIT, "units") == [("kernel_# Sum", 1)]
    assert told(difference, ChangeKind.UNIT, "code_bytes") == [("kernel_# Sum", 4096), ("kernel_# Elemwise", 904)]
    (new,) = [each for each in difference.changes if each.name == "kernel_# Sum" and each.metric == "units"]
    assert (new.base, new.head, new.ratio) == (None, 1, None)


def test_memory_and_totals(difference):
    assert ("peak", 100 * MIB) in told(difference, ChangeKind.MEMORY, "bytes")
    assert "retained" not in dict(told(difference, ChangeKind.MEMORY, "bytes"))  # 1 MiB is noise
    totals = {(each.name, each.metric): each for each in difference.of_kind(ChangeKind.TOTAL, noise=True)}
    assert totals["time_to_first_gradient", "wall_seconds"].ratio == pytest.approx(1.304)
    assert totals["compiled_units", "compiled_units"].difference == 1
    assert totals["groups", "groups"].difference == 0
    assert ("garbage_collection", "wall_seconds") not in totals  # zero on both sides


def test_both_directions_tell_the_same_with_the_sign_turned_and_a_profile_against_itself_has_no_change(difference):
    back = find_difference(difference.head, difference.base)
    assert {(each.kind, each.name, each.metric, -each.difference) for each in difference.changes} == {
        (each.kind, each.name, each.metric, each.difference) for each in back.changes
    }
    found = find_difference(planted_profile(), planted_profile())
    assert all(each.is_noise and each.difference == 0 for each in found.changes)
    assert {each.kind for each in found.changes} == {ChangeKind.TOTAL}
    assert found.notes[0].startswith("both are of one case")


def test_a_difference_survives_json(difference):
    assert from_json(to_json(difference), ProfileDifference) == difference


@pytest.mark.parametrize(
    ("kind", "unit", "base", "head", "is_noise"),
    [
        (ChangeKind.PHASE, Unit.SECONDS, 1.0, 1.09, True),  # below 10 %
        (ChangeKind.PHASE, Unit.SECONDS, 1.0, 1.11, False),
        (ChangeKind.PHASE, Unit.SECONDS, 0.10, 0.149, True),  # below 50 ms
        (ChangeKind.PHASE, Unit.SECONDS, 0.10, 0.151, False),
        (ChangeKind.PHASE, Unit.SECONDS, 0.151, 0.10, False),
        (ChangeKind.PHASE, Unit.SECONDS, None, 0.049, True),
        (ChangeKind.PHASE, Unit.SECONDS, None, 0.051, False),
        (ChangeKind.MEMORY, Unit.BYTES, 500 * MIB, 504 * MIB, True),
        (ChangeKind.MEMORY, Unit.BYTES, 500 * MIB, 509 * MIB, True),
        (ChangeKind.MEMORY, Unit.BYTES, 500 * MIB, 511 * MIB, False),
        (ChangeKind.UNIT, Unit.BYTES, 4096, 4097, False),
        (ChangeKind.NODE_TYPE, Unit.COUNT, 10_000, 10_001, False),
        (ChangeKind.NODE_TYPE, Unit.COUNT, 7, 7, True),
    ],
)
def test_counts_always_tell_seconds_from_both_thresholds_on_and_resident_memory_from_its_own(
    kind, unit, base, head, is_noise
):
    assert make_change(kind, "x", "y", unit, base, head).is_noise is is_noise


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.sampled_from(Unit))
def test_noise_is_the_same_in_both_directions(one, other, unit):
    there, back = (make_change(ChangeKind.PHASE, "x", "y", unit, *each) for each in ((one, other), (other, one)))
    assert there.is_noise == back.is_noise
    assert there.difference == -back.difference


@pytest.mark.parametrize("side", ["base", "head"])
def test_a_failed_profile_is_refused_by_name(side):
    sides = (failed_profile(), planted_profile())
    with pytest.raises(ComparisonError, match=rf"the {side} \(.*\) failed: CompileError: g\+\+ ended with 1"):
        find_difference(*(sides if side == "base" else reversed(sides)))


def with_case(profile, **fields):
    return replace(profile, record=replace(profile.record, case=replace(profile.record.case, **fields)))


def test_units_of_two_backends_are_not_matched_and_that_is_said():
    found = find_difference(planted_profile(), with_case(grown_profile(), backend=BackendName.JAX))
    assert not found.of_kind(ChangeKind.UNIT, noise=True)
    assert found.of_kind(ChangeKind.PASS)
    assert "compared: backend: fake (base) with jax (head)" in found.notes
    assert any(note.startswith("units are not matched") for note in found.notes)


def test_what_differs_besides_is_warned_of():
    host = replace(make_environment().host, cores=64)
    other = grown_profile()
    environment = make_environment(host=host, versions=(("pymc", "6"),))
    other = replace(other, record=replace(other.record, environment=environment))
    notes = find_difference(planted_profile(), with_case(other, scenario=Scenario.WARM, backend=BackendName.C)).notes
    assert "warning: host.cores is 4 in the base and 64 in the head" in notes
    assert "warning: pymc is not installed in the base and 6 in the head" in notes
    assert "warning: the hosts are not the same machine: compare counts, not seconds" in notes
    assert any(note.startswith("warning: backend, scenario differ at once") for note in notes)
    notes = find_difference(planted_profile(), planted_profile(doubts=(Doubt.HIGH_LOAD,))).notes
    assert "warning: the machine was busy before the head: compare counts, not seconds" in notes


def test_models_that_read_alike_are_told_apart():
    sides = [with_case(planted_profile(), model=PoseSpec(seed=seed)) for seed in (1, 2)]
    (note,) = find_difference(*sides).notes
    assert "seed=1 (base)" in note
    assert "seed=2 (head)" in note


def test_a_table_of_one_side_alone_is_left_out_and_named():
    bare = replace(grown_profile(), attribution=Attribution())
    found = find_difference(planted_profile(), bare)
    assert not found.of_kind(ChangeKind.UNIT, noise=True)
    assert not found.of_kind(ChangeKind.REWRITER, noise=True)
    for name in ("rewriters", "types of operations", "units"):
        assert f"{name} are known of the base alone: not compared" in found.notes


@pytest.mark.parametrize(
    ("name", "normalised"),
    [
        ("kernel_12", "kernel_#"),
        ("kernel", "kernel"),
        (f"m{DIGEST}", "m#"),
        (f"elemwise_{DIGEST}_3", "elemwise_#"),
        ("log1p", "log1p"),
        ("jit_fn.7.locals", "jit_fn.#.locals"),
        ("deadbeef_op", "deadbeef_op"),
    ],
)
def test_digests_and_counters_are_taken_out_of_names(name, normalised):
    assert normalise_name(name) == normalised


@given(st.text(alphabet="ab_1f$.[#", max_size=40))
def test_normalising_twice_changes_nothing(name):
    assert normalise_name(normalise_name(name)) == normalise_name(name)


def test_units_of_one_name_and_operation_are_together():
    units = [planted_unit(1, 1.0), planted_unit(2, 0.5), planted_unit(3, 2.0, op="Dot", code_bytes=None)]
    assert group_units(units) == {"kernel_# Elemwise": (units[0], units[1]), "kernel_# Dot": (units[2],)}
    planted = planted_profile(units=units)
    other = planted_profile(units=(planted_unit(1, 1.0, code_bytes=100), planted_unit(3, 2.0, op="Dot", code_bytes=7)))
    found = find_difference(planted, other)
    assert told(found, ChangeKind.UNIT, "own_seconds") == [("kernel_# Elemwise", -0.5)]
    assert told(found, ChangeKind.UNIT, "units") == [("kernel_# Elemwise", -1)]
    # Of all, or of none: 8192 bytes; not every unit of Dot tells.
    assert told(found, ChangeKind.UNIT, "code_bytes") == [("kernel_# Elemwise", 100 - 8192), ("kernel_# Dot", 7)]


def test_a_name_that_occurs_once_on_one_side_is_matched_with_the_numbered_one():
    one, other = (planted_unit(0, 1.0, name=name, op="Mul") for name in ("stage", "stage_1"))
    more = planted_unit(0, 1.0, name="stage_2", op="Sub")
    for base, head, told_units in (((one,), (other, more), 1), ((other, more), (one,), -1)):
        found = find_difference(planted_profile(units=base), planted_profile(units=head))
        assert told(found, ChangeKind.UNIT, "units") == [("stage_# Sub", told_units)]


def test_shares_of_a_phase():
    profile = planted_profile(
        units=(
            *(planted_unit(n, 0.1, name=f"kernel of {letter}") for n, letter in enumerate("abcdefghijklmnopqrst")),
            planted_unit(99, 1.0, from_cache=True),
        )
    )
    (share,) = find_unit_shares(profile)
    assert (share.phase, share.units, share.from_cache, share.slowest) == (Phase.FIRST_CALL, 21, 1, 10)
    assert share.share == pytest.approx(3.0 / 5.0)
    assert share.slowest_share == pytest.approx((1.0 + 9 * 0.1) / 5.0)
    assert share_of_phase(profile, profile.attribution.units[-1]) == pytest.approx(0.2)
    assert find_unit_shares(planted_profile(units=(planted_unit(1, 1.0, phase=None),))) == ()
    assert find_unit_shares(failed_profile()) == ()


def test_numbered_functions_are_one_line_the_slowest_first():
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
    # What is unknown of one is unknown of all.
    (one,) = merge_patterns((planted_unit(1, 1.0, code_bytes=None), planted_unit(2, 1.0, op="Dot", within="dot")))
    assert (one.unit.code_bytes, one.unit.op, one.unit.within) == (None, "", "")


@pytest.mark.parametrize(
    "fields", [{"kind": UnitKind.C_MODULE}, {"phase": Phase.LINK}, {"from_cache": True}, {"name": "other_2"}]
)
def test_unlike_units_are_not_put_together(fields):
    assert len(merge_patterns((planted_unit(1, 1.0), planted_unit(2, 1.0, **fields)))) == 2


def test_modules_stay_alone_whatever_their_names_and_no_second_is_lost():
    units = [planted_unit(n, 1.0, kind=UnitKind.XLA_MODULE) for n in range(5)]
    assert [each.unit for each in merge_patterns(units)] == units
    units = [planted_unit(n, 0.5 + n, name=f"{'ab'[n % 2]}_{n}") for n in range(9)]
    assert sum(each.unit.own_seconds for each in merge_patterns(units)) == sum(each.own_seconds for each in units)
