from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas import concat

from firstgrad.case import BackendName, Case, Scenario
from firstgrad.columns import metric_named, samples_table
from firstgrad.growth.change import GATING, GrowthChangeVerdict, _judge, find_growth_changes
from firstgrad.growth.law import GrowthLaw, Interval, NoLaw
from firstgrad.pose.spec import PoseSpec
from firstgrad.record import Counts, Memory, Status
from helpers import COVERAGE, MIB, make_environment, make_record, seeds

SIZES = (10, 30, 100, 300, 1000)
CPU = metric_named("time_to_first_gradient_cpu")
NODES = metric_named("nodes")
GREW, SHRANK, SAME, UNDECIDED = GrowthChangeVerdict


def samples_of(
    seconds_at,
    *,
    noise=0.05,
    seed=0,
    samples=3,
    sizes=SIZES,
    nodes_at=lambda _: 100,
    bytes_at=lambda _: 400 * MIB,
    backend=BackendName.JAX,
    directions=2,
    scenario=Scenario.COLD,
    **environment,
):
    """One side: a sweep over T with planted laws."""
    rng = np.random.default_rng(seed)
    records = [
        make_record(
            record_id=f"{backend}-{scenario}-{directions}-{size}-{number}-{seed}",
            case=Case(model=PoseSpec(n_timesteps=size, n_directions=directions), backend=backend, scenario=scenario),
            environment=make_environment(**environment),
            time_to_first_gradient_cpu_seconds=seconds_at(size) * math.exp(noise * rng.normal()),
            memory=Memory(peak_rss_bytes=round(bytes_at(size) * math.exp(0.001 * rng.normal()))),
            counts=Counts(groups=1, values=1, nodes_after=round(nodes_at(size)), compiled_units=7),
        )
        for size in sizes
        for number in range(samples)
    ]
    return samples_table(records)


def compare(base, head, metric=CPU, **options):
    """The only line of one metric."""
    changes = find_growth_changes(base, head, metrics=[metric], **options)
    (line,) = changes.lines
    return line


def test_a_risen_exponent_is_found():
    for seed in range(10):
        line = compare(
            samples_of(lambda size: 2 + 0.1 * size, seed=seed),
            samples_of(lambda size: 2 + 0.1 * size**1.5, seed=100 + seed),
        )
        assert line.exponent.what == "exponent"
        assert line.exponent.verdict is GREW
        assert 0.5 in line.exponent.difference
        assert line.verdict is GREW


def test_a_fallen_exponent_is_found_and_is_no_alarm():
    changes = find_growth_changes(
        samples_of(lambda size: 2 + 0.1 * size**1.5), samples_of(lambda size: 2 + 0.1 * size, seed=1), metrics=[CPU]
    )
    assert changes.lines[0].exponent.verdict is SHRANK
    assert not changes.has_alarm


def test_a_doubled_fixed_cost_is_found_and_the_exponent_is_not_blamed():
    found = []
    for seed in range(10):
        line = compare(
            samples_of(lambda size: 10 + 0.1 * size, seed=seed),
            samples_of(lambda size: 20 + 0.1 * size, seed=100 + seed),
        )
        assert line.exponent.verdict not in (GREW, SHRANK)
        assert (line.fixed_cost.what, 10.0 in line.fixed_cost.difference) == ("fixed cost", True)
        found.append(line.fixed_cost.verdict)
    assert found.count(GREW) == 10


def test_what_does_not_grow_is_all_fixed_cost():
    line = compare(samples_of(lambda _: 10.0), samples_of(lambda _: 20.0, seed=1))
    assert line.fixed_cost.what == "level"
    assert line.fixed_cost.verdict is GREW
    assert 10.0 in line.fixed_cost.difference
    assert (line.exponent.what, line.exponent.verdict) == ("mean slope", SAME)


def test_flat_that_became_linear_has_a_risen_slope():
    line = compare(samples_of(lambda _: 10.0), samples_of(lambda size: 10 + 0.5 * size, seed=1))
    assert (line.exponent.what, line.exponent.verdict) == ("mean slope", GREW)


