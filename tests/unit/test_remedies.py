"""Remedies: recognised on planted models, silent on others, backed by what is in the repository."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.remedies.run import SIDES, find_evidence
from firstgrad.advising.advice import Workload, find_offers, make_advice, ratio_of_times
from firstgrad.advising.remedies import REMEDIES, find_remedies, looks_unrolled, numbered_groups
from firstgrad.advising.situation import (
    Basis,
    Evidence,
    RemedyName,
    Situation,
    Surroundings,
    load_evidence,
    look_around,
)
from firstgrad.case import Scenario, Target
from firstgrad.estimates import Estimate
from firstgrad.model import as_model
from firstgrad.pose.spec import Formulation, HmmAlgorithm, HmmSpec, Missing, PoseSpec
from firstgrad.record import Counts, Status
from firstgrad.store import import_jsonl
from planted_advice import MODEL, asked, group, planted_sample, planted_samples

DATA = Path(__file__).parents[2] / "docs" / "data"
QUIET = Surroundings(
    in_ci=False, in_container=False, cache_folder="/home/me/.pytensor", cache_doubt="", flags="", has_jax_cache=True
)


def look(records, model=MODEL, *, evaluations=1000, evidence=None, **around):
    workload = Workload(evaluations=evaluations)
    advice = make_advice(find_offers(records, asked(records), workload), workload)
    situation = Situation(
        model=as_model(model),
        records=tuple(records),
        advice=advice,
        surroundings=replace(QUIET, **around),
        evidence=load_evidence() if evidence is None else evidence,
    )
    return {each.remedy: each for each in find_remedies(situation)}


def proof(remedy, metric, value):
    ratio = Estimate(value=value, low=0.9 * value, high=1.1 * value, confidence=0.95, samples=3)
    return Evidence(
        remedy=remedy, metric=metric, ratio=ratio, case="a case, jax, dlogp, cold", versions=(), measured_on="a day"
    )


def proofs(remedy, first, call):
    return (proof(remedy, "time_to_first_gradient_cpu", first), proof(remedy, "evaluation", call))


def test_a_plain_model_in_a_plain_place_needs_no_remedy():
    assert look(planted_samples(groups=(group("mu"), group("tau"), group("theta", 8)))) == {}


def test_the_catalogue_is_the_closed_list():
    assert list(REMEDIES) == list(RemedyName)


def test_numbered_groups_of_one_size_are_recognised_and_the_saving_is_an_estimate():
    groups = (*(group(f"raw_u_{number}", 300) for number in range(1, 6)), group("sigma_1"), group("sigma_2"))
    found = look(planted_samples(groups=groups))[RemedyName.VECTORISE]
    assert "5 called raw_u_# of 300 values" in found.because
    assert "sigma" not in found.because  # two may be by chance
    first = found.savings[0]
    assert first.basis is Basis.ESTIMATE
    assert "benchmarks.remedies.run" in first.of_what
    # The best cold first gradient is JAX's, 10 s.
    assert first.saved_seconds[0] == pytest.approx((1 - first.ratio.value) * 10.0)


def test_groups_of_unlike_sizes_are_no_loop():
    assert numbered_groups([group("x_1", 1), group("x_2", 2), group("x_3", 3)]) == ()


def test_on_the_pose_model_the_other_formulation_is_measured():
    given, other = PoseSpec(), PoseSpec(formulation=Formulation.VECTORISED)
    groups = tuple(group(f"raw_u_{number}", 300) for number in range(1, 6))
    slow = planted_samples({"jax": (10.0, 1e-3)}, model=given, groups=groups)
    fast = planted_samples({"jax": (4.0, 0.4e-3)}, model=other)
    cold, warm = look([*slow, *fast], given)[RemedyName.VECTORISE].savings
    assert (cold.basis, warm.basis) == (Basis.MEASURED, Basis.MEASURED)
    assert cold.ratio.value == pytest.approx(0.4)
    assert cold.is_sure
    assert cold.saved_seconds[0] == pytest.approx(0.6 * 11.0)
    assert RemedyName.VECTORISE not in look([*slow, *fast], other)


def test_nan_gradients_are_recognised_with_their_groups():
    records = planted_samples(groups=(group("mu"), group("length_1", 20, nan=7)))
    found = look(records)[RemedyName.MASK_FIRST]
    assert "7 gradient values in 1 of 2 groups are NaN or infinite, length_1 first" in found.because
    assert "where(mask" in found.how


def test_an_unrolled_loop_is_recognised_by_counts():
    counts = Counts(
        groups=4,
        values=43,
        nodes_before=1230,
        nodes_after=672,
        nodes_by_type=(("Elemwise", 388), ("DimShuffle", 162), ("Subtensor", 80), ("IncSubtensor", 40), ("Join", 1)),
    )  # as examples/models/unrolled_time_series.py has them
    assert looks_unrolled(counts)
    found = look(planted_samples(counts=counts))[RemedyName.ROLL_LOOPS]
    assert "1,230 nodes for 4 variables, and 120 nodes that take or set single elements" in found.because


def test_the_pose_models_of_the_sweep_are_not_taken_for_unrolled_loops_of_a_user():
    for record in import_jsonl(DATA / "growth.jsonl"):
        hmm = record.case.model.pose.hmm
        if hmm is None or hmm.algorithm is HmmAlgorithm.SCAN:
            assert not looks_unrolled(record.counts), record.case


@pytest.mark.parametrize(
    ("algorithm", "remedy"),
    [(HmmAlgorithm.UNROLLED, RemedyName.ROLL_LOOPS), (HmmAlgorithm.TREE, RemedyName.SCAN_NOT_TREE)],
)
def test_the_pose_models_algorithms_are_recognised(algorithm, remedy):
    evidence = proofs(remedy, 0.25, 0.7)
    spec = PoseSpec(hmm=HmmSpec(algorithm=algorithm))
    found = look(planted_samples(model=spec), spec, evidence=evidence)
    assert found[remedy].savings[0].ratio.value == 0.25
    scan = PoseSpec(hmm=HmmSpec(algorithm=HmmAlgorithm.SCAN))
    assert remedy not in look(planted_samples(model=scan), scan, evidence=evidence)


def test_a_users_scan_is_best_left_alone():
    counts = Counts(groups=4, values=9, nodes_before=300, nodes_by_type=(("Elemwise", 20), ("Scan", 2)))
    evidence = (
        proof(RemedyName.SCAN_NOT_TREE, "time_to_first_gradient_cpu", 0.8),
        proof(RemedyName.ROLL_LOOPS, "time_to_first_gradient_cpu", 0.25),
    )
    found = look(planted_samples(counts=counts), evidence=evidence)[RemedyName.SCAN_NOT_TREE]
    assert found.because == "Scan nodes in the graph: 2"
    assert "nothing to save" in found.instead
    assert not found.savings


def test_the_price_of_lost_caches_is_measured_as_cold_less_warm():
    cold = planted_samples({"numba": (100.0, 1e-3)}, scenarios=(Scenario.COLD,))
    warm = planted_samples({"numba": (4.0, 1e-3)}, scenarios=(Scenario.WARM,))
    found = look([*cold, *warm], in_ci=True)[RemedyName.KEEP_CACHES]
    assert found.because == "this is a CI run (CI is set)"
    (saving,) = found.savings
    assert saving.basis is Basis.MEASURED
    assert saving.ratio.value == pytest.approx(0.04)
    assert saving.saved_seconds[0] == pytest.approx(96.0)


def test_jax_without_a_cache_folder_keeps_nothing():
    found = look(planted_samples({"jax": (10.0, 1e-3)}), has_jax_cache=False)
    assert "JAX_COMPILATION_CACHE_DIR is not set" in found[RemedyName.KEEP_CACHES].because


@pytest.mark.parametrize("remedy", [RemedyName.FAST_COMPILE, RemedyName.EXCLUDE_REWRITES])
def test_fewer_rewrites_are_proposed_only_where_they_pay(remedy):
    mark = {"fast_compile": "mode=FAST_COMPILE", "exclude_rewrites": "optimizer_excluding=fusion"}[remedy]
    evidence = proofs(remedy, 0.5, 3.0)
    samples = planted_samples({"jax": (10.0, 1e-3)})
    # 10 s to the first gradient and 1 ms a call: 5 s are saved, 2 ms a call are lost.
    assert "mode=pytensor" in look(samples, evidence=evidence, evaluations=100)[remedy].how
    assert remedy not in look(samples, evidence=evidence, evaluations=100_000)
    assert remedy not in look(samples, evidence=())
    # Set already, where it costs more than it saves.
    found = look(samples, evidence=evidence, evaluations=100_000, flags=mark)[remedy]
    assert found.how.startswith("Take")
    assert "3.00" in found.instead
    assert remedy not in look(samples, evidence=evidence, evaluations=100, flags=mark)


def test_a_pass_for_each_variable_is_named_where_one_would_do():
    evidence = proofs(RemedyName.ONE_GRADIENT, 0.8, 1.0)
    many = tuple(group(name) for name in "abcdefgh")
    samples = planted_samples(groups=many)
    found = look(samples, evidence=evidence)[RemedyName.ONE_GRADIENT]
    assert "each of 8 variables" in found.because
    assert "logp_dlogp" in found.how
    assert RemedyName.ONE_GRADIENT not in look(planted_samples(groups=many[:-1]), evidence=evidence)
    as_nuts = [replace(each, case=replace(each.case, target=Target.LOGP_DLOGP)) for each in samples]
    assert RemedyName.ONE_GRADIENT not in look(as_nuts, evidence=evidence)
    assert RemedyName.ONE_GRADIENT not in look(samples, evidence=proofs(RemedyName.ONE_GRADIENT, 1.2, 1.0))


def test_an_interval_that_holds_one_is_not_sure():
    saving = look(planted_samples(groups=tuple(group(f"x_{n}") for n in range(4))))[RemedyName.VECTORISE].savings[0]
    assert not replace(saving, ratio=ratio_of_times([1.0, 2.0], [1.0, 2.1])).is_sure


def test_the_environment_tells_ci_containers_and_fresh_folders(tmp_path):
    old = tmp_path / "home" / ".pytensor"
    old.mkdir(parents=True)
    (old / "entry").touch()
    now = (old / "entry").stat().st_mtime + 1e6
    home = {"HOME": str(old.parent), "TMPDIR": str(tmp_path / "tmp")}
    here = look_around(home, root=tmp_path, now=now)
    assert (here.reasons, here.cache_folder, here.has_jax_cache) == ((), str(old), False)
    (tmp_path / ".dockerenv").touch()
    there = look_around(home | {"CI": "true"}, root=tmp_path, now=now)
    assert there.reasons == ("this is a CI run (CI is set)", "this is a container")
    assert look_around(home | {"CI": "false"}, root=tmp_path / "home", now=now).reasons == ()
    flags = home | {"PYTENSOR_FLAGS": f"floatX=float64,base_compiledir={tmp_path / 'tmp' / 'x'}"}
    assert "which is emptied now and then" in look_around(flags, root=tmp_path / "home").cache_doubt
    flags = home | {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path}/nowhere"}
    assert look_around(flags, root=tmp_path / "home").cache_doubt == "is not there yet"
    fresh = look_around(home, root=tmp_path / "home", now=now - 1e6 + 60)
    assert fresh.cache_doubt == "is younger than an hour"
    (old / "entry").unlink()
    assert look_around(home, root=tmp_path / "home", now=now).cache_doubt == "is empty"


def test_what_is_shipped_is_what_the_records_say():
    records = list(import_jsonl(DATA / "remedies.jsonl"))
    assert load_evidence() == find_evidence(records)
    labels = {each.environment.label for each in records}
    backed = {each.remedy for each in load_evidence()}
    for remedy, sides in SIDES.items():
        assert (remedy in backed) == (set(sides) <= labels)
    assert {each.status for each in records if each.environment.label != "naive"} == {Status.OK}
    naive = [each for each in records if each.case.model.pose.missing is Missing.NAIVE]
    assert naive
    assert all(each.check.n_not_finite for each in naive)


def test_the_numbers_of_a_ratio_come_from_good_samples_of_the_right_labels():
    def labelled(label, seconds):
        return [
            planted_sample(part * seconds, 1e-3, number=part, label=label, model=PoseSpec()) for part in (0.9, 1.0, 1.1)
        ]

    records = [*labelled("per_joint", 8.0), *labelled("vectorised", 2.0), *labelled("other", 99.0)]
    bad = replace(labelled("vectorised", 500.0)[0], status=Status.TIMEOUT)
    first, call = find_evidence([*records, bad])
    assert (first.remedy, first.metric) == (RemedyName.VECTORISE, "time_to_first_gradient_cpu")
    assert first.ratio.value == pytest.approx(0.25)
    assert call.ratio.value == pytest.approx(1.0)
    assert re.match(r"pose T=100 K=5 no HMM, jax", first.case)
