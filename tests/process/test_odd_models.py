"""Models of a user's that are odd: measured and marked, or refused with a reason and a way out."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from firstgrad.case import BackendName, Case, Target
from firstgrad.measuring.launch import measure
from firstgrad.model import Model
from firstgrad.phase import Phase
from firstgrad.record import Doubt, Status

pytestmark = [
    pytest.mark.compiles,
    pytest.mark.skipif(not find_spec("jax"), reason="there is no jax"),
]

MODELS = Path(__file__).with_name("odd_models.py")


def measured(function, *, target=Target.DLOGP, **parameters):
    model = Model(reference=f"{MODELS}:{function}", parameters=tuple(sorted(parameters.items())))
    (record,) = measure(Case(model=model, backend=BackendName.JAX, target=target, evaluations=3))
    return record


def refusal(function, *, target=Target.DLOGP):
    """The phase in which a model is refused, and why."""
    record = measured(function, target=target)
    assert record.status is Status.FAILED
    assert record.failure.kind == "ModelError", record.failure
    return record.failure.phase, record.failure.message


@pytest.mark.parametrize(("function", "op"), [("without_gradient", "Square"), ("with_null_gradient", "NullSquare")])
def test_an_op_without_a_gradient_is_named(function, op):
    phase, message = refusal(function)
    assert phase is Phase.GRAD_GRAPH
    assert f"the Op {op} has none (" in message
    assert "pullback" in message
    assert "wrap_jax" in message
    assert "pm.DEMetropolisZ" in message


def test_an_op_that_jax_does_not_know_is_named():
    # The gradient of a square needs no square any more: rewriting takes it out, unless the value is asked for too.
    assert measured("with_right_gradient").status is Status.OK
    phase, message = refusal("with_right_gradient", target=Target.LOGP_DLOGP)
    assert phase in {Phase.REWRITE, Phase.LINK}
    assert "RightSquare" in message
    assert "jax_funcify" in message
    assert "pose" not in message


def test_a_wrong_gradient_is_found_by_finite_differences():
    record = measured("with_wrong_gradient")
    assert record.status is Status.OK, record.failure
    assert record.check.slope.differs
    assert Doubt.GRADIENT_SUSPECT in record.doubts
    # A group of one value: the slope along it is its derivative, up to the sign; -x**2 gives -2 x, or -3 x.
    assert abs(record.check.slope.got - record.check.slope.expected) == pytest.approx(0.7, rel=0.05)


def test_discrete_variables_beside_continuous_ones_are_held():
    record = measured("discrete_beside_continuous")
    assert record.failure is None
    assert [(each.group, each.values) for each in record.check.finiteness] == [("sigma", 1), ("mu", 3)]
    assert (record.counts.groups, record.counts.values) == (2, 4)
    assert sorted(record.check.held) == ["k", "switched"]
    assert Doubt.DISCRETE_FIXED in record.doubts
    assert not record.check.slope.skipped
    assert not record.check.slope.differs


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("only_discrete", "only discrete variables (k), which have no gradient. Marginalise"),
        ("half_a_poisson", "'k' is discrete, and its initial point has array([2. , 2.5, 4. ]) for it"),
        ("start_of_another_shape", "its initial point has shape (2,) for 'sigma_log__', the model ()"),
    ],
)
def test_what_cannot_be_started_is_refused_when_it_is_built(function, message):
    phase, told = refusal(function)
    assert phase is Phase.BUILD
    assert message in told


def test_data_without_a_static_shape_are_named_with_the_cure_and_the_cure_works():
    phase, message = refusal("data_without_shape")
    assert phase is Phase.FIRST_CALL
    assert re.search(
        r"The data design have no static shape: write pm.Data\(name, values, shape=values.shape\)", message
    )
    assert measured("data_without_shape", static=True).status is Status.OK


def test_a_mask_that_depends_on_data_is_told_with_a_way_out():
    phase, message = refusal("masked_by_data")
    assert phase is Phase.FIRST_CALL
    assert "boolean mask" in message
    assert "NumPy outside of the graph" in message


def test_a_minibatch_is_measured_and_its_noise_is_not_judged():
    record = measured("minibatch")
    assert record.status is Status.OK, record.failure
    assert "draws anew" in record.check.slope.skipped
    assert record.check.n_not_finite == 0


@pytest.mark.parametrize("target", [Target.DLOGP, Target.LOGP_DLOGP])
def test_terms_of_the_log_density_that_are_not_finite_are_named(target):
    record = measured("minus_infinity", target=target)
    assert record.status is Status.OK, record.failure
    assert record.check.logp == float("-inf")
    assert record.check.logp_not_finite == ("y", "inside")
    assert record.check.n_not_finite == 0  # the gradient doesn't tell
    assert Doubt.NOT_FINITE in record.doubts
