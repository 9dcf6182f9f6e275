"""First draws in real processes: every sampler, phases that leave nothing out, proof of the caches, refusals."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from firstgrad.case import BackendName, Case, GradientBackend, Sampler, Scenario, Target
from firstgrad.doubts import UNACCOUNTED_FRACTION, UNACCOUNTED_SECONDS
from firstgrad.measuring.launch import measure, run_sample
from firstgrad.measuring.private import PrivateCaches
from firstgrad.model import Model
from firstgrad.phase import Phase
from firstgrad.record import Status, Verdict
from firstgrad.sources import SAMPLERS
from helpers import write_model

SECONDS = 100.0  # well below the suite's own limit


def draw(reference, **asked):
    case = Case(model=Model(reference=reference), target=Target.FIRST_DRAW, time_limit_seconds=SECONDS, **asked)
    (record,) = measure(case)
    return record


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model of two variables and a deterministic one."""
    body = """
import pymc as pm
with pm.Model() as model:
    rate = pm.Normal("rate")
    scale = pm.HalfNormal("scale")
    pm.Deterministic("twice", 2 * rate)
    pm.Normal("seen", rate, scale, observed=[1.0, 2.0, 3.0])
return model
"""
    return write_model(tmp_path_factory.mktemp("draws"), body)


def is_whole(record):
    """Whether the phases leave nothing out of the window that would be doubted."""
    assert (record.status, record.failure, record.check.verdict) == (Status.OK, None, Verdict.DREW)
    assert record.unaccounted_seconds <= max(UNACCOUNTED_FRACTION * record.window_seconds, UNACCOUNTED_SECONDS)
    assert {one.phase for one in record.phases} > {Phase.START_POINT, Phase.LOGP_GRAPH, Phase.GRAD_GRAPH, Phase.REWRITE}
    assert record.check.draws.not_finite == ()
    assert record.draw.seconds[-1] == pytest.approx(record.window_seconds)
    return record.caches.contradiction is None


@pytest.mark.compiles
def test_nutpies_wrappers_are_compiled_though_the_cache_is_full(tmp_path):
    pytest.importorskip("nutpie")
    body = """
import pymc as pm
with pm.Model() as model:
    pm.Normal("rate")
return model
"""
    record = draw(
        write_model(tmp_path, body), backend=BackendName.NUMBA, sampler=Sampler.NUTPIE, scenario=Scenario.WARM
    )
    assert is_whole(record)
    assert (record.caches.entries_written, record.caches.entries_read > 0) == (0, True)
    named = {name: one for one in record.caches.never_kept for name in one.names}
    assert named.keys() == {"_make_c_logp_func", "_make_c_expand_func"}
    assert {one.purpose for one in named.values()} == {"wrapper"}
    wrappers = record.phase(Phase.WRAPPERS)
    assert 0 < sum(one.seconds for one in named.values()) <= wrappers.wall_seconds
    assert record.longest_phase.phase is Phase.WRAPPERS
    assert record.check.draws.moved == 1


@pytest.mark.compiles
def test_whom_pm_sample_takes_draws_with_jax_and_all_is_read_when_warm(tiny):
    pytest.importorskip("nutpie")
    record = draw(tiny, backend=BackendName.JAX, gradient_backend=GradientBackend.JAX, scenario=Scenario.WARM)
    assert is_whole(record)
    assert (record.case.sampler, record.draw.sampler) == (Sampler.AUTO, Sampler.NUTPIE)
    assert "nutpie" in record.draw.reason
    versions = dict(record.environment.versions)
    assert versions.keys() & SAMPLERS == {"nutpie"}  # samples under two of its releases are not pooled
    assert versions["nutpie"] == version("nutpie")
    assert record.caches.never_kept == ()
    assert record.phase(Phase.FIRST_CALL).wall_seconds > 0  # of JAX, which tells of it afterwards


@pytest.mark.compiles
def test_pymcs_own_draws_a_second_time_in_one_process(tiny):
    record = draw(tiny, backend=BackendName.JAX, sampler=Sampler.PYMC, scenario=Scenario.HOT)
    assert is_whole(record)
    assert record.phase(Phase.FIRST_CALL) is not None
    assert record.phase(Phase.WRAPPERS) is None


@pytest.mark.compiles
def test_numpyro_draws_in_one_loop(tiny):
    pytest.importorskip("numpyro")
    record = draw(tiny, backend=BackendName.JAX, sampler=Sampler.NUMPYRO, chains=2)
    assert is_whole(record)
    assert len(record.draw.seconds) == 2
    assert record.longest_phase.phase is Phase.FIRST_CALL
    assert (record.check.draws.draws, record.check.draws.moved) == (1, None)


@pytest.mark.compiles
def test_blackjax_draws_or_the_releases_that_do_not_fit_are_named(tiny):
    pytest.importorskip("blackjax")
    record = draw(tiny, backend=BackendName.JAX, sampler=Sampler.BLACKJAX)
    if Version(version("pymc")) < Version("6") or Version(version("blackjax")) < Version("1.6"):
        assert is_whole(record)
        return
    assert (record.status, record.failure.kind, record.failure.phase) == (Status.FAILED, "ModelError", Phase.FIRST_CALL)
    assert f"PyMC {version('pymc')} and blackjax {version('blackjax')} don't fit" in record.failure.message


