"""The hand-written densities of `benchmarks/limit` against the oracle."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firstgrad.errors import SpecError
from firstgrad.points import flatten
from firstgrad.pose.data import generate
from firstgrad.pose.oracle import forward
from firstgrad.pose.spec import HmmSpec, Likelihood, Skeleton, WalkAxis
from planted import TINY_POSE

jax = pytest.importorskip("jax")
pytest.importorskip("numba")
ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks.limit import check, lean, loops, plain  # noqa: E402 - found from here on
from benchmarks.limit.run import setups  # noqa: E402
from benchmarks.limit.table import HEAD, markdown, text  # noqa: E402
from benchmarks.limit.variants import PLAIN, Measured, Setup, Stage  # noqa: E402

TINY = replace(TINY_POSE, n_timesteps=6)
SPECS = [
    TINY,
    replace(TINY, n_timesteps=1),
    replace(TINY, hmm=HmmSpec(n_states=3)),
    replace(TINY, hmm=HmmSpec(n_states=1)),
    replace(TINY, n_timesteps=1, hmm=HmmSpec(n_states=2)),
]


def name(spec):
    return f"T{spec.n_timesteps}-S{spec.hmm.n_states if spec.hmm else 0}"


@pytest.fixture(scope="module", autouse=True)
def _float64():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def in_jax(logp):
    return jax.jit(jax.value_and_grad(logp), compiler_options={"xla_backend_optimization_level": 0})


def differences(spec, call):
    data = generate(spec)
    return check.mismatches(spec, data, call, check.flat_points(spec, data))


@pytest.mark.parametrize("spec", SPECS, ids=name)
def test_lean_is_the_oracles_density(spec):
    assert differences(spec, in_jax(lean.make_logp(spec, generate(spec)))) == []


@pytest.mark.parametrize("spec", SPECS, ids=name)
def test_the_loops_are_the_oracles_density(spec):
    assert differences(spec, loops.make_value_and_gradient(spec, generate(spec))) == []


@pytest.mark.parametrize("spec", [SPECS[0], SPECS[4]], ids=name)
def test_plain_is_the_oracles_density(spec):
    assert differences(spec, in_jax(plain.make_logp(spec, generate(spec)))) == []


@pytest.mark.parametrize("form", plain.HmmForm)
def test_each_way_to_sum_the_states_out_is_the_oracles(form):
    spec = replace(TINY, hmm=HmmSpec(n_states=3))
    assert differences(spec, in_jax(plain.make_logp(spec, generate(spec), form))) == []


def test_a_jacobian_left_out_is_found(monkeypatch):
    whole = plain.log_half_normal
    monkeypatch.setattr(plain, "log_half_normal", lambda log_x, sigma: whole(log_x, sigma) - jax.numpy.sum(log_x))
    found = differences(TINY, in_jax(plain.make_logp(TINY, generate(TINY))))
    assert {each.group for each in found} == {"logp", "eta2_root", "rho", "sigma2"}


def test_a_prior_left_out_of_the_loops_is_found():
    data = generate(TINY)
    whole = loops.make_value_and_gradient(TINY, data)

    def without(vector):
        logp, slope = whole(vector)
        place = len(vector) - 1
        logodds, sigma = vector[place], TINY.priors.logodds_sigma
        slope[place] += logodds / sigma**2
        return logp + 0.5 * (logodds / sigma) ** 2, slope

    assert {each.group for each in differences(TINY, without)} == {"logp", "logodds_inlier"}


def test_the_loops_hold_for_a_thousand_points_a_timestep_and_behind_a_camera():
    spec = replace(TINY, n_directions=30, n_cameras=50, n_timesteps=2, skeleton=Skeleton.CHAIN)
    data = generate(spec)
    point = {key: np.array(value) for key, value in data.initial.items()}
    point["obs_sigma_log__"] = np.array(5.0)
    point["logodds_inlier"] = np.array(-0.8)  # the odds of most points near one: each factor of the product is near two
    far = {**point, "x_root": point["x_root"] + 1000.0}
    vectors = [flatten(each, spec) for each in (point, far)]
    assert check.mismatches(spec, data, loops.make_value_and_gradient(spec, data), vectors) == []
    assert not forward(spec, data, far).projection.is_in_front.all()
    assert data.seen[:, 0].sum() > 1024  # so many factors of two overflow


@pytest.mark.parametrize("make", [plain.make_logp, lean.make_logp, loops.make_value_and_gradient])
@pytest.mark.parametrize(
    ("field", "change"), [("likelihood", Likelihood.GAUSSIAN), ("walk_axis", WalkAxis.LAST)], ids=["gaussian", "last"]
)
def test_another_density_is_refused(make, field, change):
    spec = replace(TINY, **{field: change})
    with pytest.raises(SpecError, match=field):
        make(spec, generate(spec))


def measured(compile_seconds):
    return Measured(
        stages=(
            Stage(name="import", wall_seconds=100.0, cpu_seconds=50.0),
            Stage(name="compile", wall_seconds=compile_seconds, cpu_seconds=compile_seconds / 2),
            Stage(name="first call", wall_seconds=1.0, cpu_seconds=0.5),
        ),
        evaluation_seconds=1e-4,
        peak_rss_bytes=2**20,
        executable_bytes=None,
        program_characters=1,
        compiled_characters=1,
        flops=None,
        temporary_bytes=None,
        cache_hits=0,
    )


def test_the_table_has_medians_and_the_import_is_beside_them():
    setup = Setup(variant=PLAIN, n_states=2, is_warm=False)
    samples = {setup: [measured(seconds) for seconds in (2.0, 9.0, 4.0)]}
    head, row = text(samples).splitlines()
    assert head.split()[0] == HEAD[0]
    assert "100 s" in row
    assert "5.00 s [3.00 s, 10.0 s]" in row
    assert "2.50 s [1.50 s, 5.00 s]" in row
    page = markdown(samples, "Where.")
    assert page.startswith("Where.\n\n| density |")
    assert f"| **{PLAIN}** | on, S=2 | none | 100 s |" in page


def test_every_variant_has_a_setup_and_trees_need_an_hmm():
    found = setups()
    assert len(found) == len(set(found))
    assert Setup(variant=PLAIN, n_states=0, is_warm=True) in found
    assert {each.n_states for each in setups("tree")} == {2}
    assert all(not each.is_warm for each in setups("Numba"))
