"""Where values that aren't finite are made, and which derivative is wrong: planted models, and twins without the fault.

All of it without a compiler.
"""

from __future__ import annotations

import numpy as np
import pytest

from firstgrad.agreement import finiteness
from firstgrad.backends.base import Answer, BuiltModel
from firstgrad.linting.culprits import find_operand, find_origins
from firstgrad.linting.derivatives import GraphExplainer
from firstgrad.linting.values import Density
from firstgrad.measuring.verify import check_answers
from firstgrad.measuring.worker import nearby_points
from firstgrad.observe.lines import deep_traces
from firstgrad.points import Group, unflatten
from firstgrad.record import OriginKind

pm = pytest.importorskip("pymc")
pt = pytest.importorskip("pytensor.tensor")
pytestmark = pytest.mark.filterwarnings("ignore")

from pytensor.graph.basic import Apply  # noqa: E402 - after it is known to be there
from pytensor.graph.op import Op  # noqa: E402

DOSES = np.array([0.0, 0.5, 2.0])
SEEN = np.array([True, False, True])


def saturation(floor):
    """A dose of exactly 0, that a share of it is taken of, to a power below 1."""
    with pm.Model(coords={"drug": ["a", "b", "c"]}) as model:
        uptake = pm.Beta("uptake", 2.0, 2.0, dims="drug")
        shape = pm.Beta("shape", 2.0, 4.0)
        taken = pt.maximum(uptake * DOSES, floor) if floor else uptake * DOSES
        response = 2.0 * taken**shape
        pm.Normal("effect", response, 1.0, observed=np.ones(3), dims="drug")
    return model


def distances(floor):
    """Distances between places, each one's from itself among them."""
    with pm.Model() as model:
        place = pm.Normal("place", 0.0, 1.0, shape=(3, 2))
        apart = place[:, None, :] - place[None, :, :]
        far = pt.sqrt((apart**2).sum(axis=-1) + floor)
        pm.Normal("measured", far, 1.0, observed=np.ones((3, 3)))
    return model


def masked_power(*, first):
    """Powers of what is 0 where nothing was seen, masked after or before.

    Between the mask and the power stands a sum: PyTensor's rewrites mend what stands side by side.
    """
    with pm.Model() as model:
        rate = pm.HalfNormal("rate", 1.0, shape=2)
        shape = pm.Beta("shape", 2.0, 4.0, shape=2)
        light = pt.dot(SEEN[:, None] * np.array([1.0, 2.0]), rate)[:, None]
        curves = ((pt.where(SEEN[:, None], light, 1.0) if first else light) ** shape).sum(axis=-1)
        bright = pt.where(SEEN, curves, 0.0)
        pm.Normal("seen", bright, 1.0, observed=np.zeros(3))
    return model


def missing_data(*, first):
    """NaN among the data, masked after or before the arithmetic."""
    data = np.array([1.0, np.nan, 2.0])
    with pm.Model() as model:
        centre = pm.Normal("centre", 0.0, 1.0, shape=2)
        apart = (np.where(SEEN, data, 0.0) if first else data)[:, None] - centre
        pm.Potential("fit", pt.where(SEEN, -pt.log1p((apart**2).sum(axis=-1)), 0.0).sum())
    return model


def empty_group(*, counted):
    """A mean of nobody: 0 divided by 0."""
    counts = np.array([2.0, 0.0])
    with pm.Model() as model:
        total = pm.Normal("total", 0.0, 1.0)
        mean = (total * counts + total) / (np.maximum(counts, 1.0) if counted else counts)
        pm.Normal("mean", mean, 1.0, observed=np.zeros(2))
    return model


def growth(speed):
    """An exponential beyond the largest number, or not."""
    with pm.Model() as model:
        start = pm.Normal("start", 1.0, 1.0, initval=1.0)
        size = pt.exp(speed * start)
        pm.Normal("size", size, 1.0, observed=1.0)
    return model


def negative_lifetime(value):
    """An observation where its distribution has no probability, or one where it has."""
    with pm.Model() as model:
        scale = pm.HalfNormal("scale", 1.0)
        pm.Exponential("lived", scale, observed=np.array([1.0, value, 2.0]))
    return model


def softplus_by_hand():
    """Infinite where it is read literally; PyTensor rewrites it."""
    with pm.Model() as model:
        x = pm.Normal("x", 1.0, 1.0, shape=2, initval=np.ones(2))
        pm.Potential("penalty", -pt.log(1 + pt.exp(900.0 * x)).sum())
    return model


def start_of(model):
    return {name: np.asarray(value) for name, value in model.initial_point().items()}


def gradient_parts(model, density, point):
    groups = groups_of(model, point)
    return groups, unflatten(density.gradient(point)[1], groups)


