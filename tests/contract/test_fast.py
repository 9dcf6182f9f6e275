"""The fast ways to a gradient: the same numbers as the oracle, and a clear word where they can't be had."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace

import jax
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.jax.dispatch import jax_funcify

import firstgrad
from firstgrad.agreement import compare_gradient, compare_logp
from firstgrad.errors import ModelError
from firstgrad.points import unflatten
from firstgrad.pose.data import generate
from firstgrad.pose.oracle import value_and_gradient
from firstgrad.pose.spec import Formulation, HmmSpec, Missing, PoseSpec

TINY = PoseSpec(n_timesteps=4, n_directions=2)
SPECS = {
    "vectorised": replace(TINY, formulation=Formulation.VECTORISED),
    "per_joint with an HMM": replace(TINY, hmm=HmmSpec(n_states=2)),
}


def compiled_modules(make):
    """Count XLA's compiles while something is made."""
    seen = []

    def listen(event, _seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    made = make()
    return made, len(seen)


@pytest.fixture(scope="module", params=SPECS)
def posed(request):
    spec = SPECS[request.param]
    data = generate(spec)
    model = firstgrad.build_pose_model(spec, data)
    gradient, modules = compiled_modules(lambda: firstgrad.fast_gradient(model, initial_point=data.initial))
    return spec, data, gradient, modules


def test_log_density_and_gradient_agree_with_the_oracle(posed):
    spec, data, gradient, _ = posed
    vector = gradient.flatten(data.initial) + 0.01
    point = gradient.unflatten(vector)
    logp, flat = gradient(vector)
    expected_logp, expected = value_and_gradient(spec, data, point)
    assert not compare_logp(expected_logp, logp)
    assert not compare_gradient(spec.groups, expected, unflatten(flat, spec.groups))


def test_the_whole_gradient_is_one_compiled_module(posed):
    spec, _, _, modules = posed
    # The graph within a Scan is written PyTensor's way, which compiles a copy of each constant.
    assert modules == 1 if spec.hmm is None else modules < 5


def test_it_agrees_with_pytensors_own_gradient(posed):
    _, data, gradient, _ = posed
    check = firstgrad.check_gradient(gradient, initial_point=data.initial)
    assert check.agrees
    assert check.points == 2


def test_more_effort_gives_the_same_numbers(posed):
    _, data, gradient, _ = posed
    vector = gradient.flatten(data.initial)
    logp, flat = gradient(vector)
    thread = gradient.improve("full", wait=False)
    thread.join()
    assert gradient.effort is firstgrad.Effort.FULL
    again, flat_again = gradient(vector)
    assert again == pytest.approx(logp, rel=1e-12)
    np.testing.assert_allclose(flat_again, flat, rtol=1e-9, atol=1e-9 * np.abs(flat).max())


def sampled(count, step):
    here = {"chains": 1, "cores": 1, "random_seed": 1, "progressbar": False, "compute_convergence_checks": False}
    return pm.sample(count, tune=count, step=step, **here)


def test_nuts_samples_with_it():
    with pm.Model() as model:
        x = pm.Normal("x", 3.0, 2.0)
        pm.Normal("y", x, 1.0, observed=np.array([4.0, 5.0]))
        step = pm.NUTS(logp_dlogp_func=firstgrad.fast_gradient(model))
        drawn = sampled(200, step)
    # Conjugate: precision 1/4 + 2, mean (3/4 + 9) / that.
    draws = np.asarray(drawn.posterior["x"]).ravel()
    assert draws.mean() == pytest.approx(9.75 / 2.25, abs=0.25)
    assert draws.std() == pytest.approx(2.25**-0.5, rel=0.25)


def test_the_mode_gives_pymcs_own_functions_the_same_numbers():
    data = generate(TINY)
    model = firstgrad.build_pose_model(TINY, data)
    flat = model.compile_dlogp(mode=firstgrad.fast_mode())(data.initial)
    _, expected = value_and_gradient(TINY, data, data.initial)
    assert not compare_gradient(TINY.groups, expected, unflatten(np.asarray(flat), TINY.groups))


def test_the_mode_compiles_no_module_for_a_constant():
    x = pt.dvector("x")
    cost = sum((x * np.arange(1.0, n + 1)[:, None]).sum() for n in range(2, 9))
    make = lambda mode: pytensor.function([x], cost, mode=mode)(np.ones(1))  # noqa: E731 - one line, used twice
    fast, fast_modules = compiled_modules(lambda: make(firstgrad.fast_mode()))
    stock, stock_modules = compiled_modules(lambda: make("JAX"))
    assert fast == pytest.approx(stock)
    assert fast_modules < stock_modules


def test_the_mode_still_draws_random_numbers():
    with pytest.warns(UserWarning, match="will not be used"):
        draws = pm.draw(pm.Normal.dist(size=3), mode=firstgrad.fast_mode())
    assert np.isfinite(draws).all()


def test_discrete_variables_are_held_and_can_be_set():
    with pm.Model() as model:
        n = pm.Poisson("n", 3.0)
        pm.Normal("x", n, 1.0)
    gradient = firstgrad.fast_gradient(model, initial_point={"n": np.array(2), "x": np.array(0.0)})
    assert gradient(np.zeros(1))[1] == pytest.approx([2.0])
    assert gradient(np.zeros(1), extra_vars={"n": 5})[1] == pytest.approx([5.0])
    assert gradient.get_extra_values() == {"n": 5}


def test_shared_data_are_frozen():
    with pm.Model() as model:
        data = pm.Data("data", np.array([1.0, 2.0]))
        x = pm.Normal("x")
        pm.Normal("y", x, 1.0, observed=data)
    gradient = firstgrad.fast_gradient(model)
    with model:
        pm.set_data({"data": np.array([9.0, 9.0])})
    logp, flat = gradient(np.array([1.0]))
    assert flat == pytest.approx([0.0])  # -x + sum(data - x)
    assert logp == pytest.approx(-0.5 - 0.5 - 1.5 * np.log(2 * np.pi))


def test_a_gradient_that_is_not_finite_is_refused_by_name():
    spec = PoseSpec(n_timesteps=10, n_directions=2, missing=Missing.NAIVE)
    data = generate(spec)
    with pytest.raises(ModelError, match=r"gradient isn't finite.*raw_u_1 \(\d+ of 30\)"):
        firstgrad.fast_gradient(firstgrad.build_pose_model(spec, data), initial_point=data.initial)


def test_an_infinite_log_density_is_refused():
    with pm.Model() as model:
        pm.Uniform("x", 0.0, 1.0, default_transform=None)
    with pytest.raises(ModelError, match="log-density is -inf"):
        firstgrad.fast_gradient(model, initial_point={"x": np.array(2.0)})


def test_a_model_without_continuous_variables_is_refused():
    with pm.Model() as model:
        pm.Poisson("n", 3.0)
    with pytest.raises(ModelError, match="no continuous variables"):
        firstgrad.fast_gradient(model)


class Twice(Op):
    """Doubles; its JAX form, planted below, triples."""

    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):  # noqa: ARG002 - PyTensor's signature
        outputs[0][0] = np.asarray(2.0 * inputs[0])

    def pullback(self, inputs, outputs, gradients):  # noqa: ARG002 - PyTensor's signature
        return [2.0 * gradients[0]]


