"""Records to series: the order of the axis, estimates, failures, and what is never pooled."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firstgrad.case import BackendName, Scenario
from firstgrad.columns import metric_named
from firstgrad.doubts import why_unusable
from firstgrad.estimates import estimate_median
from firstgrad.growth.series import (
    AxisKind,
    commit_axis,
    default_backend,
    group_records,
    make_series,
    release_axis,
    tell_apart,
)
from firstgrad.phase import Phase
from firstgrad.record import CacheUse, Check, Doubt, Failure, HostFingerprint, Mismatch, Status, Verdict
from helpers import make_case, make_environment, make_record

FIRST_GRADIENT = metric_named("time_to_first_gradient")
OLD, NEW = "a" * 40, "b" * 40


def sample(seconds, *, case=None, number=0, started="2025-01-01", status=Status.OK, failure=None, doubts=(), **fields):
    return make_record(
        record_id=f"{seconds}-{number}-{started}-{fields}",
        started_at=started,
        case=case or make_case(),
        status=status,
        failure=failure,
        doubts=doubts,
        environment=make_environment(**fields),
        time_to_first_gradient_seconds=seconds,
    )


def released(seconds, version, *others, **fields):
    return sample(seconds, versions=(("pymc", version), *others), **fields)


def series_of(records, axis):
    return make_series(group_records(records, axis), FIRST_GRADIENT)


def test_commits_come_in_gits_order_with_their_subjects():
    records = [sample(1.0, git_commit=NEW, started="2025-01-01"), sample(2.0, git_commit=OLD, started="2025-01-02")]
    axis = commit_axis(records, {OLD: "the old one", "c" * 40: "not measured", NEW: "later"})
    assert axis.kind is AxisKind.COMMIT
    assert [(place.key, place.title) for place in axis.places] == [(OLD, "the old one"), (NEW, "later")]
    assert axis.places[0].name == OLD[:10]
    (series,) = series_of(records, axis)
    assert [(point.place, point.estimate.value) for point in series.points] == [(OLD, 2.0), (NEW, 1.0)]


def test_without_git_commits_come_by_their_first_record_and_those_that_git_no_longer_knows_come_first():
    days = ((NEW, 3), (OLD, 2), (NEW, 1))
    records = [sample(1.0, git_commit=commit, started=f"2025-01-0{day}") for commit, day in days]
    assert [place.key for place in commit_axis(records).places] == [NEW, OLD]
    records = [sample(1.0, git_commit=OLD, started="2025-01-01"), sample(1.0, git_commit=NEW, started="2025-01-02")]
    assert [place.key for place in commit_axis(records, {OLD: ""}).places] == [NEW, OLD]


def test_releases_come_by_version_and_not_by_text():
    versions = ["5.28.5", "6.0.0", "5.9.1", "6.0.0rc1", "5.16.2", "a fork"]
    axis = release_axis([released(1.0, version) for version in versions])
    assert [place.key for place in axis.places] == ["a fork", "5.9.1", "5.16.2", "5.28.5", "6.0.0rc1", "6.0.0"]


@pytest.mark.parametrize(
    ("release", "backend"),
    [("5.16.2", "c"), ("5.28.5", "c"), ("6.0.0rc1", "numba"), ("6.4.0", "numba"), ("a fork", "c")],
)
def test_the_default_backend_changes_with_pymc_6(release, backend):
    assert default_backend(release) is BackendName(backend)


def test_a_place_has_the_estimate_of_its_samples():
    seconds = [3.0, 1.0, 2.0, 9.0, 4.0, 5.0, 6.0]
    records = [released(each, "6.4.0", number=number) for number, each in enumerate(seconds)]
    (series,) = series_of(records, release_axis(records))
    (point,) = series.points
    assert point.estimate == estimate_median(seconds)
    assert (point.estimate.value, point.estimate.samples) == (4.0, 7)
    assert dict(series.conditions)["host"] == records[0].environment.host.digest


def test_cases_and_hosts_are_never_pooled():
    other_host = HostFingerprint(processor="another", cores=2, memory_bytes=2**30, operating_system="Linux")
    warm = make_case(scenario=Scenario.WARM)
    records = [
        sample(1.0, git_commit=OLD),
        sample(2.0, git_commit=OLD, host=other_host),
        sample(3.0, git_commit=OLD, case=warm),
        sample(5.0, git_commit=NEW),
    ]
    labelled = [*records[:1], sample(9.0, git_commit=OLD, label="other")]
    assert tell_apart(series_of(labelled, commit_axis(labelled))) == ("label none", "label other")
    found = series_of(records, commit_axis(records, {OLD: "", NEW: ""}))
    assert [[point.estimate.value for point in each.points] for each in found] == [[1.0, 5.0], [2.0], [3.0]]
    hosts = [dict(each.conditions)["host"] for each in found]
    assert hosts[1] == other_host.digest
    assert tell_apart(found) == tuple(f"host {host}" for host in hosts)


def test_along_commits_other_packages_make_another_series_but_another_firstgrad_does_not():
    def at(seconds, commit, own, pymc):
        return sample(seconds, git_commit=commit, versions=(("firstgrad", own), ("pymc", pymc)))

    records = [at(1.0, OLD, "0.1", "6.4.0"), at(2.0, NEW, "0.2", "6.4.0"), at(9.0, NEW, "0.2", "5.28.5")]
    found = series_of(records, commit_axis(records))
    assert [len(each.points) for each in found] == [2, 1]
    assert tell_apart(found) == ("pymc 6.4.0", "pymc 5.28.5")


def test_along_releases_packages_differ_and_the_newest_set_of_a_place_is_taken():
    records = [
        released(1.0, "5.28.5", ("pytensor", "2.38.0"), started="2025-01-01"),
        released(2.0, "5.28.5", ("pytensor", "2.38.1"), started="2025-01-03"),
        released(3.0, "6.4.0", ("pytensor", "3.3.7"), started="2025-01-02"),
    ]
    (series,) = series_of(records, release_axis(records))
    assert [(point.place, point.estimate.value) for point in series.points] == [("5.28.5", 2.0), ("6.4.0", 3.0)]


def test_limits_tell_apart_only_what_would_have_the_same_name():
    more = make_case(evaluations=500)
    records = [sample(1.0, git_commit=OLD), sample(2.0, git_commit=OLD, case=more)]
    assert tell_apart(series_of(records, commit_axis(records))) == ("evaluations 3", "evaluations 500")
    other = [sample(1.0, git_commit=OLD), sample(2.0, git_commit=OLD, case=make_case("x.py:build", evaluations=9))]
    assert tell_apart(series_of(other, commit_axis(other))) == ("", "")


def test_failed_samples_are_counted_with_their_reason_and_give_no_number():
    broken = Failure(kind="CompileError", message="g++ said no\nand more", phase=Phase.LINK)
    records = [
        sample(1.0, git_commit=OLD, doubts=(Doubt.HIGH_LOAD,)),
        *(sample(99.0, number=i, git_commit=OLD, status=Status.FAILED, failure=broken) for i in range(2)),
        sample(None, git_commit=NEW, status=Status.TIMEOUT),
    ]
    (series,) = series_of(records, commit_axis(records, {OLD: "", NEW: ""}))
    old, new = series.points
    assert (old.estimate.value, old.estimate.samples) == (1.0, 1)
    assert old.failed == (("failed in link: CompileError: g++ said no", 2),)
    assert old.doubts == (Doubt.HIGH_LOAD,)
    assert (new.estimate, new.n_failed, new.failed[0][0]) == (None, 1, "timeout")


def test_wrong_results_and_contradicted_scenarios_are_failures():
    mismatch = Mismatch(group="rho", index=(1,), expected=2.0, got=3.0)
    wrong = replace(
        sample(1.0, git_commit=OLD),
        status=Status.MISMATCH,
        check=Check(verdict=Verdict.DISAGREES, mismatches=(mismatch,)),
    )
    caches = CacheUse(entries_before=3, entries_read=3, entries_written=0, bytes_written=0, contradiction="3 were read")
    contradicted = replace(sample(1.0, git_commit=OLD), caches=caches, doubts=(Doubt.SCENARIO_CONTRADICTED,))
    doubtful = sample(7.0, git_commit=OLD, doubts=(Doubt.HIGH_LOAD,))
    records = [wrong, contradicted, doubtful]
    (series,) = series_of(records, commit_axis(records))
    (point,) = series.points
    assert {reason for reason, _ in point.failed} == {why_unusable(wrong), why_unusable(contradicted)}
    assert (point.n_failed, point.estimate.value, point.estimate.samples) == (2, 7.0, 1)


def test_what_has_no_number_or_no_place_makes_no_series():
    axis = release_axis([released(1.0, "6.4.0")])
    assert series_of([sample(1.0), released(None, "6.4.0"), released(float("nan"), "6.4.0")], axis) == ()