def groups_of(model, point):
    names = {model.rvs_to_values[rv].name: rv.name for rv in model.free_RVs}
    return tuple(
        Group(names[var.name], np.shape(point[var.name]), value_name=var.name) for var in model.continuous_value_vars
    )


def origins_of(build, *arguments, **named):
    with deep_traces():
        model = build(*arguments, **named)
    density, point = Density.with_lines(model), start_of(model)
    everywhere = {var.name: np.ones(np.shape(point[var.name]), dtype=bool) for var in model.continuous_value_vars}
    return find_origins(density, point, everywhere)


PLANTED = [
    pytest.param(
        lambda: saturation(0.0), OriginKind.POWER, "2.0 * taken**shape", "pt.maximum(taken, 1e-6)", id="power"
    ),
    pytest.param(lambda: distances(0.0), OriginKind.ROOT, "far = pt.sqrt(", "+ 1e-12", id="root"),
    pytest.param(lambda: masked_power(first=False), OriginKind.MASK, "curves = ((", "before the", id="mask"),
    pytest.param(lambda: missing_data(first=False), OriginKind.MASK, "", "stand-in", id="data"),
    pytest.param(
        lambda: empty_group(counted=False), OriginKind.DIVISION, "mean = (total", "denominator", id="division"
    ),
    pytest.param(lambda: growth(800.0), OriginKind.OVERFLOW, "size = pt.exp(", "logarithms", id="overflow"),
    pytest.param(lambda: negative_lifetime(-1.0), OriginKind.OUTSIDE, "pm.Exponential(", "observed", id="outside"),
]


@pytest.mark.parametrize(("build", "kind", "line", "instead"), PLANTED)
def test_what_is_made_by_an_operation_has_its_name_its_line_and_what_to_write(build, kind, line, instead):
    origins = origins_of(build)
    assert origins
    assert {origin.kind for origin in origins} == {kind}
    assert any(line in origin.line and origin.line.startswith("test_culprits.py:") for origin in origins)
    assert any(instead in origin.instead for origin in origins)
    if kind is not OriginKind.MASK:
        assert not any("mask" in f"{origin.fact} {origin.instead}" for origin in origins)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: saturation(1e-6), id="power"),
        pytest.param(lambda: distances(1e-9), id="root"),
        pytest.param(lambda: masked_power(first=True), id="mask"),
        pytest.param(lambda: missing_data(first=True), id="data"),
        pytest.param(lambda: empty_group(counted=True), id="division"),
        pytest.param(lambda: growth(2.0), id="overflow"),
        pytest.param(lambda: negative_lifetime(1.0), id="outside"),
        pytest.param(softplus_by_hand, id="stabilised"),
    ],
)
def test_the_same_written_rightly_has_nothing(build):
    assert origins_of(build) == ()


def test_a_value_is_named_by_its_coordinates_and_only_what_is_wrong():
    (origin,) = origins_of(saturation, 0.0)
    assert origin.places == ("uptake[drug=a]",)
    assert (origin.values, origin.at, origin.variables) == (1, (0,), ("uptake",))
    assert "exponent is below 1" in origin.fact


def test_terms_are_what_a_compiled_function_computes():
    model = softplus_by_hand()
    assert Density(model)(start_of(model))["penalty"] == -1800.0


def test_what_jax_alone_makes_wrong_is_found_in_the_derivative_as_it_is():
    with deep_traces(), pm.Model() as model:
        hazard = pm.Gamma("hazard", 1.0, 1.0, shape=3)
        pm.Poisson("deaths", hazard * SEEN, observed=np.array([1, 0, 0]))
    density, point = Density.with_lines(model), start_of(model)
    assert np.isfinite(density.gradient(point)[1]).all()
    (origin,) = find_origins(density, point, {"hazard_log__": ~SEEN})
    assert origin.places == ("hazard[1]",)
    assert "JAX's own derivative; PyTensor's is finite" in origin.fact
    assert 'pm.Poisson("deaths"' in origin.line


@pytest.mark.parametrize(
    ("text", "kind", "operand"),
    [
        ("y = a * (b + c) ** d", OriginKind.POWER, "b + c"),
        ("return pt.log(rate[0])", OriginKind.LOG, "rate[0]"),
        ("x = a / b / c", OriginKind.DIVISION, ""),  # two of them
        ("for x in pt.sqrt(y):", OriginKind.ROOT, ""),  # no whole statement
        ("pm.Normal('y', mu,", OriginKind.POWER, ""),
    ],
)
def test_the_operand_is_read_off_the_line_where_it_is_the_only_one(text, kind, operand):
    assert find_operand(text, kind) == operand