@jax_funcify.register(Twice)
def _(op, **kwargs):  # noqa: ARG001 - PyTensor's signature
    return lambda x: 3.0 * x


def test_the_check_finds_a_wrong_operation():
    with pm.Model() as model:
        pm.Normal("x")
        pm.Normal("z")
        pm.Potential("p", Twice()(model["z"]))
    check = firstgrad.check_gradient(firstgrad.fast_gradient(model))
    assert not check.agrees
    assert check.worst == "z"
    assert check.gradient_difference == pytest.approx(1.0 / 2.0, rel=1e-2)  # 3 instead of 2, by the largest entry, 2


def test_other_processes_are_told_to_make_their_own(posed):
    _, data, gradient, _ = posed
    with pytest.raises(ModelError, match="cores=1"):
        pickle.dumps(gradient)
    real = gradient._process
    gradient._process = os.getppid()
    try:
        with pytest.raises(ModelError, match="doesn't survive a fork"):
            gradient(gradient.flatten(data.initial))
    finally:
        gradient._process = real


def test_without_the_log_density_the_gradient_is_the_same():
    with pm.Model() as model:
        pm.Normal("x", 1.0, 2.0, shape=3)
    logp, flat = firstgrad.fast_gradient(model, with_logp=False)(np.arange(3.0))
    assert np.isnan(logp)
    assert flat == pytest.approx([0.25, 0.0, -0.25])
    assert firstgrad.check_gradient(firstgrad.fast_gradient(model, with_logp=False)).agrees


