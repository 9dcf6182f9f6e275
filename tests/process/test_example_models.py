"""The example models, each profiled once: they are what users copy, and ten more kinds than the tests' own.

A profile's record is what `measure` gives, from the same worker.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from firstgrad.case import BackendName, Case
from firstgrad.model import Model
from firstgrad.phase import Phase
from firstgrad.profiling.make import profile_case
from firstgrad.record import Status, Verdict

pytestmark = [
    pytest.mark.compiles,
    pytest.mark.skipif(not find_spec("jax"), reason="there is no jax"),
]

MODELS = Path(__file__).parents[2] / "examples" / "models"
# Parameters that make it tiny, and the groups of the gradient with their sizes in model order.
KINDS = {
    "discrete": ({"years": 8}, {"early": 1, "late": 1}),
    "eight_schools": ({"centered": True}, {"mu": 1, "tau": 1, "theta": 8}),
    "gaussian_process": ({"n": 5}, {"length": 1, "height": 1, "noise": 1}),
    "glm": ({"n": 20, "features": 2}, {"intercept": 1, "beta": 2}),
    "hierarchical": (
        {"counties": 3, "houses": 4},
        {"mean": 1, "spread": 1, "offset": 3, "slope_mean": 1, "slope_spread": 1, "slope": 3, "noise": 1},
    ),
    "lkj": ({"n": 6, "d": 2}, {"mu": 2, "cholesky": 3}),
    "mixture": ({"n": 12, "components": 2}, {"weights": 1, "mu": 2, "sigma": 2}),
    "ode": (
        {"steps": 4, "method": "euler"},
        {"birth": 1, "eaten": 1, "growth": 1, "death": 1, "start": 2, "noise": 1},
    ),
    "scan_time_series": ({"timesteps": 5}, {"level": 1, "decay": 1, "scale": 1, "shocks": 5}),
    "spatial": ({"side": 3}, {"level": 1, "scale": 1, "district": 9}),
    "unrolled_time_series": ({"timesteps": 5}, {"level": 1, "decay": 1, "scale": 1, "shocks": 5}),
    "survival": ({"n": 10, "end": 1}, {"shape": 1, "intercept": 1, "effect": 1}),
}
WITH_ORACLE = ("eight_schools",)
BY_SCAN = ("ode", "scan_time_series")


def test_every_example_is_tested():
    assert {path.stem for path in MODELS.glob("*.py")} == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_an_example_is_profiled_and_its_gradient_is_right(name):
    if name in BY_SCAN and not _scan_is_new():
        pytest.skip("written with return_updates=False, which this PyTensor doesn't know")
    parameters, groups = KINDS[name]
    model = Model(reference=f"{MODELS / name}.py:build", parameters=tuple(sorted(parameters.items())))
    profile = profile_case(Case(model=model, backend=BackendName.JAX, evaluations=3))
    record = profile.record
    assert record.failure is None
    has_oracle = name in WITH_ORACLE
    assert (record.status, record.check.verdict) == (Status.OK, Verdict.AGREES if has_oracle else Verdict.NO_ORACLE)
    assert {each.group: each.values for each in record.check.finiteness} == groups
    assert record.check.n_not_finite == 0
    assert record.check.logp_not_finite == ()
    assert record.check.held == (("change",) if name == "discrete" else ())
    slope = record.check.slope
    if has_oracle:
        assert (slope, record.check.points) == (None, 2)
    else:
        # Finite differences of the log-density, evaluated without any compiler: nothing of JAX takes part.
        assert not slope.skipped
        assert slope.got == pytest.approx(slope.expected, rel=1e-5, abs=1e-5)
        assert not slope.differs
    seen = profile.attribution
    assert seen.unavailable == ()
    assert seen.rewriters
    assert sum(each.after for each in seen.node_types) == record.counts.nodes_after
    first_call = record.phase(Phase.FIRST_CALL).wall_seconds
    explained = sum(each.own_seconds for each in seen.units if each.phase is Phase.FIRST_CALL)
    assert 0.5 * first_call < explained <= first_call


def _scan_is_new():
    import inspect

    import pytensor

    return "return_updates" in inspect.signature(pytensor.scan).parameters