@pytest.mark.compiles
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rate = rate + pm.Poisson('count', 3.0)", "the model has discrete ones (count)"),
        ("pm.Potential('bad', float('nan') * rate)", "nutpie cannot start: "),
    ],
)
def test_nutpie_refuses_with_its_reason(tmp_path, line, message):
    pytest.importorskip("nutpie")
    body = f"""
import pymc as pm
with pm.Model() as model:
    rate = pm.Normal("rate")
    {line}
    pm.Normal("seen", rate, 1.0, observed=[1.0, 2.0, 3.0])
return model
"""
    record = draw(write_model(tmp_path, body), backend=BackendName.JAX, sampler=Sampler.NUTPIE)
    assert (record.status, record.failure.kind) == (Status.FAILED, "ModelError")
    assert message in record.failure.message
    assert "backtrace" not in record.failure.message


@pytest.mark.compiles
def test_what_has_no_gradient_is_named():
    pytest.importorskip("nutpie")
    models = Path(__file__).with_name("odd_models.py")
    record = draw(f"{models}:without_gradient", backend=BackendName.JAX)
    assert (record.status, record.failure.kind) == (Status.FAILED, "ModelError")
    assert "the Op Square has none" in record.failure.message


@pytest.mark.parametrize("target", [Target.FIRST_DRAW, Target.DLOGP])
def test_a_sampler_that_only_the_model_imports_is_no_condition(tmp_path, target):
    pytest.importorskip("nutpie")
    body = """
import nutpie
class Model:
    free_RVs = [1]
    def compile_fn(self): ...
return Model()
"""
    sampler = {"sampler": Sampler.PYMC} if target is Target.FIRST_DRAW else {}
    case = Case(model=Model(reference=write_model(tmp_path, body)), backend=BackendName.FAKE, target=target, **sampler)
    (record,) = measure(case)
    assert (record.status, record.failure) == (Status.OK, None)
    assert not dict(record.environment.versions).keys() & SAMPLERS


def test_a_planted_sampler_is_measured_and_kept_as_any(tmp_path):
    body = """
class Model:
    free_RVs = [1]
    def compile_fn(self): ...
    def sample(self, case, sampler, drew):
        from firstgrad.record import DrawCheck
        for chain in range(case.chains):
            drew(chain)
        return DrawCheck(draws=11, moved=1)
return Model()
"""
    record = draw(write_model(tmp_path, body), backend=BackendName.FAKE, chains=2)
    assert (record.status, record.draw.sampler, len(record.draw.seconds)) == (Status.OK, Sampler.PYMC, 2)
    assert "stuck_chain" in record.doubts


def test_a_sampler_that_is_not_here_says_what_installs_it(tmp_path, monkeypatch):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'numpyro' else find(name, *more)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(hidden))
    record = draw(write_model(tmp_path, "return None"), backend=BackendName.JAX, sampler=Sampler.NUMPYRO)
    assert (record.failure.kind, record.failure.phase) == ("SamplerUnavailable", Phase.IMPORT)
    assert 'pip install "firstgrad[numpyro]"' in record.failure.message


@pytest.mark.compiles
@pytest.mark.parametrize("target", [Target.LOGP_DLOGP, Target.FIRST_DRAW])
def test_the_second_process_loads_what_firstgrad_kept(tiny, target):
    pytest.importorskip("jax")
    pytest.importorskip("nutpie")
    sampler = Sampler.FIRSTGRAD if target is Target.FIRST_DRAW else Sampler.AUTO
    case = Case(
        model=Model(reference=tiny),
        backend=BackendName.JAX_DIRECT,
        target=target,
        sampler=sampler,
        scenario=Scenario.WARM,
        evaluations=0,
        time_limit_seconds=SECONDS,
    )
    with PrivateCaches() as private:
        cold = run_sample(replace(case, scenario=Scenario.COLD), private)
        private.save()
        private.restore()
        warm = run_sample(case, private)
    for record in (cold, warm):
        assert (record.status, record.failure) == (Status.OK, None)
        assert record.caches.is_proven, record.caches
    assert (cold.caches.entries_read, cold.caches.entries_written > 0) == (0, True)
    assert (warm.caches.entries_read > 0, warm.caches.entries_written) == (True, 0)
    assert warm.counts.compiled_units < cold.counts.compiled_units
    assert warm.window_cpu_seconds < cold.window_cpu_seconds / 2
    if target is Target.FIRST_DRAW:
        for record in (cold, warm):
            assert record.unaccounted_seconds <= max(UNACCOUNTED_FRACTION * record.window_seconds, UNACCOUNTED_SECONDS)
            assert {Phase.START_POINT, Phase.LOGP_GRAPH, Phase.LINK} < {one.phase for one in record.phases}
            assert (record.caches.never_kept, record.check.draws.not_finite) == ((), ())
        assert (cold.check.draws.gradient, warm.check.draws.gradient) == ("jax", "jax")
        assert warm.check.draws.moved == 1
    else:
        assert (cold.caches.own, warm.caches.own) == ("made and kept", "loaded")
        assert Phase.REWRITE not in {one.phase for one in warm.phases}
        assert warm.check.slope is not None
        assert warm.check.logp == pytest.approx(cold.check.logp, rel=1e-12)


@pytest.mark.compiles
def test_jax_direct_fails_where_fast_gradient_takes_another_way(tmp_path):
    pytest.importorskip("jax")
    body = """
import pymc as pm
from pytensor.gradient import disconnected_grad
with pm.Model() as model:
    rate = pm.Normal("rate")
    pm.Potential("pull", rate * disconnected_grad(rate))
return model
"""
    case = Case(
        model=Model(reference=write_model(tmp_path, body)), backend=BackendName.JAX_DIRECT, time_limit_seconds=SECONDS
    )
    (record,) = measure(case)
    assert record.status is Status.FAILED
    assert "has a gradient of its own making" in record.failure.message