def test_a_start_point_that_does_not_fit_is_refused():
    with pm.Model() as model:
        pm.Normal("x", shape=3)
        pm.HalfNormal("sigma")
    with pytest.raises(ModelError, match="lacks sigma_log__"):
        firstgrad.fast_gradient(model, initial_point={"x": np.zeros(3), "sigma": 1.0})
    with pytest.raises(ModelError, match=r"shape \(\) for x, and the model has \(3,\)"):
        firstgrad.fast_gradient(model, initial_point={"x": 0.0, "sigma_log__": 0.0})


def test_the_gradient_may_be_written_to_and_into():
    with pm.Model() as model:
        pm.Normal("x", shape=2)
    gradient = firstgrad.fast_gradient(model)
    _, flat = gradient(np.ones(2))
    flat *= -1
    out = np.empty(2)
    assert gradient(np.ones(2), out) == pytest.approx(-1.0 - np.log(2 * np.pi))
    assert out == pytest.approx(-flat)


def test_a_compound_step_moves_discrete_variables_with_it():
    with pm.Model() as model:
        n = pm.Poisson("n", 3.0)
        x = pm.Normal("x", n, 1.0)
        steps = [pm.NUTS([x], logp_dlogp_func=firstgrad.fast_gradient(model)), pm.Metropolis([n])]
        drawn = sampled(50, steps)
    draws = drawn.posterior
    assert len(np.unique(draws["n"])) > 1
    assert np.corrcoef(np.ravel(draws["n"]), np.ravel(draws["x"]))[0, 1] > 0.3


def test_the_mode_takes_a_shape_as_an_input():
    x, n = pt.dvector("x"), pt.iscalar("n")
    reshaped = pytensor.function([x, n], x.reshape((n, 2)), mode=firstgrad.fast_mode())
    assert reshaped(np.arange(4.0), 2).shape == (2, 2)


def test_the_check_leaves_discrete_variables_where_they_are():
    with pm.Model() as model:
        n = pm.Poisson("n", 3.0)
        pm.Normal("x", n, 1.0)
    gradient = firstgrad.fast_gradient(model, initial_point={"n": np.array(7), "x": np.array(0.0)})
    assert firstgrad.check_gradient(gradient).agrees
    assert gradient.get_extra_values() == {"n": 7}


def test_an_unknown_effort_is_refused():
    with pytest.raises(ValueError, match="heroic"):
        firstgrad.fast_mode("heroic")


def test_variables_of_a_loop_are_taken_together_wherever_they_stand():
    """Their values lie interleaved in the flat vector, one stack of them in another order; discrete ones are held."""
    with pm.Model() as model:
        total = 0.0
        for place in range(6):
            level, slope = pm.Normal(f"level_{place}"), pm.HalfNormal(f"slope_{place}", 1.0 + place, shape=2)
            count = pm.Poisson(f"count_{place}", 2.0)
            total = total + pt.exp(level) * slope.sum() + count * level
        order = [3, 0, 5, 1, 4, 2]
        pm.Potential("order", sum(pt.sin(model[f"level_{place}"] * number) for number, place in enumerate(order)))
        pm.Normal("seen", total, 1.0, observed=1.0)
    gradient = firstgrad.fast_gradient(model)
    check = firstgrad.check_gradient(gradient)
    assert check.agrees, check
    gradient.set_extra_values({"count_3": 5})
    assert firstgrad.check_gradient(gradient, initial_point=model.initial_point() | {"count_3": 5}).agrees