class HalfTurn(Op):
    """An angle's sine times a height; its derivative by the height may be wrong."""

    __props__ = ("right",)

    def __init__(self, right):
        self.right = right

    def make_node(self, angle, height):
        angle, height = pt.as_tensor_variable(angle), pt.as_tensor_variable(height)
        return Apply(self, [angle, height], [angle.type()])

    def perform(self, node, inputs, outputs):  # noqa: ARG002 - PyTensor's
        outputs[0][0] = np.asarray(np.sin(inputs[0]) * inputs[1])

    def pullback(self, inputs, outputs, cotangents):  # noqa: ARG002 - PyTensor's
        angle, height = inputs
        by_height = pt.sin(angle) if self.right else pt.cos(angle)
        return [cotangents[0] * pt.cos(angle) * height, (cotangents[0] * by_height).sum()]

    def L_op(self, inputs, outputs, cotangents):  # noqa: N802 - PyTensor's name before 3
        return self.pullback(inputs, outputs, cotangents)


def with_op(right):
    with pm.Model() as model:
        phase = pm.Normal("phase", 0.3, 1.0, initval=0.4)
        tilt = pm.Normal("tilt", 1.0, 1.0, initval=1.2)
        pm.Normal("noise", 0.0, 1.0)
        height = HalfTurn(right)(phase + np.linspace(0, 2, 5), tilt)
        pm.Normal("seen", height, 0.5, observed=np.ones(5))
    return model


def kernel(*, period):
    """Two places a whole period apart make rows that are alike."""
    x = np.arange(6.0)[:, None]
    with pm.Model() as model:
        length = pm.InverseGamma("length", 4, 4)
        gp = pm.gp.MarginalKron(
            cov_funcs=[pm.gp.cov.Matern52(1, length), pm.gp.cov.Periodic(1, period=period, ls=length)]
        )
        gp.marginal_likelihood("y", [np.linspace(0, 5, 4)[:, None], x], np.sin(np.arange(24.0)), sigma=0.5)
    return model


def check_of(build, **named):
    with deep_traces():
        model = build(**named)
    density, point = Density(model), start_of(model)
    points = [point, *nearby_points(point, count=1)]
    answers = [(at, Answer(density.gradient(at)[1], density.gradient(at)[0])) for at in points]
    explainer = GraphExplainer(density, lambda: model)
    return check_answers(
        BuiltModel(model, None, is_own=True), groups_of(model, point), answers, density, lambda: explainer
    )


def test_a_wrong_derivative_is_pinned_to_its_group_and_to_its_operation():
    slope = check_of(with_op, right=False).slope
    assert slope.differs
    assert [one.group for one in slope.groups] == ["tilt"]
    (wrong,) = slope.derivatives
    assert (wrong.operation, wrong.input, wrong.variables) == ("HalfTurn", "input 2", ("tilt",))
    assert "HalfTurn(right)(phase" in wrong.line
    assert abs(wrong.expected - wrong.got) > 0.1


def test_a_right_derivative_of_the_same_operation_is_no_culprit():
    slope = check_of(with_op, right=True).slope
    assert not slope.differs
    assert not slope.skipped
    assert (slope.groups, slope.derivatives) == ((), ())


def test_eigenvalues_that_nearly_coincide_are_said_where_the_gradient_is_wrong_for_them():
    slope = check_of(kernel, period=3.0).slope
    assert slope.differs
    (wrong,) = slope.derivatives
    assert wrong.operation == "Eigh"
    assert "nearly coincide" in wrong.input
    assert "Cholesky" in wrong.instead
    assert not check_of(kernel, period=7.3).slope.differs


def test_a_mini_batch_is_not_compared_and_says_that_it_draws_anew():
    def build():
        with pm.Model() as model:
            batch = pm.Minibatch(np.arange(100.0), batch_size=10)
            centre = pm.Normal("centre", 0.0, 1.0)
            pm.Normal("seen", centre, 1.0, observed=batch, total_size=100)
        return model

    check = check_of(build)
    assert check.random_operations == ("Minibatch",)
    assert "draws anew" in check.slope.skipped
    assert not check.slope.differs
    assert check.n_not_finite == 0


def test_more_terms_than_numpy_takes_operands_are_added():
    def build():
        with pm.Model() as model:
            one = [pm.Normal(f"part_{number}") for number in range(40)]
            pm.Potential("whole", -(pt.add(*one) ** 2))
        return model

    check = check_of(build)
    assert not check.slope.skipped
    assert not check.slope.differs
    assert len(check.finiteness) == 40


def test_what_is_not_finite_is_counted_where_the_finder_looks():
    model = saturation(0.0)
    density, point = Density(model), start_of(model)
    groups, parts = gradient_parts(model, density, point)
    assert [(one.group, one.nan) for one in finiteness(groups, parts)] == [("uptake", 1), ("shape", 0)]
