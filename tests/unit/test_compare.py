"""Comparisons with planted answers: what got worse is found, noise is not."""

from __future__ import annotations

import functools
import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import phases
from firstgrad.case import Counting
from firstgrad.codec import from_json, to_json
from firstgrad.columns import METRICS, Unit, metric_named, samples_table
from firstgrad.comparing import comparison as comparing
from firstgrad.comparing.judge import ComparisonVerdict, Gate, MetricNumbers, Thresholds, is_gating, judge
from firstgrad.comparing.noise import Noise
from firstgrad.comparing.sides import Difference, SideKind, find_side
from firstgrad.errors import SpecError, UnknownSideError, UnlikeSidesError
from firstgrad.phase import Phase
from firstgrad.record import Check, Counts, Doubt, Failure, Memory, Mismatch, Status, Verdict
from helpers import COVERAGE, MIB, make_case, make_environment, make_record, seeds
from strategies import records as random_records

SLOWER, FASTER, LARGER, SMALLER, SAME, UNDECIDED, FAILED, REPAIRED, MISSING = ComparisonVerdict
MIRROR = {SLOWER: FASTER, FASTER: SLOWER, LARGER: SMALLER, SMALLER: LARGER}
RULES = Thresholds(gate=Gate.SECONDS)
compare = functools.partial(comparing.compare, thresholds=RULES)
TIME = "time_to_first_gradient"
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
    known = {
        "phases": phases({Phase.REWRITE: 2.0 * scale, Phase.LINK: link * scale}),
        "time_to_first_gradient_seconds": (2.0 + link) * scale,
        "time_to_first_gradient_cpu_seconds": (2.0 + link) * scale,
        "evaluation_seconds": (0.001 * scale,) * 20,
        "counts": Counts(groups=1, values=1, nodes_before=2 * nodes, nodes_after=nodes, compiled_units=3),
        "memory": Memory(peak_rss_bytes=peak_bytes, retained_bytes=peak_bytes // 10),
    }
    return make_record(record_id=record_id, case=case, environment=environment, **known | fields)


def failed(label, *, samples=3, status=Status.CRASHED, case=None):
    failure = Failure(kind="SIGSEGV", message="the worker died\nand more", phase=Phase.LINK)
    known = {"case": case or make_case(), "environment": make_environment(label=label)}
    return [
        make_record(record_id=f"{label}-failed-{number}", status=status, failure=failure, **known)
        for number in range(samples)
    ]


def compared(before, after, **options):
    return compare([*before, *after], "base", "head", **options)


def verdicts(comparison):
    (case,) = comparison.cases
    return {each.metric: each.verdict for each in case.metrics}


def changed(comparison):
    return {name: verdict for name, verdict in verdicts(comparison).items() if verdict is not SAME}


def judged(name, before, after, thresholds=RULES, *, noise=None, paired=False, looks=1):
    metric = metric_named(name)
    default = thresholds.count_noise(metric) if metric.unit is Unit.COUNT else thresholds.noise_factor
    pairs = list(zip(before, after, strict=True)) if paired else None
    sides = MetricNumbers(metric=metric, base=before, head=after, pairs=pairs, noise=Noise(factor=noise or default))
    fit = sides.fit()
    return judge(sides, fit, fit.p_value if fit else None, thresholds, looks=looks)


def rounds(ratio, *, noise=0.035, count=10, seed=1, drift=0.1, case=None, head_case=None, began=0, **fields):
    """Both sides in turn, a minute apart, on a machine that drifts: the order within a round varies."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    found, level = [], 1.0
    for number in range(count):
        level *= math.exp(chance.gauss(0, drift))
        sides = [("base", 1.0, case or make_case()), ("head", ratio, head_case or case or make_case())]
        chance.shuffle(sides)
        for place, (label, factor, one) in enumerate(sides):
            at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=began + 2 * number + place)
            scale = 5 * level * factor * math.exp(chance.gauss(0, noise))
            made = sample(f"{label}-{one.id}-{number}", one, make_environment(label=label), scale, **fields)
            found.append(replace(made, started_at=at.isoformat(timespec="milliseconds")))
    return found


def metric_of(comparison, name):
    (case,) = comparison.cases
    return next(each for each in case.metrics if each.metric == name)


# --- planted answers ---------------------------------------------------------------------------------------------


def test_a_fifth_more_nodes_or_more_memory_is_found_and_nothing_else():
    found = compared(side("base"), side("head", nodes=1200))
    assert changed(found) == {"nodes": LARGER, "nodes_before": LARGER}
    assert found.has_regression
    nodes = metric_of(found, "nodes")
    assert (nodes.ratio.value, nodes.base.samples, nodes.head.median) == (1.2, 3, 1200)
    found = compared(side("base"), side("head", peak_bytes=500 * MIB))
    assert changed(found) == {"peak_memory": LARGER, "retained_memory": LARGER}
    assert found.has_regression


def test_a_tenth_more_in_ten_rounds_comes_back_as_a_tenth_more(golden):
    found = [compare(rounds(1.10, seed=seed), "base", "head") for seed in range(20)]
    ratios = [metric_of(each, TIME).ratio for each in found]
    golden.numbers("coverage", {"compare, a tenth more": [each.value for each in ratios]})
    assert sum(each.low <= 1.10 <= each.high for each in ratios) >= 18
    assert sum(each.value for each in ratios) / 20 == pytest.approx(1.10, abs=0.01)
    assert sum(each.has_regression for each in found) >= 18
    (case,) = found[0].cases
    assert (case.is_interleaved, case.rounds) == (True, 10)


def test_without_rounds_the_drift_of_the_machine_hides_it():
    apart = [replace(each, started_at="2025-01-01T00:00:00.000+00:00") for each in rounds(1.10)]
    together, unpaired = compare(rounds(1.10), "base", "head"), compare(apart, "base", "head")
    wide = metric_of(unpaired, TIME)
    narrow = metric_of(together, TIME)
    assert (narrow.is_paired, narrow.verdict) == (True, SLOWER)
    assert (wide.is_paired, wide.verdict) == (False, UNDECIDED)
    assert not unpaired.cases[0].is_interleaved
    widths = [math.log(each.ratio.high / each.ratio.low) for each in (wide, narrow)]
    assert widths[0] > 2 * widths[1]


def test_a_machine_that_drifts_alarms_seldom(golden):
    # A against A: whole comparisons of one case. At most 2% are planned.
    found = [compare(rounds(1.0, seed=seed, count=8), "base", "head") for seed in range(seeds(200))]
    alarms = sum(each.has_regression for each in found)
    golden.numbers(COVERAGE, {"compare, alarms": alarms})
    assert alarms <= 0.02 * len(found)


def test_a_family_of_cases_alarms_as_seldom_as_one():
    cases = [make_case(f"{number}.py:build") for number in range(12)]
    alarms = 0
    for seed in range(25):
        records = [each for n, case in enumerate(cases) for each in rounds(1.0, seed=1000 * seed + n, case=case)]
        found = compare(records, "base", "head")
        assert found.tested == 36
        alarms += found.has_regression
    assert alarms <= 1


def test_one_wild_sample_does_not_hide_a_tenth_more():
    records = rounds(1.10, noise=0.02, count=12)
    wild = replace(records[7], time_to_first_gradient_seconds=10 * records[7].time_to_first_gradient_seconds)
    found = metric_of(compare([*records[:7], wild, *records[8:]], "base", "head"), TIME)
    assert found.verdict is SLOWER
    assert found.ratio.value == pytest.approx(1.10, abs=0.03)


def test_a_phase_explains_and_never_alarms():
    found = compared(side("base"), side("head", link=0.3, time_to_first_gradient_seconds=2.2))
    assert verdicts(found)["phase_link"] is SLOWER
    assert not metric_of(found, "phase_link").is_gating
    link = [metric_named("phase_link")]
    assert not compared(side("base"), side("head", link=0.9), metrics=link).has_regression


def test_the_same_and_less_of_all_are_no_regression():
    found = compared(side("base"), side("head"))
    assert changed(found) == {}
    assert (found.has_regression, found.has_compared, found.is_decided) == (False, True, True)
    found = compared(side("base", nodes=1200, scale=2), side("head"))
    assert set(changed(found).values()) == {FASTER, SMALLER}
    assert found.cases[0].verdict is FASTER
    assert not found.has_regression


def test_by_default_one_sample_of_exact_counts_is_a_gate_and_seconds_inform():
    before, after = side("base", samples=1), side("head", samples=1, scale=13, nodes=1050)
    found = comparing.compare([*before, *after], "base", "head")
    alarms = {each.metric for each in found.cases[0].metrics if each.is_alarm}
    assert alarms == {"nodes", "nodes_before"}
    assert metric_of(found, TIME).verdict is UNDECIDED
    assert metric_of(found, "phase_link").is_explaining
    slow = comparing.compare([*side("base"), *side("head", scale=13)], "base", "head")
    assert metric_of(slow, TIME).verdict is SLOWER
    assert (metric_of(slow, TIME).is_gating, metric_of(slow, TIME).is_alarm) == (False, False)
    assert (slow.has_regression, slow.cases[0].verdict) == (False, SAME)
    assert compared(side("base"), side("head", scale=13)).has_regression


def test_a_little_more_of_an_exact_count_is_shown_and_no_alarm():
    found = comparing.compare([*side("base"), *side("head", nodes=1001)], "base", "head")
    assert {name for name, verdict in changed(found).items() if verdict is LARGER} == {"nodes", "nodes_before"}
    assert not found.has_regression


def test_a_sample_that_counts_beside_adds_its_counts_to_the_case_and_is_nobodys_partner():
    counting = replace(make_case(), counting=Counting.INSTRUMENTED)
    began = {"started_at": "2024-12-31T00:00:00.000+00:00"}
    sides = [side(label, samples=1, case=counting, nodes=nodes, **began) for label, nodes in (("base", 9), ("head", 9))]
    found = compare([*sides[0], *sides[1], *rounds(1.10)], "base", "head")
    (case,) = found.cases
    assert (case.rounds, case.case) == (10, make_case())
    assert (metric_of(found, TIME).base.samples, metric_of(found, "nodes").base.samples) == (10, 11)
    assert metric_of(found, TIME).verdict is SLOWER


def test_what_is_undecided_says_how_many_more_would_decide_it():
    few = metric_of(compare(rounds(1.10, noise=0.08, count=6), "base", "head"), TIME)
    assert few.verdict is UNDECIDED
    assert 3 < few.further_samples < 200
    again = rounds(1.10, noise=0.08, count=6 + 2 * few.further_samples)
    assert metric_of(compare(again, "base", "head"), TIME).verdict is SLOWER


def test_each_look_is_paid_for():
    once = compare(rounds(1.09, seed=3), "base", "head")
    often = compare(rounds(1.09, seed=3), "base", "head", looks=50)
    assert once.cases[0].verdict is SLOWER
    assert not once.cases[0].metrics[0].further_samples
    assert often.cases[0].verdict is UNDECIDED
    assert not often.is_decided
    with pytest.raises(ValueError, match="looks"):
        compare(rounds(1.0), "base", "head", looks=0)


def test_other_cases_cost_certainty():
    alone = rounds(1.07, seed=4)
    others = [each for n in range(40) for each in rounds(1.0, seed=n, case=make_case(f"{n}.py:build"))]
    first = compare(alone, "base", "head").cases[0].metrics[0]
    crowd = compare([*alone, *others], "base", "head").cases[0].metrics[0]
    assert (first.verdict, crowd.verdict) == (SLOWER, UNDECIDED)
    assert first.p_value < crowd.p_value
    assert first.ratio == crowd.ratio


def test_sides_of_different_cases_are_matched_by_a_key():
    records = rounds(1.5, head_case=make_case("other.py:build"))
    assert not compare(records, "base", "head").has_compared
    found = compare(records, "base", "head", key=lambda _: "both")
    (case,) = found.cases
    assert (case.case_id, case.case, case.head_case) == ("both", make_case(), make_case("other.py:build"))
    assert case.verdict is SLOWER


@pytest.mark.parametrize("gate", list(Gate))
def test_counts_of_two_ways_to_compile_inform_and_times_are_the_gate(gate):
    one, other = make_case(backend="jax"), make_case(backend="jax_direct")

    def found(scale, *, case=other, nodes=4000):
        both = [*side("base", case=one), *side("head", case=case, scale=scale, nodes=nodes)]
        return comparing.compare(both, "base", "head", thresholds=Thresholds(gate=gate), key=lambda _: "both")

    less = found(0.5)
    assert (metric_of(less, "nodes").verdict, metric_of(less, "nodes").is_gating) == (LARGER, False)
    assert (less.has_regression, less.cases[0].verdict) == (False, FASTER)
    slow = found(13, nodes=10)
    assert (slow.has_regression, slow.cases[0].verdict, metric_of(slow, TIME).is_alarm) == (True, SLOWER, True)
    assert found(0.5, case=one).has_regression


# --- history -----------------------------------------------------------------------------------------------------


def history(*, change, runs=8, interleaved=False, **fields):
    """Earlier runs whose medians go up and down by a factor, as a table."""
    found = []
    for run in range(runs):
        for number in range(3):
            minutes = 10 * run + number if not interleaved else run + 20 * number
            at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
            made = sample(f"h{run}-{number}", make_case(), make_environment(label=f"run {run}"), change ** (run % 2))
            found.append(replace(made, started_at=at.isoformat(timespec="milliseconds"), **fields))
    return samples_table(found)


def test_a_change_that_the_case_usually_makes_is_none():
    apart = [*side("base", samples=8, spread=0.001), *side("head", samples=8, spread=0.001, scale=1.08)]
    apart = [replace(each, started_at="2025-01-01T00:00:00.000+00:00") for each in apart]
    assert compare(apart, "base", "head").cases[0].verdict is SLOWER
    found = metric_of(compare(apart, "base", "head", history=history(change=1.1)), TIME)
    assert found.noise == Noise(factor=pytest.approx(1.1), changes=7)
    assert found.verdict is SAME
    quiet = metric_of(compare(apart, "base", "head", history=history(change=1.001)), TIME)
    assert (quiet.verdict, quiet.noise.factor) == (SLOWER, pytest.approx(1.001))


def test_rounds_are_held_to_the_noise_of_rounds():
    drifting = compare(rounds(1.10), "base", "head", history=history(change=1.2))
    assert metric_of(drifting, TIME).noise == Noise(factor=1.02)
    assert drifting.cases[0].verdict is SLOWER
    noisy = compare(rounds(1.10), "base", "head", history=history(change=1.2, interleaved=True))
    assert metric_of(noisy, TIME).noise.factor == pytest.approx(1.2)
    assert not noisy.has_regression


def test_history_is_of_the_same_case_conditions_and_earlier():
    records = [replace(each, started_at="2025-01-01T00:00:00+00:00") for each in (*side("base"), *side("head"))]
    others = [
        history(change=1.1).assign(question="another"),
        history(change=1.1).assign(conditions="another"),
        history(change=1.1).assign(started_at=lambda table: "2026" + table["started_at"].str[4:]),
        history(change=1.1).assign(reason="failed"),
        history(change=1.1, runs=5),
    ]
    for each in others:
        found = compare(records, "base", "head", history=each)
        assert metric_of(found, TIME).noise == Noise(factor=1.02)


def test_a_history_of_changes_does_not_blind_the_gate():
    sides = [*side("base", samples=8), *side("head", samples=8, scale=1.5)]
    records = [replace(each, started_at="2025-01-01T00:00:00+00:00") for each in sides]
    found = compare(records, "base", "head", history=history(change=3.0))
    assert metric_of(found, TIME).noise.factor == 1.25
    assert found.has_regression


# --- the rules at their borders ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "before", "after", "verdict"),
    [
        # Seconds: the interval excludes 1, beyond the noise threshold and 10 ms; the same within a margin of 5%
        ("phase_link", [1.0, 1.01, 1.02], [1.1, 1.11, 1.12], SLOWER),
        ("phase_link", [1.0, 1.0, 1.0], [1.019, 1.019, 1.019], SAME),
        ("phase_link", [1.0, 1.0, 1.0], [1.021, 1.021, 1.021], SLOWER),
        ("phase_link", [1.0, 1.1, 1.2], [1.1, 1.2, 1.3], UNDECIDED),
        ("phase_link", [1.0, 1.01, 1.02], [1.0, 1.01, 1.02], SAME),
        ("phase_link", [0.1, 0.1, 0.1], [0.109, 0.109, 0.109], SAME),
        ("phase_link", [0.1, 0.1, 0.1], [0.111, 0.111, 0.111], SLOWER),
        ("phase_link", [1.0, 1.0], [5.0, 5.0, 5.0], UNDECIDED),
        ("phase_link", [1.0, 1.0, 1.0], [5.0], UNDECIDED),
        ("phase_link", [1.0], [1.0], UNDECIDED),
        ("phase_link", [0.0, 0.0, 0.0], [0.2, 0.2, 0.2], SLOWER),
        ("phase_link", [0.0, 0.0, 0.0], [0.0, 0.001, 0.002], SAME),
        ("phase_link", [0.0, 0.0, 0.0], [0.0, 0.2, 0.2], UNDECIDED),
        # A call: 1 microsecond instead of 10 ms
        ("evaluation", [10e-6] * 3, [10.9e-6] * 3, SAME),
        ("evaluation", [10e-6] * 3, [11.1e-6] * 3, SLOWER),
        # Bytes: as seconds, beyond 5 MiB; single samples only beyond the alarm's threshold
        ("peak_memory", [100 * MIB], [112 * MIB], LARGER),
        ("peak_memory", [100 * MIB], [108 * MIB], UNDECIDED),
        ("peak_memory", [100 * MIB], [104 * MIB], SAME),
        ("peak_memory", [100 * MIB] * 2, [109 * MIB] * 2, LARGER),
        ("peak_memory", [20 * MIB], [24 * MIB], SAME),
        ("peak_memory", [20 * MIB], [25 * MIB], LARGER),
        ("peak_memory", [100 * MIB, 100 * MIB, 130 * MIB], [125 * MIB] * 3, UNDECIDED),
        ("retained_memory", [-MIB], [10 * MIB], LARGER),
        ("retained_memory", [-MIB], [MIB], SAME),
        # Counts: the median, be it of one sample
        ("nodes", [1000], [1000], SAME),
        ("nodes", [1000], [1001], LARGER),
        ("instructions", [1000], [1004], SAME),
        ("instructions", [1000], [1006], LARGER),
        ("nodes", [100, 100, 100], [100, 100, 500], SAME),
        ("nodes", [100, 105, 100], [105, 105, 100], UNDECIDED),
        ("nodes", [100, 105, 100], [106, 106, 107], LARGER),
        ("compiled_units", [0], [1], LARGER),
        ("compiled_units", [0], [0], SAME),
        ("nodes", [], [1], MISSING),
    ],
)
def test_the_rules(name, before, after, verdict):
    assert judged(name, before, after).verdict is verdict
    assert judged(name, after, before).verdict is MIRROR.get(verdict, verdict)


def test_what_is_real_but_below_the_threshold_is_no_alarm():
    for name, before, after in (
        ("evaluation", [1.0] * 3, [1.2] * 3),
        ("peak_memory", [1000 * MIB] * 3, [1200 * MIB] * 3),
        ("nodes", [1000], [1200]),
    ):
        factors = ("seconds_factor", "memory_factor", "counts_factor")
        far, near = (
            judged(name, before, after, replace(RULES, **dict.fromkeys(factors, factor))) for factor in (1.3, 1.1)
        )
        assert far.verdict is near.verdict
        assert far.verdict.is_growth
        assert (far.is_alarm, near.is_alarm) == (False, True)
    assert not judged("nodes", [1000], [1010]).is_alarm
    assert judged("nodes", [1000], [1011]).is_alarm
    assert judged("nodes", [0], [1]).is_alarm
    assert not judged("nodes", [1200], [1000]).is_alarm


@pytest.mark.parametrize("factor", [0.99, 0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("kind", "option"),
    [
        ("counts_factor", "--threshold-counts"),
        ("memory_factor", "--threshold-memory"),
        ("seconds_factor", "--threshold"),
        ("noise_factor", "noise_factor"),
    ],
)
def test_a_threshold_below_1_is_refused(kind, option, factor):
    with pytest.raises(SpecError, match=f"{option}: expected a number of 1 or more"):
        Thresholds(**{kind: factor})


def test_a_confidence_that_is_no_probability_is_refused():
    with pytest.raises(SpecError, match="confidence"):
        Thresholds(confidence=1.0)


_numbers = {
    Unit.SECONDS: st.floats(0, 1e4),
    Unit.BYTES: st.integers(-(2**30), 2**34),
    Unit.COUNT: st.integers(0, 10**6),
}


@st.composite
def _two_sides(draw):
    metric = draw(st.sampled_from(METRICS))
    numbers = st.lists(_numbers[metric.unit], min_size=1, max_size=12)
    return metric.name, draw(numbers), draw(numbers)


@given(_two_sides())
def test_a_set_against_itself_has_not_changed_and_swapped_sides_turn_growth_into_less(sides):
    name, before, after = sides
    assert judged(name, before, before, paired=True).verdict in (SAME, UNDECIDED)
    assert judged(name, before, list(reversed(before))).verdict in (SAME, UNDECIDED)
    one, other = judged(name, before, after), judged(name, after, before)
    assert other.verdict is MIRROR.get(one.verdict, one.verdict)
    assert (other.base, other.head) == (one.head, one.base)


@settings(max_examples=50)
@given(st.lists(random_records(), min_size=1, max_size=5))
def test_any_records_against_themselves_are_no_regression(records):
    case, environment = records[0].case, replace(records[0].environment, label="all of them")
    records = [replace(each, case=case, environment=environment) for each in records]
    found = compare(records, "all of them", "all of them")
    assert not found.has_regression
    assert {each.verdict for each in found.cases[0].metrics} <= {SAME, UNDECIDED}


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
    assert changed(found)["nodes"] is LARGER


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


def test_a_failure_that_head_repaired_is_repaired():
    found = compared(failed("base"), side("head"))
    assert found.cases[0].verdict is REPAIRED
    assert found.cases[0].reason.startswith("on BASE 3 of 3 samples: crashed")
    assert not found.has_regression


def test_a_failure_on_both_sides_is_no_regression_and_no_comparison():
    found = compared(failed("base"), failed("head", status=Status.TIMEOUT))
    assert found.cases[0].verdict is UNDECIDED
    assert "on BASE" in found.cases[0].reason
    assert "timeout" in found.cases[0].reason
    assert not found.has_regression
    assert not found.has_compared


@pytest.mark.parametrize(
    ("head", "verdict"),
    [
        (failed("head"), FAILED),
        (side("head", nodes=2000), LARGER),
        ([*side("head", nodes=2000), *failed("head", samples=2)], LARGER),
    ],
    ids=["all fail now", "a repaired failure does not hide what got worse", "where some still fail the numbers decide"],
)
def test_some_failed_before(head, verdict):
    found = compared([*side("base"), *failed("base", samples=1)], head)
    assert found.cases[0].verdict is verdict
    assert found.has_regression


def test_cases_on_one_side_are_missing():
    other, third = make_case("other.py:build"), make_case("third.py:build")
    found = compared(
        [*side("base"), *side("base", case=other)], [*side("head"), *failed("head", samples=1, case=third)]
    )
    assert [each.verdict for each in found.cases] == [MISSING, MISSING, SAME]
    assert found.cases[0].reason == "on BASE only"
    assert found.cases[1].reason.startswith("on HEAD only, 1 of 1 samples: crashed")
    assert not found.has_regression
    assert found.has_compared


def test_nothing_in_common_is_no_comparison():
    assert not compared(side("base"), side("head", case=make_case("other.py:build"))).has_compared
    bare = {"evaluation_seconds": ()}
    found = compared(side("base", **bare), side("head", **bare), metrics=[metric_named("evaluation")])
    assert found.cases[0].verdict is MISSING
    assert not found.has_compared


@pytest.mark.parametrize(
    ("metric", "fields"),
    [("evaluation", {"evaluation_seconds": ()}), (TIME, {"time_to_first_gradient_seconds": float("nan")})],
)
def test_a_metric_whose_numbers_one_side_lacks_or_that_are_not_finite_is_missing(metric, fields):
    assert changed(compared(side("base"), side("head", **fields))) == {metric: MISSING}


def test_only_the_wanted_metrics_are_compared_and_doubts_are_kept():
    head = side("head", nodes=2000, doubts=(Doubt.HIGH_LOAD,))
    found = compared(side("base"), head, metrics=[metric_named("peak_memory")])
    assert verdicts(found) == {"peak_memory": SAME}
    assert found.cases[0].doubts == (Doubt.HIGH_LOAD,)
    assert not found.has_regression


# --- unlike sides ------------------------------------------------------------------------------------------------

HOST = replace(make_environment().host, cores=8)


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
        ({"bytecode": True}, {"bytecode": False}, "bytecode is compiled on BASE and not compiled on HEAD"),
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


def test_firstgrad_and_the_load_may_differ_and_alike_sides_are_not_marked_by_force():
    assert not compared(side("base"), side("head"), force=True).is_forced
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
    with pytest.raises(SpecError, match="There are compiler, device, flags, pymc, python, threads"):
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


def test_a_label_goes_before_what_git_knows_and_a_name_that_git_knows_is_resolved():
    found, _ = find_side(committed(), "head", lambda _: BASE_COMMIT)
    assert (found.kind, found.value) == (SideKind.LABEL, "head")
    found, _ = find_side(committed(), "HEAD~1", {"HEAD~1": BASE_COMMIT}.__getitem__)
    assert (found.kind, found.value) == (SideKind.COMMIT, BASE_COMMIT)
    assert str(found) == "HEAD~1 (commit a1b2c3d000)"


@pytest.mark.parametrize("name", ["nowhere", "", BASE_COMMIT[:6], "deadbeef"])
def test_an_unknown_side_says_what_is_there(name):
    with pytest.raises(UnknownSideError) as caught:
        find_side(committed(), name)
    for there in (repr(name), "labels head, base", "commits a1b2c3e111, a1b2c3d000"):
        assert there in str(caught.value)


@pytest.mark.parametrize(
    ("records", "name", "message"),
    [
        (committed(), "main", r"'main'.*\(commit ffffffffff\)"),
        (
            [*committed(), *side("third", environment={"git_commit": HEAD_COMMIT[:-1] + "f"})],
            HEAD_COMMIT[:10],
            r"begins several commits.*Give more digits",
        ),
        ([], "main", "firstgrad measure"),
    ],
    ids=["a commit that git knows and the store does not", "a prefix of two commits", "an empty store"],
)
def test_a_side_that_is_not_one_is_refused(records, name, message):
    with pytest.raises(UnknownSideError, match=message):
        find_side(records, name, lambda name: "f" * 40 if name == "main" and records else "")


def test_records_on_both_sides_are_counted():
    records = committed()
    found = compare(records, "head", HEAD_COMMIT)
    assert found.shared_samples == 2
    assert not found.has_regression


def test_a_comparison_survives_json():
    found = compared(side("base"), [*side("head", nodes=2000), *failed("head", samples=1)])
    assert from_json(to_json(found), type(found)) == found


def test_counts_that_identical_runs_do_not_repeat_are_no_alarm_under_any_gate():
    for name in ("python_blocks", "calls_link"):
        metric = metric_named(name)
        assert not metric.is_exact
        assert not any(is_gating(metric, gate) for gate in Gate)
    assert all(is_gating(metric_named("nodes"), gate) for gate in Gate)
