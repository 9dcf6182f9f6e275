"""Comparisons with planted answers: what got worse is found, noise is not."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstgrad.analysis.compare import compare
from firstgrad.analysis.judge import ComparisonVerdict, Thresholds, compare_metric
from firstgrad.analysis.likeness import Difference
from firstgrad.analysis.sides import SideKind, find_side
from firstgrad.codec import from_json, to_json
from firstgrad.errors import SpecError, UnknownSideError, UnlikeSidesError
from firstgrad.metrics import METRICS, Unit, metric_named
from firstgrad.record import (
    Check,
    Counts,
    Doubt,
    Failure,
    HostFingerprint,
    Memory,
    Mismatch,
    Phase,
    PhaseRecord,
    Status,
    Verdict,
)
from helpers import MIB, make_case, make_environment, make_record
from strategies import records as random_records

WORSE, BETTER, SAME, UNDECIDED, FAILED, MISSING = (
    ComparisonVerdict.WORSE,
    ComparisonVerdict.BETTER,
    ComparisonVerdict.SAME,
    ComparisonVerdict.UNDECIDED,
    ComparisonVerdict.FAILED,
    ComparisonVerdict.MISSING,
)
MIRROR = {WORSE: BETTER, BETTER: WORSE}
RULES = Thresholds()
BASE_COMMIT, HEAD_COMMIT = "a1b2c3d" + "0" * 33, "a1b2c3e" + "1" * 33


def side(label, *, samples=3, scale=1.0, spread=0.01, **fields):
    """Samples of one side, their seconds `spread` apart so that no two are equal."""
    case = fields.pop("case", make_case())
    environment = make_environment(label=label, **fields.pop("environment", {}))
    return [
        sample(f"{label}-{case.id}-{number}", case, environment, scale * (1 + spread * number), **fields)
        for number in range(samples)
    ]


def sample(record_id, case, environment, scale, *, link=0.2, nodes=1000, peak_bytes=400 * MIB, **fields):
    phases = (
        PhaseRecord(phase=Phase.REWRITE, began_seconds=0.0, wall_seconds=2.0 * scale, cpu_seconds=2.0 * scale),
        PhaseRecord(phase=Phase.LINK, began_seconds=2.0, wall_seconds=link * scale, cpu_seconds=link * scale),
    )
    known = {
        "phases": phases,
        "time_to_first_gradient_seconds": (2.0 + link) * scale,
        "time_to_first_gradient_cpu_seconds": (2.0 + link) * scale,
        "evaluation_seconds": (0.001 * scale,) * 20,
        "counts": Counts(groups=1, values=1, nodes_before=2 * nodes, nodes_after=nodes, compiled_units=3),
        "memory": Memory(peak_rss_bytes=peak_bytes, retained_bytes=peak_bytes // 10),
    }
    return make_record(record_id=record_id, case=case, environment=environment, **known | fields)


def failed(label, *, samples=3, status=Status.CRASHED, case=None):
    failure = Failure(kind="SIGSEGV", message="the worker died\nand more", phase=Phase.LINK)
    return [
        make_record(
            record_id=f"{label}-failed-{number}",
            case=case or make_case(),
            status=status,
            environment=make_environment(label=label),
            failure=failure,
        )
        for number in range(samples)
    ]


def compared(before, after, **options):
    return compare([*before, *after], "base", "head", **options)


def verdicts(comparison):
    (case,) = comparison.cases
    return {each.metric: each.verdict for each in case.metrics}


def changed(comparison):
    return {name: verdict for name, verdict in verdicts(comparison).items() if verdict is not SAME}


def judged(name, before, after, thresholds=RULES):
    return compare_metric(metric_named(name), before, after, thresholds).verdict


# --- planted answers ---------------------------------------------------------------------------------------------


def test_a_fifth_more_nodes_is_found_and_nothing_else():
    found = compared(side("base"), side("head", nodes=1200))
    assert changed(found) == {"nodes": WORSE, "nodes_before": WORSE}
    assert found.has_regression
    (nodes,) = [each for each in found.cases[0].metrics if each.metric == "nodes"]
    assert (nodes.ratio, nodes.base.samples, nodes.head.median) == (1.2, 3, 1200)


def test_half_a_second_more_on_a_short_phase_is_found():
    found = compared(side("base"), side("head", link=0.7))
    assert changed(found) == {"phase_link": WORSE}
    assert found.has_regression


def test_half_a_second_more_is_found_under_noise_of_a_tenth():
    chance = random.Random(5)  # noqa: S311 - reproducible, not secret
    found = Counter(
        judged("phase_link", *([median * chance.lognormvariate(0, 0.1) for _ in range(3)] for median in (0.2, 0.7)))
        for _ in range(500)
    )
    assert found[WORSE] == 500


def test_more_memory_is_found():
    found = compared(side("base"), side("head", peak_bytes=500 * MIB))
    assert changed(found) == {"peak_memory": WORSE, "retained_memory": WORSE}


def test_the_same_is_no_regression():
    found = compared(side("base"), side("head"))
    assert changed(found) == {}
    assert not found.has_regression
    assert found.has_compared


def test_less_of_all_is_better():
    found = compared(side("base", nodes=1200, link=5.0), side("head"))
    assert set(changed(found).values()) == {BETTER}
    assert found.cases[0].verdict is BETTER
    assert not found.has_regression


def test_noise_seldom_alarms():
    # A against A: 10% lognormal noise on every duration of its own, 3 samples a side. Counted for one metric, and
    # for all of a case's durations together, since a gate looks at all of them.
    chance = random.Random(2025)  # noqa: S311 - reproducible, not secret
    durations = [each for each in METRICS if each.unit is Unit.SECONDS]
    assert len(durations) == 10
    alarms = undecided = alarmed_cases = 0
    for _ in range(2000):
        found = [
            compare_metric(each, *([10 * chance.lognormvariate(0, 0.1) for _ in range(3)] for _ in "ab"), RULES).verdict
            for each in durations
        ]
        alarms += found[0] is WORSE
        alarmed_cases += WORSE in found
        undecided += found[0] is UNDECIDED
    assert alarms / 2000 < 0.005
    assert alarmed_cases / 2000 < 0.005
    assert 0 < undecided / 2000 < 0.05


def test_the_factor_is_what_keeps_noise_out():
    # Without it, 3 above 3 by chance: 1 in 20 (20 ways to choose which 3 of 6 are HEAD's, one of them on top).
    chance = random.Random(7)  # noqa: S311 - reproducible, not secret
    bare = Thresholds(seconds_factor=1.0, least_seconds=0.0)
    alarms = sum(
        judged("phase_link", *([10 * chance.lognormvariate(0, 0.1) for _ in range(3)] for _ in "ab"), bare) is WORSE
        for _ in range(4000)
    )
    assert alarms / 4000 == pytest.approx(0.05, abs=0.012)


# --- the rules at their borders ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "before", "after", "verdict"),
    [
        # Seconds: every sample above every sample, by the factor and by 0.1 s
        ("phase_link", [1.0, 1.0, 1.0], [1.26, 1.3, 9.0], WORSE),
        ("phase_link", [1.0, 1.0, 1.0], [1.25, 1.3, 9.0], UNDECIDED),
        ("phase_link", [1.0, 1.0, 1.02], [1.26, 1.3, 1.4], UNDECIDED),
        ("phase_link", [1.0, 1.0, 1.0], [1.2, 1.2, 1.2], SAME),
        ("phase_link", [0.1, 0.1, 0.1], [0.19, 0.19, 0.19], SAME),
        ("phase_link", [0.1, 0.1, 0.1], [0.21, 0.21, 0.21], WORSE),
        ("phase_link", [1.0, 1.0], [5.0, 5.0, 5.0], UNDECIDED),
        ("phase_link", [1.0, 1.0, 1.0], [5.0], UNDECIDED),
        ("phase_link", [1.0], [1.1], SAME),
        ("phase_link", [0.0, 0.0, 0.0], [0.2, 0.2, 0.2], WORSE),
        # A call: 50 microseconds instead of 0.1 s
        ("evaluation", [100e-6] * 3, [149e-6] * 3, SAME),
        ("evaluation", [100e-6] * 3, [151e-6] * 3, WORSE),
        # Bytes: ranges apart, beyond the factor and 5 MiB; one sample is enough
        ("peak_memory", [100 * MIB], [112 * MIB], WORSE),
        ("peak_memory", [100 * MIB], [109 * MIB], SAME),
        ("peak_memory", [20 * MIB], [24 * MIB], SAME),
        ("peak_memory", [20 * MIB], [25 * MIB], WORSE),
        ("peak_memory", [100 * MIB, 100 * MIB, 130 * MIB], [125 * MIB] * 3, UNDECIDED),
        ("retained_memory", [-MIB], [10 * MIB], WORSE),
        ("retained_memory", [-MIB], [MIB], SAME),
        # Counts: the median beyond the factor, be it of one sample
        ("nodes", [100], [105], SAME),
        ("nodes", [100], [106], WORSE),
        ("nodes", [100, 100, 100], [100, 100, 500], SAME),
        ("compiled_units", [0], [1], WORSE),
        ("compiled_units", [0], [0], SAME),
        ("nodes", [], [1], MISSING),
    ],
)
def test_the_rules(name, before, after, verdict):
    assert judged(name, before, after) is verdict
    assert judged(name, after, before) is MIRROR.get(verdict, verdict)


def test_thresholds_are_obeyed():
    assert judged("nodes", [100], [106], Thresholds(counts_factor=1.1)) is SAME
    assert judged("peak_memory", [100 * MIB], [150 * MIB], Thresholds(memory_factor=2)) is SAME
    assert judged("phase_link", [1.0] * 3, [1.2] * 3, Thresholds(seconds_factor=1.1)) is WORSE


@pytest.mark.parametrize("factor", [0.99, 0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["counts", "memory", "seconds"])
def test_a_threshold_below_1_is_refused(kind, factor):
    with pytest.raises(SpecError, match=f"--threshold-{kind}"):
        Thresholds(**{f"{kind}_factor": factor})


_numbers = {
    Unit.SECONDS: st.floats(0, 1e4),
    Unit.BYTES: st.integers(-(2**30), 2**34),
    Unit.COUNT: st.integers(0, 10**6),
}
_factors = st.floats(1.0, 3.0)
_thresholds = st.builds(Thresholds, counts_factor=_factors, memory_factor=_factors, seconds_factor=_factors)


@st.composite
def _two_sides(draw):
    metric = draw(st.sampled_from(METRICS))
    numbers = st.lists(_numbers[metric.unit], min_size=1, max_size=6)
    return metric, draw(numbers), draw(numbers)


@given(_two_sides(), _thresholds)
def test_a_set_against_itself_is_the_same(sides, thresholds):
    metric, numbers, _ = sides
    assert compare_metric(metric, numbers, list(reversed(numbers)), thresholds).verdict is SAME


@given(_two_sides(), _thresholds)
def test_swapping_the_sides_turns_worse_into_better(sides, thresholds):
    metric, before, after = sides
    one = compare_metric(metric, before, after, thresholds)
    other = compare_metric(metric, after, before, thresholds)
    assert other.verdict is MIRROR.get(one.verdict, one.verdict)
    assert (other.base, other.head) == (one.head, one.base)


@given(_two_sides(), _thresholds)
def test_worse_is_never_said_of_overlapping_ranges_of_seconds_or_bytes(sides, thresholds):
    metric, before, after = sides
    if compare_metric(metric, before, after, thresholds).verdict is WORSE and metric.unit is not Unit.COUNT:
        assert min(after) > max(before)


@settings(max_examples=50)
@given(st.lists(random_records(), min_size=1, max_size=5))
def test_any_records_against_themselves_are_no_regression(records):
    case, environment = records[0].case, replace(records[0].environment, label="all of them")
    records = [replace(each, case=case, environment=environment) for each in records]
    found = compare(records, "all of them", "all of them")
    assert not found.has_regression
    assert {each.verdict for each in found.cases[0].metrics} <= {SAME}


# --- failures and cases on one side ------------------------------------------------------------------------------


def test_a_case_that_fails_on_head_alone_is_a_regression_with_its_reason():
    found = compared(side("base"), failed("head"))
    (case,) = found.cases
    assert case.verdict is FAILED
    assert case.reason == "on HEAD 3 of 3 samples: crashed in link: SIGSEGV: the worker died"
    assert found.has_regression


def test_one_failed_sample_of_head_is_a_regression_and_the_others_are_still_compared():
    found = compared(side("base"), [*side("head", nodes=2000), *failed("head", samples=1)])
    assert found.cases[0].verdict is FAILED
    assert "1 of 4 samples" in found.cases[0].reason
    assert changed(found)["nodes"] is WORSE


def test_a_mismatch_with_the_oracle_is_a_regression_that_names_the_group():
    check = Check(verdict=Verdict.DISAGREES, mismatches=(Mismatch(group="rho", index=(0,), expected=1.0, got=2.0),))
    found = compared(side("base"), side("head", status=Status.MISMATCH, check=check))
    assert found.cases[0].verdict is FAILED
    assert "mismatch with the oracle: rho" in found.cases[0].reason


def test_the_numbers_of_samples_that_did_not_end_well_do_not_count():
    wrong = [
        replace(each, record_id=f"wrong {each.record_id}") for each in side("head", nodes=5000, status=Status.MISMATCH)
    ]
    found = compared(side("base"), [*side("head"), *wrong])
    assert changed(found) == {}
    assert {each.head.samples for each in found.cases[0].metrics} == {3}


def test_a_failure_that_head_repaired_is_better():
    found = compared(failed("base"), side("head"))
    assert found.cases[0].verdict is BETTER
    assert found.cases[0].reason.startswith("on BASE 3 of 3 samples: crashed")
    assert not found.has_regression


def test_a_repaired_failure_does_not_hide_what_got_worse():
    found = compared([*side("base"), *failed("base", samples=1)], side("head", nodes=2000))
    assert found.cases[0].verdict is WORSE
    assert found.has_regression


def test_a_failure_on_both_sides_is_no_regression_and_no_comparison():
    found = compared(failed("base"), failed("head", status=Status.TIMEOUT))
    assert found.cases[0].verdict is UNDECIDED
    assert "on BASE" in found.cases[0].reason
    assert "timeout" in found.cases[0].reason
    assert not found.has_regression
    assert not found.has_compared


def test_some_failed_before_and_all_fail_now():
    found = compared([*side("base"), *failed("base", samples=1)], failed("head"))
    assert found.cases[0].verdict is FAILED


def test_some_fail_on_both_sides_and_the_numbers_decide():
    found = compared(
        [*side("base"), *failed("base", samples=1)], [*side("head", nodes=2000), *failed("head", samples=2)]
    )
    assert found.cases[0].verdict is WORSE


def test_cases_on_one_side_are_missing():
    other, third = make_case("other.py:build"), make_case("third.py:build")
    found = compared(
        [*side("base"), *side("base", case=other)], [*side("head"), *failed("head", samples=1, case=third)]
    )
    assert [each.verdict for each in found.cases] == [SAME, MISSING, MISSING]
    assert found.cases[1].reason == "on BASE only"
    assert found.cases[2].reason.startswith("on HEAD only, 1 of 1 samples: crashed")
    assert not found.has_regression
    assert found.has_compared


def test_nothing_in_common_is_no_comparison():
    found = compared(side("base"), side("head", case=make_case("other.py:build")))
    assert not found.has_compared


def test_a_metric_that_neither_side_has_is_no_comparison():
    bare = {"evaluation_seconds": ()}
    found = compared(side("base", **bare), side("head", **bare), metrics=[metric_named("evaluation")])
    assert found.cases[0].verdict is MISSING
    assert not found.has_compared


def test_a_metric_that_one_side_has_is_missing():
    found = compared(side("base"), side("head", evaluation_seconds=()))
    assert changed(found) == {"evaluation": MISSING}


def test_numbers_that_are_none_or_not_finite_do_not_count():
    found = compared(side("base"), side("head", time_to_first_gradient_seconds=float("nan")))
    assert changed(found) == {"time_to_first_gradient": MISSING}


def test_only_the_wanted_metrics_are_compared():
    found = compared(side("base"), side("head", nodes=2000), metrics=[metric_named("peak_memory")])
    assert verdicts(found) == {"peak_memory": SAME}
    assert not found.has_regression


def test_doubts_are_kept():
    found = compared(side("base"), side("head", doubts=(Doubt.HIGH_LOAD,)))
    assert found.cases[0].doubts == (Doubt.HIGH_LOAD,)


# --- unlike sides ------------------------------------------------------------------------------------------------

HOST = HostFingerprint(processor="a processor", cores=8, memory_bytes=2**33, operating_system="Linux")


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ({}, {"host": HOST}, "host.cores is 4 on BASE and 8 on HEAD"),
        ({"python": "3.12.1"}, {}, "python is 3.12.1 on BASE and 3.13.0 on HEAD"),
        ({}, {"threads": 2}, "threads is 1 on BASE and 2 on HEAD"),
        ({}, {"flags": "cxx="}, "flags is '' on BASE and 'cxx=' on HEAD"),
        ({}, {"compiler": "g++ 14"}, "compiler is not installed on BASE and g++ 14 on HEAD"),
        (
            {"versions": (("pymc", "5.28.5"),)},
            {"versions": (("pymc", "6.4.0"),)},
            "pymc is 5.28.5 on BASE and 6.4.0 on HEAD",
        ),
        ({"versions": (("jax", "0.5"),)}, {}, "jax is 0.5 on BASE and not installed on HEAD"),
    ],
)
def test_unlike_sides_are_refused_with_field_and_values_unless_forced(before, after, named):
    sides = side("base", environment=before), side("head", environment=after)
    with pytest.raises(UnlikeSidesError) as caught:
        compared(*sides)
    assert named in str(caught.value)
    assert "--force" in str(caught.value)
    forced = compared(*sides, force=True)
    assert forced.is_forced
    assert len(forced.differences) == 1


def test_alike_sides_are_not_marked_by_force():
    assert not compared(side("base"), side("head"), force=True).is_forced


def test_firstgrad_and_the_load_may_differ():
    before = {"versions": (("firstgrad", "0.1.0"), ("pymc", "6.4.0")), "load_before": 0.1}
    after = {"versions": (("firstgrad", "0.2.0"), ("pymc", "6.4.0")), "load_before": 0.9}
    found = compared(side("base", environment=before), side("head", environment=after))
    assert found.differences == ()


def test_the_compared_packages_may_differ_and_only_those():
    before = {"versions": (("pymc", "5.28.5"), ("pytensor", "2.35"))}
    after = {"versions": (("pymc", "6.4.0"), ("pytensor", "3.3"))}
    sides = side("base", environment=before), side("head", environment=after)
    with pytest.raises(UnlikeSidesError) as caught:
        compared(*sides, across={"pymc"})
    assert caught.value.differences == (("pytensor", "2.35", "3.3"),)
    found = compared(*sides, across={"pymc", "pytensor"})
    assert not found.is_forced
    assert found.differences[0] == Difference(field="pymc", base="5.28.5", head="6.4.0", is_declared=True)


@pytest.mark.parametrize("name", ["pymcc", "host.cores", "firstgrad"])
def test_what_cannot_be_the_compared_thing_is_refused(name):
    environment = {"versions": (("firstgrad", "1"), ("pymc", "6"))}
    with pytest.raises(SpecError, match=r"--across: .*There are compiler, flags, pymc, python, threads"):
        compared(side("base", environment=environment), side("head", environment=environment), across={name})


def test_a_side_of_two_hosts_is_refused():
    # Base has the case from both hosts: which of the two head should be compared with, nobody has said.
    before = [*side("base"), *side("base", environment={"host": HOST})]
    with pytest.raises(UnlikeSidesError, match=r"host\.cores is 4, 8 on BASE and 4 on HEAD"):
        compared(before, side("head"))


def test_cases_of_different_hosts_are_each_compared_on_their_own():
    other = {"case": make_case("other.py:build"), "environment": {"host": HOST}}
    found = compared([*side("base"), *side("base", **other)], [*side("head"), *side("head", **other)])
    assert found.differences == ()


# --- the sides ---------------------------------------------------------------------------------------------------


def committed():
    return [
        *side("base", samples=1, environment={"git_commit": BASE_COMMIT}),
        *side("head", samples=2, environment={"git_commit": HEAD_COMMIT}),
    ]


@pytest.mark.parametrize("name", [HEAD_COMMIT, HEAD_COMMIT[:7], HEAD_COMMIT[:12].upper()])
def test_a_commit_is_found_whole_and_by_a_prefix(name):
    found, records = find_side(committed(), name)
    assert (found.kind, found.value, found.samples) == (SideKind.COMMIT, HEAD_COMMIT, 2)
    assert {each.environment.label for each in records} == {"head"}


def test_a_label_goes_before_what_git_knows():
    found, _ = find_side(committed(), "head", lambda _: BASE_COMMIT)
    assert (found.kind, found.value) == (SideKind.LABEL, "head")


def test_a_name_that_git_knows_is_resolved():
    found, _ = find_side(committed(), "HEAD~1", {"HEAD~1": BASE_COMMIT}.__getitem__)
    assert (found.kind, found.value) == (SideKind.COMMIT, BASE_COMMIT)
    assert str(found) == "HEAD~1 (commit a1b2c3d000)"


@pytest.mark.parametrize("name", ["nowhere", "", BASE_COMMIT[:6], "deadbeef"])
def test_an_unknown_side_says_what_is_there(name):
    with pytest.raises(UnknownSideError) as caught:
        find_side(committed(), name)
    for there in (repr(name), "labels head, base", "commits a1b2c3e111, a1b2c3d000"):
        assert there in str(caught.value)


def test_a_commit_that_git_knows_and_the_store_does_not_is_named():
    with pytest.raises(UnknownSideError, match=r"'main'.*\(commit ffffffffff\)"):
        find_side(committed(), "main", lambda _: "f" * 40)


def test_a_prefix_of_two_commits_is_refused():
    records = [*committed(), *side("third", environment={"git_commit": HEAD_COMMIT[:-1] + "f"})]
    with pytest.raises(UnknownSideError, match=r"begins several commits.*Give more digits"):
        find_side(records, HEAD_COMMIT[:10])


def test_an_empty_store_says_how_to_fill_it():
    with pytest.raises(UnknownSideError, match="firstgrad measure"):
        find_side([], "main")


def test_records_on_both_sides_are_counted():
    records = committed()
    found = compare(records, "head", HEAD_COMMIT)
    assert found.shared_samples == 2
    assert not found.has_regression


def test_a_comparison_survives_json():
    found = compared(side("base"), [*side("head", nodes=2000), *failed("head", samples=1)])
    assert from_json(to_json(found), type(found)) == found
