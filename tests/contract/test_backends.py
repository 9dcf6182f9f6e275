"""Every backend, really compiled in real workers: scenarios proven, phases complete, results agreeing.

One private folder a backend serves cold, warm and hot, so each is compiled cold once.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from firstgrad.case import BackendName, Case, Scenario, Target
from firstgrad.doubts import UNACCOUNTED_FRACTION
from firstgrad.measuring.launch import measure, run_sample
from firstgrad.measuring.private import PrivateCaches
from firstgrad.model import Model
from firstgrad.phase import FIRST_GRADIENT_PHASES, Phase
from firstgrad.pose.spec import Formulation, HmmSpec, Likelihood, Missing, PoseSpec
from firstgrad.record import Status, Verdict

pytestmark = pytest.mark.compiles

TINY = f"{Path(__file__).with_name('tiny_model.py')}:build"
SMALL_POSE = PoseSpec(
    n_timesteps=3,
    n_directions=1,
    n_cameras=1,
    formulation=Formulation.VECTORISED,
    likelihood=Likelihood.GAUSSIAN,
)
BACKENDS = [
    pytest.param(BackendName.C, marks=pytest.mark.skipif(not shutil.which("g++"), reason="there is no g++")),
    pytest.param(BackendName.NUMBA, marks=pytest.mark.skipif(not find_spec("numba"), reason="there is no numba")),
    pytest.param(BackendName.JAX, marks=pytest.mark.skipif(not find_spec("jax"), reason="there is no jax")),
]


@pytest.fixture(scope="module", params=BACKENDS)
def records(request):
    """Cold, warm and hot records of the small pose model on one backend."""
    device = "cpu" if request.param.takes_device else ""
    case = Case(model=SMALL_POSE, backend=request.param, evaluations=30, device=device)
    found = {}
    with PrivateCaches() as private:
        found[Scenario.COLD] = run_sample(case, private)
        private.save()
        for scenario in (Scenario.WARM, Scenario.HOT):
            private.restore()
            found[scenario] = run_sample(replace(case, scenario=scenario), private)
    return found


@pytest.mark.parametrize("scenario", Scenario)
def test_the_scenario_is_proven(records, scenario):
    record = records[scenario]
    assert record.failure is None
    assert record.caches.is_proven, record.caches.contradiction
    if scenario is Scenario.COLD:
        assert record.caches.entries_before == 0
        assert record.caches.entries_written > 0
        assert record.caches.bytes_written > 0
    if scenario is Scenario.WARM:
        assert record.caches.entries_read > 0


@pytest.mark.parametrize("scenario", Scenario)
def test_results_agree_with_the_oracle(records, scenario):
    record = records[scenario]
    assert record.status is Status.OK
    assert record.check.verdict is Verdict.AGREES
    assert record.check.points == 2
    assert record.check.n_not_finite == 0


@pytest.mark.parametrize("scenario", Scenario)
def test_the_phases_explain_the_time_to_first_gradient(records, scenario):
    record = records[scenario]
    assert [each.phase for each in record.phases] == [Phase.IMPORT, *FIRST_GRADIENT_PHASES, Phase.EVALUATE]
    assert abs(record.unaccounted_seconds) <= UNACCOUNTED_FRACTION * record.time_to_first_gradient_seconds
    # The clock is one: the phases lie within the window, one after the other.
    began = [each.began_seconds for each in record.phases]
    assert began == sorted(began)


@pytest.mark.parametrize("scenario", Scenario)
def test_rewrite_and_link_agree_with_pytensors_own_account(records, scenario):
    record = records[scenario]
    rewrite, link = record.phase(Phase.REWRITE).wall_seconds, record.phase(Phase.LINK).wall_seconds
    assert rewrite >= record.pytensor_rewriting_seconds * 0.98
    assert rewrite + link == pytest.approx(
        record.pytensor_rewriting_seconds + record.pytensor_linker_seconds, rel=0.25, abs=0.25
    )
    passes = {each.name for each in record.rewrite_passes}
    assert {"canonicalize", "specialize"} <= passes
    assert sum(each.wall_seconds for each in record.rewrite_passes) <= rewrite


def test_cold_compiles_more_than_warm_and_hot(records):
    cold, warm, hot = (records[each] for each in (Scenario.COLD, Scenario.WARM, Scenario.HOT))
    assert cold.counts.compiled_units > 0
    assert warm.counts.compiled_units < cold.counts.compiled_units
    assert hot.counts.compiled_units < cold.counts.compiled_units
    assert cold.counts.nodes_after == warm.counts.nodes_after == hot.counts.nodes_after > 0


def test_what_was_compiled_is_what_the_cold_cache_got(records):
    cold = records[Scenario.COLD]
    if cold.case.backend is BackendName.NUMBA:
        pytest.skip("Numba keeps some of its functions only, and some of them several times")
    # One entry isn't a unit of the model: PyTensor's C helper cutils_ext, made with the first C module. C modules are
    # in JAX's count too: up to PyMC 5.25 constant folding compiles them.
    assert 0 <= cold.caches.entries_written - cold.counts.compiled_units <= 1


def test_the_check_compiles_nothing(records):
    # What the cold process wrote outside of its window is PyTensor's C helper lazylinker_ext, at import.
    cold, warm = records[Scenario.COLD], records[Scenario.WARM]
    assert warm.caches.entries_before - cold.caches.entries_written <= 1


def test_memory_is_seen_from_inside_and_outside(records):
    cold = records[Scenario.COLD]
    assert cold.memory.peak_rss_bytes >= cold.memory.self_peak_rss_bytes > 50 * 2**20
    assert cold.memory.retained_bytes > 0
    assert len(cold.memory.timeline) > 10
    if cold.case.backend is BackendName.C:
        assert cold.memory.children_peak_rss_bytes > 50 * 2**20  # the compilers
        assert cold.phase(Phase.LINK).peak_rss_bytes > cold.phase(Phase.LINK).self_peak_rss_bytes


def test_evaluations_are_timed_one_by_one(records):
    for record in records.values():
        assert len(record.evaluation_seconds) == 30
        assert min(record.evaluation_seconds) > 0
        assert max(record.evaluation_seconds) < record.time_to_first_gradient_seconds


def test_calls_left_on_the_device_are_timed_where_it_was_named(records):
    for record in records.values():
        used = record.on_device
        if record.case.backend is not BackendName.JAX:
            assert used is None
            continue
        assert len(used.left_seconds) == len(used.fetched_seconds) == len(used.sent_seconds) == 30
        assert used.fetched_bytes == 8 * record.counts.values
        assert used.sent_bytes >= used.fetched_bytes
        assert used.peak_bytes is None, "of the processor JAX tells nothing"


def jax_record(model, **options):
    (record,) = measure(Case(model=model, backend=BackendName.JAX, evaluations=5, **options))
    return record


@pytest.mark.parametrize("target", [Target.DLOGP, Target.LOGP_DLOGP])
def test_the_hmm_on_jax_agrees_for_both_targets(target):
    spec = PoseSpec(n_timesteps=6, n_directions=2, hmm=HmmSpec(n_states=2))
    record = jax_record(spec, target=target)
    assert record.failure is None
    assert record.check.verdict is Verdict.AGREES
    assert record.counts.groups == 24  # 10 without the HMM, 2 * 2 * 3 + 2 with it


def test_naive_missing_is_a_mismatch_that_names_its_groups():
    record = jax_record(PoseSpec(n_timesteps=10, n_directions=2, missing=Missing.NAIVE, missed_fraction=0.1))
    assert record.status is Status.MISMATCH
    assert {each.group for each in record.check.mismatches} >= {"x_root", "raw_u_1", "obs_sigma"}
    nan = {each.group: each.nan for each in record.check.finiteness}
    assert nan["obs_sigma"] == 1
    assert nan["rho"] == 0
    assert 0 < nan["x_root"] < 30


@pytest.mark.parametrize("function", ["build", "alone"])
def test_a_users_model_is_measured_without_an_oracle(function):
    reference = TINY.replace(":build", f":{function}")
    shares = []
    for _ in range(6):  # it lasts 0.4 s, and where other tests run beside it, it waits for its turn between phases too
        record = jax_record(Model(reference=reference, parameters=(("n", 4),)))
        assert record.failure is None
        assert record.status is Status.OK
        assert record.check.verdict is Verdict.NO_ORACLE
        assert [each.group for each in record.check.finiteness] == ["mu", "sigma"]
        assert (record.initial_point_seconds > 0) == (function == "alone")
        shares.append(abs(record.unaccounted_seconds) / record.time_to_first_gradient_seconds)
        if shares[-1] <= UNACCOUNTED_FRACTION:
            break
    assert min(shares) <= UNACCOUNTED_FRACTION


def test_a_users_model_with_nan_gradient_is_measured_and_marked():
    record = jax_record(Model(reference=TINY.replace(":build", ":with_nan")))
    assert record.status is Status.OK
    assert {each.group: each.nan for each in record.check.finiteness} == {"a": 0, "b": 2}
    assert "not_finite" in record.doubts


@pytest.mark.parametrize(
    ("function", "message"),
    [("only_discrete", "only discrete variables (k)"), ("with_wrong_start", "sigma_log__")],
)
def test_a_users_model_that_cannot_be_differentiated_says_why(function, message):
    record = jax_record(Model(reference=TINY.replace(":build", f":{function}")))
    assert record.status is Status.FAILED
    assert record.failure.kind == "ModelError"
    assert message in record.failure.message
    assert record.failure.phase is Phase.BUILD