def test_a_against_a_raises_hardly_an_alarm(golden):
    laws = (lambda _: 5.0, lambda size: 0.1 * size, lambda size: 5 + 0.1 * size, lambda size: 5 + 0.01 * size**1.5)
    alarms = 0
    for seed in range(seeds(200)):
        law, noise = laws[seed % 4], (0.05, 0.1, 0.2)[seed % 3]
        line = compare(*(samples_of(law, noise=noise, seed=1000 * side + seed) for side in (1, 2)))
        alarms += line.verdict in (GREW, SHRANK)
    golden.numbers(COVERAGE, {"change of growth, alarms": alarms})
    assert alarms <= 0.02 * seeds(200)


def test_equal_numbers_are_the_same_however_badly_a_law_fits_them():
    def steps(size):
        return 3 * size + 70 * (size % 4) + 11

    line = compare(samples_of(lambda _: 1.0, nodes_at=steps), samples_of(lambda _: 1.0, nodes_at=steps, seed=1), NODES)
    assert line.verdict is SAME
    assert line.exponent.difference == line.fixed_cost.difference == Interval(0.0, 0.0, 0.0)


def test_counts_without_noise_are_judged_by_their_laws_alone():
    line = compare(
        samples_of(lambda _: 1.0, nodes_at=lambda size: 100 + 2 * size),
        samples_of(lambda _: 1.0, nodes_at=lambda size: 200 + 2 * size),
        NODES,
    )
    assert line.fixed_cost.verdict is GREW
    assert line.fixed_cost.difference.value == pytest.approx(100, rel=1e-4)
    assert line.exponent.verdict is SAME


def test_one_more_node_is_no_alarm():
    line = compare(
        samples_of(lambda _: 1.0, nodes_at=lambda size: 100 + 2 * size),
        samples_of(lambda _: 1.0, nodes_at=lambda size: 101 + 2 * size),
        NODES,
    )
    assert line.verdict is SAME


def test_memory_that_began_to_grow_is_found():
    changes = find_growth_changes(
        samples_of(lambda _: 1.0), samples_of(lambda _: 1.0, bytes_at=lambda size: (400 + size) * MIB, seed=1)
    )
    assert changes.has_alarm
    assert {line.metric.name for line in changes.lines if line.verdict is GREW} == {"peak_memory"}


def test_the_gating_metrics_are_those_of_cost_not_of_wall_time():
    assert [metric.name for metric in GATING] == [
        "time_to_first_gradient_cpu",
        "time_to_first_draw_cpu",
        "peak_memory",
        "nodes",
        "compiled_units",
    ]


def test_lines_are_matched_by_all_but_the_axis():
    def side(directions, seed):
        return concat(
            samples_of(lambda _, level=each: float(level), directions=each, seed=seed + number)
            for number, each in enumerate(directions)
        )

    changes = find_growth_changes(side((1, 2, 3), 0), side((3, 2, 9), 50), axes=["timesteps"], metrics=[CPU])
    assert [line.name for line in changes.lines] == ["K=2", "K=3"]
    assert all(line.verdict is SAME for line in changes.lines)
    assert [each.split(",")[:2] for each in changes.unmatched] == [
        ["timesteps", " BASE only: pose"],
        ["timesteps", " HEAD only: pose"],
    ]
    assert ["K=1" in each for each in changes.unmatched] == [True, False]


def test_scenarios_are_never_matched_and_backends_where_they_are_what_is_compared():
    base, head = samples_of(lambda _: 1.0), samples_of(lambda _: 1.0, scenario=Scenario.WARM, seed=1)
    assert find_growth_changes(base, head).lines == ()
    assert len(find_growth_changes(base, head).unmatched) == 2
    other = samples_of(lambda _: 1.0, backend=BackendName.NUMBA, seed=1)
    changes = find_growth_changes(base, other)
    assert not changes.unmatched
    assert {(line.name, line.is_alike) for line in changes.lines} == {("jax to numba", False)}
    assert "numba" not in changes.lines[0].common
    assert {line.name for line in find_growth_changes(base, concat([base, other])).lines} == {"jax, cold"}


def test_releases_are_matched_although_their_packages_differ():
    old, new = (("pymc", "5.28.5"),), (("pymc", "6.4.0"),)
    line = compare(samples_of(lambda _: 5.0, versions=old), samples_of(lambda _: 10.0, versions=new, seed=1))
    assert line.fixed_cost.verdict is GREW
    both = concat([samples_of(lambda _: 5.0, versions=old), samples_of(lambda _: 9.0, versions=new, seed=1)])
    equal = compare(both, samples_of(lambda _: 9.0, versions=new, seed=2))
    assert equal.verdict is SAME


def test_different_hosts_have_no_comparable_fixed_cost_but_an_exponent():
    host = replace(make_environment().host, processor="another")
    line = compare(samples_of(lambda size: 0.1 * size), samples_of(lambda size: 0.1 * size**1.5, seed=1, host=host))
    assert line.fixed_cost is None
    assert "different hosts" in line.reason
    assert line.exponent.verdict is GREW


def test_three_sizes_compare_slopes_alone():
    line = compare(
        samples_of(lambda size: size, sizes=SIZES[:3]), samples_of(lambda size: size**1.6, sizes=SIZES[:3], seed=1)
    )
    assert (line.fixed_cost, line.reason) == (None, "three sizes can't tell a fixed cost")
    assert line.exponent.verdict is GREW


def test_sizes_that_one_side_lacks_do_not_count():
    def bent(size):
        return 10 + 0.05 * size

    line = compare(samples_of(bent, noise=0.02), samples_of(bent, noise=0.02, seed=1, sizes=(10, 30, 60, 100, 300)))
    assert set(line.base.observations.sizes) == set(line.head.observations.sizes) == {10, 30, 100, 300}
    assert line.exponent.verdict is not GREW


def test_too_few_common_sizes_are_undecided_and_say_so():
    failed = samples_of(lambda size: size)
    failed.loc[failed["timesteps"] > 30, ["status", "reason"]] = Status.FAILED, "it failed"
    line = compare(samples_of(lambda size: size, seed=1), failed)
    assert isinstance(line.base, NoLaw)
    assert line.verdict is UNDECIDED
    assert line.reason.startswith("BASE: a law takes 3 different sizes")


def test_a_side_of_zeros_is_undecided_and_says_why_but_zeros_on_both_are_the_same():
    nothing, something = (samples_of(lambda _: 1.0, nodes_at=lambda _, n=nodes: n) for nodes in (0, 100))
    line = compare(something, nothing, NODES)
    assert isinstance(line.base, GrowthLaw)
    assert line.verdict is UNDECIDED
    assert line.reason.startswith("HEAD: every observation has a value of 0")
    assert compare(nothing, nothing, NODES).verdict is SAME


def test_more_lines_widen_every_interval():
    base, head = (
        concat(samples_of(lambda s: 5 + s, directions=d, seed=10 * side + d) for d in (1, 2, 3)) for side in (0, 1)
    )
    many = find_growth_changes(base, head, axes=["timesteps"], metrics=[CPU])
    few = find_growth_changes(
        *(side[side["directions"] == 1] for side in (base, head)), axes=["timesteps"], metrics=[CPU]
    )
    assert (many.n_tests, few.n_tests) == (6, 2)
    assert many.lines[0].exponent.difference.width > 1.05 * few.lines[0].exponent.difference.width


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (Interval(0.3, 0.01, 0.6), GREW),
        (Interval(0.04, 0.03, 0.05), SAME),
        (Interval(0.3, -0.01, 0.6), UNDECIDED),
        (Interval(-0.3, -0.6, -0.01), SHRANK),
        (Interval(0.0, -0.25, 0.25), SAME),
        (Interval(0.0, -0.25, math.inf), UNDECIDED),
    ],
)
def test_the_rules_of_verdicts(difference, verdict):
    assert _judge(difference, 0.05, 0.25) is verdict


@given(factor=st.floats(0.2, 5), seed=st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_exchanged_sides_exchange_the_verdict(factor, seed):
    base, head = samples_of(lambda _: 10.0, seed=seed), samples_of(lambda _: 10 * factor, seed=seed + 100)
    there, back = compare(base, head), compare(head, base)
    for one, other in ((there.exponent, back.exponent), (there.fixed_cost, back.fixed_cost)):
        assert one.difference.value == pytest.approx(-other.difference.value)
        assert one.difference.low == pytest.approx(-other.difference.high)
    swapped = {GREW: SHRANK, SHRANK: GREW}
    assert back.exponent.verdict is swapped.get(there.exponent.verdict, there.exponent.verdict)
