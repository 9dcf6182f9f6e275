"""No speed without a check: the oracle, finiteness, and finite differences along one direction."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.agreement import finiteness
from firstgrad.backends.base import Answer, BuiltModel, Hooks, OracleAnswer
from firstgrad.backends.fake import FakeBackend
from firstgrad.case import Target
from firstgrad.errors import ModelError
from firstgrad.measuring.verify import SLOW_SECONDS, check_answers, check_slope
from firstgrad.measuring.worker import nearby_points
from firstgrad.model import as_model
from firstgrad.points import Group, flatten, unflatten
from firstgrad.pose.spec import Formulation, HmmAlgorithm, HmmSpec, PoseSpec
from firstgrad.record import GroupFiniteness, Mismatch, Slope, Verdict
from helpers import FakeClock

SPEC = PoseSpec(
    n_timesteps=4,
    n_directions=2,
    formulation=Formulation.VECTORISED,
    hmm=HmmSpec(n_states=2, algorithm=HmmAlgorithm.SCAN),
)
POSE = FakeBackend().load(as_model(SPEC))()
GROUPS = (Group("a", ()), Group("b", (2, 3)), Group("c", (2,)))


def measured(target=Target.DLOGP):
    """Answers of the fake backend, whose function is right, at two points."""
    backend = FakeBackend()
    built = backend.load(as_model(SPEC))()
    point = backend.start_point(built)
    compiled = backend.compile(built, built, target, Hooks(lambda: None, lambda *_: None))
    answers = [(at, compiled.call(at)) for at in (point, *nearby_points(point, count=1))]
    return backend.groups(built, point), answers, backend.logp_terms(built)


def with_gradient(answers, number, change):
    """The same answers, with one gradient changed by value name and index."""
    point, answer = answers[number]
    values = unflatten(answer.gradient, SPEC)
    change(values)
    changed = list(answers)
    changed[number] = (point, Answer(flatten(values, SPEC), answer.logp))
    return changed


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)  # where the fake compiler would write


def test_finiteness_is_counted_group_by_group():
    gradient = np.array([np.nan, 1.0, np.inf, -np.inf, np.nan, 0.0, 2.0, 3.0, 4.0])
    assert finiteness(GROUPS, unflatten(gradient, GROUPS)) == (
        GroupFiniteness(group="a", values=1, nan=1, infinite=0),
        GroupFiniteness(group="b", values=6, nan=1, infinite=2),
        GroupFiniteness(group="c", values=2, nan=0, infinite=0),
    )


@pytest.mark.parametrize("shape", [(), (8,), (10,), (9, 1), (3, 3)])
def test_a_gradient_of_a_wrong_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected a vector of 9 values, got shape \("):
        finiteness(GROUPS, unflatten(np.zeros(shape), GROUPS))


@pytest.mark.parametrize("target", [Target.DLOGP, Target.LOGP_DLOGP])
def test_right_answers_agree(target):
    groups, answers, logp_terms = measured(target)
    check = check_answers(POSE, groups, answers, logp_terms)
    assert check.verdict is Verdict.AGREES
    assert check.mismatches == ()
    assert check.points == 2
    assert check.logp == pytest.approx(logp_terms(answers[0][0])["logp"])
    assert [each.group for each in check.finiteness] == [group.name for group in groups]
    assert check.n_not_finite == 0


@pytest.mark.parametrize("number", [0, 1])
def test_a_wrong_value_is_found_by_group_and_index(number):
    groups, answers, logp_terms = measured()
    right = unflatten(answers[number][1].gradient, SPEC)["raw_u"][2, 1, 0]

    def change(values):
        values["raw_u"][2, 1, 0] += 1e-3 * (1 + abs(right))

    check = check_answers(POSE, groups, with_gradient(answers, number, change), logp_terms)
    assert check.verdict is Verdict.DISAGREES
    (found,) = check.mismatches
    assert (found.group, found.index, found.n_different) == ("raw_u", (2, 1, 0), 1)
    assert found.expected == pytest.approx(right)
    assert found.got == pytest.approx(right + 1e-3 * (1 + abs(right)))


def test_swapped_groups_are_found():
    groups, answers, logp_terms = measured()

    def swap(values):
        values["rho_log__"], values["sigma2_log__"] = values["sigma2_log__"], values["rho_log__"]

    check = check_answers(POSE, groups, with_gradient(answers, 0, swap), logp_terms)
    assert {each.group for each in check.mismatches} == {"rho", "sigma2"}


def test_a_value_that_is_not_finite_is_counted_and_disagrees():
    groups, answers, logp_terms = measured()

    def change(values):
        values["x_root"][0, 0] = np.nan

    check = check_answers(POSE, groups, with_gradient(answers, 0, change), logp_terms)
    assert check.verdict is Verdict.DISAGREES
    assert check.n_not_finite == 1
    assert [(each.group, each.index) for each in check.mismatches] == [("x_root", (0, 0))]


def test_a_wrong_log_density_is_found_whoever_gave_it():
    groups, answers, logp_terms = measured(Target.LOGP_DLOGP)
    right = answers[1][1].logp
    wrong = [answers[0], (answers[1][0], Answer(answers[1][1].gradient, right + 1e-3))]
    check = check_answers(POSE, groups, wrong, logp_terms)
    assert check.verdict is Verdict.DISAGREES
    assert check.mismatches == (Mismatch(group="logp", index=(), expected=right, got=right + 1e-3),)

    groups, answers, logp_terms = measured(Target.DLOGP)
    check = check_answers(POSE, groups, answers, lambda at: {**logp_terms(at), "more": 1e-3})
    assert [each.group for each in check.mismatches] == ["logp"]


def test_of_a_users_own_model_only_finiteness_is_known():
    answers = [({}, Answer(np.array([np.inf, *np.zeros(8)]), 1.5)), ({}, Answer(np.zeros(9)))]
    check = check_answers(BuiltModel(None, None, is_own=True), GROUPS, answers, SimpleNamespace())
    assert (check.verdict, check.logp, check.points, check.n_not_finite) == (Verdict.NO_ORACLE, 1.5, 1, 1)


def check_own(terms, *, factor=1.0, logp=None, oracle=None):
    """The check of a user's model: 9 values, with ``-x`` for a gradient, and a discrete one beside them."""
    rng = np.random.default_rng(0)
    points = [{"k": np.array(3)} | {each.value_name: rng.normal(size=each.shape) for each in GROUPS} for _ in range(2)]
    answers = [
        (at, Answer(-factor * np.concatenate([np.ravel(at[each.value_name]) for each in GROUPS]), logp))
        for at in points
    ]
    return check_answers(BuiltModel(None, None, is_own=True, oracle=oracle), GROUPS, answers, terms)


def quadratic(point):
    return {each.name: float(-(point[each.value_name] ** 2).sum() / 2) for each in GROUPS}


def test_of_a_users_own_model_the_gradient_is_compared_with_finite_differences():
    check = check_own(quadratic)
    assert check.verdict is Verdict.NO_ORACLE
    assert not check.slope.skipped
    assert not check.slope.differs
    assert check.slope.got == pytest.approx(check.slope.expected, rel=1e-6)
    assert check_own(quadratic, factor=1.001).slope.differs


def test_discrete_variables_of_a_users_own_model_are_held_and_named():
    def terms(point):
        assert point["k"] == 3
        return quadratic(point)

    check = check_own(terms)
    assert check.held == ("k",)
    assert [each.group for each in check.finiteness] == ["a", "b", "c"]


def test_the_log_density_is_added_up_where_the_answer_has_none():
    assert check_own(lambda _: {"x": 1.0, "y": 2.5}).logp == 3.5
    assert check_own(lambda _: {"x": 1.0, "y": 2.5}, logp=7.0).logp == 7.0


def test_terms_of_the_log_density_that_are_not_finite_are_named():
    check = check_own(lambda _: {"x": 1.0, "y": -np.inf, "p": np.nan, "q": np.inf})
    assert check.logp_not_finite == ("y", "p", "q")
    assert check.slope == Slope(skipped="the log-density isn't finite")


def check_with_oracle(oracle, *, terms=quadratic):
    """The check of the same model, whose file offers an oracle."""
    return check_own(terms, oracle=oracle)


def right_oracle(point, *, logp_error=0.0, gradient_error=0.0):
    gradient = {each.value_name: -point[each.value_name] for each in GROUPS}
    gradient["b"] = gradient["b"] + gradient_error * np.eye(2, 3)
    return OracleAnswer(sum(quadratic(point).values()) + logp_error, gradient)


def test_an_oracle_of_the_users_own_gives_a_verdict():
    check = check_with_oracle(right_oracle)
    assert (check.verdict, check.points, check.slope, check.held) == (Verdict.AGREES, 2, None, ("k",))
    assert [each.group for each in check.finiteness] == ["a", "b", "c"]
    check = check_with_oracle(lambda point: right_oracle(point, gradient_error=1e-6))
    assert check.verdict is Verdict.DISAGREES
    assert [(each.group, each.n_different) for each in check.mismatches] == [("b", 2)]
    check = check_with_oracle(lambda point: right_oracle(point, logp_error=1e-6))
    assert [each.group for each in check.mismatches] == ["logp"]


def unknown(_):
    raise NotImplementedError("an Op without perform")


def test_what_the_interpreter_cannot_evaluate_is_no_failure():
    check = check_own(unknown, logp=1.5)
    assert check.logp == 1.5
    assert "NotImplementedError" in check.slope.skipped


def test_a_log_density_that_nobody_can_tell_is_not_compared():
    assert check_with_oracle(lambda point: OracleAnswer(None, right_oracle(point).gradient)).verdict is Verdict.AGREES
    check = check_with_oracle(lambda point: right_oracle(point, logp_error=1.0), terms=unknown)
    assert (check.verdict, check.logp) == (Verdict.AGREES, None)
    with pytest.raises(NotImplementedError):  # of the pose model it is known
        check_answers(POSE, measured()[0], measured()[1], unknown)


@pytest.mark.parametrize(
    ("gradient", "reason"), [({"a": np.zeros(())}, "the gradient has no 'b'; it has a"), ({"a": np.ones(3)}, "shape")]
)
def test_an_oracle_that_does_not_fit_the_model_is_refused(gradient, reason):
    with pytest.raises(ModelError, match=f"the model's oracle doesn't fit the model: .*{reason}"):
        check_with_oracle(lambda _: OracleAnswer(None, gradient))


def test_a_gradient_of_a_wrong_length_is_refused_for_every_model():
    groups, answers, logp_terms = measured()
    short = [(answers[0][0], Answer(answers[0][1].gradient[:-1]))]
    with pytest.raises(ValueError, match="expected a vector of"):
        check_answers(POSE, groups, short, logp_terms)


SLOPE_GROUPS = (Group("a", (), value_name="a_log__"), Group("b", (2, 3)), Group("c", (40,)))


def make_point(seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    return {each.value_name: scale * rng.normal(size=each.shape) for each in SLOPE_GROUPS}


def flat(point):
    return np.concatenate([np.ravel(point[each.value_name]) for each in SLOPE_GROUPS])


def logp(point):
    """Neither quadratic nor separable."""
    x = flat(point)
    return float(np.sin(x).sum() - (x**4).sum() / 10 + x[0] * x[3])


def noisy(point, *, noise):
    return logp(point) + noise * float(np.random.default_rng(np.abs(flat(point).view(np.int64))).normal())


def gradient_of(point):
    x = flat(point)
    gradient = np.cos(x) - 4 * x**3 / 10
    gradient[0] += x[3]
    gradient[3] += x[0]
    return gradient


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.0, 0.1, 1.0, 3.0]), level=st.sampled_from([0, 1e3, -1e8]))
def test_a_right_gradient_agrees_wherever_it_is_taken(seed, scale, level):
    point = make_point(seed, scale)
    slope = check_slope(point, SLOPE_GROUPS, gradient_of(point), lambda at: logp(at) + level, seed=seed)
    assert not slope.skipped
    assert not slope.differs


@pytest.mark.parametrize("place", [0, 1, 6, 7, 46])
def test_one_wrong_value_is_found_whichever_group_it_is_in(place):
    point = make_point()
    gradient = gradient_of(point)
    gradient[place] += 0.01
    assert check_slope(point, SLOPE_GROUPS, gradient, logp).differs


@pytest.mark.parametrize("change", [lambda g: -g, lambda g: 1.5 * g, np.zeros_like, lambda g: g[::-1].copy()])
def test_a_wrong_sign_factor_order_or_nothing_at_all_is_found(change):
    point = make_point()
    assert check_slope(point, SLOPE_GROUPS, change(gradient_of(point)), logp).differs


def test_what_is_no_group_is_held_and_the_point_itself_stays_as_it_is():
    point = make_point() | {"k": np.array(3)}
    before = {name: value.copy() for name, value in point.items()}

    def with_discrete(at):
        assert at["k"] == 3
        assert at["k"].dtype == point["k"].dtype
        return logp(at)

    assert not check_slope(point, SLOPE_GROUPS, gradient_of(point), with_discrete).differs
    assert all(np.array_equal(point[name], before[name]) for name in point)


def test_a_log_density_that_differs_from_call_to_call_is_not_judged():
    rng = np.random.default_rng(0)
    slope = check_slope(make_point(), SLOPE_GROUPS, np.zeros(47), lambda _: float(rng.normal()))
    assert "differs from call to call" in slope.skipped
    assert not slope.differs


def test_what_is_not_finite_is_not_judged():
    point = make_point()
    assert check_slope(point, SLOPE_GROUPS, np.full(47, np.nan), logp).skipped == "the gradient isn't finite"
    assert check_slope(point, SLOPE_GROUPS, np.zeros(47), lambda _: -np.inf).skipped == "the log-density isn't finite"
    edge = check_slope(
        point, SLOPE_GROUPS, np.zeros(47), lambda at: 0.0 if at["a_log__"] == point["a_log__"] else -np.inf
    )
    assert edge.skipped == "the log-density isn't finite nearby"


def test_a_slow_log_density_is_evaluated_once_only():
    clock, calls = FakeClock(), []

    def slow(_):
        calls.append(1)
        clock.tick(SLOW_SECONDS * 1.01)
        return 1.0

    assert "takes seconds" in check_slope(make_point(), SLOPE_GROUPS, np.zeros(47), slow, clock=clock).skipped
    assert len(calls) == 1


@pytest.mark.parametrize("noise", [1e-8, 1e-7])
def test_noise_beyond_what_the_size_tells_is_no_wrong_gradient(noise):
    """As a Cholesky factor of an ill-conditioned matrix has it: the same at each call, another one at each point."""

    differing = [
        seed
        for seed in range(200)
        if check_slope(
            make_point(seed), SLOPE_GROUPS, gradient_of(make_point(seed)), partial(noisy, noise=noise), seed=seed
        ).differs
    ]
    assert len(differing) <= 1


@pytest.mark.parametrize("scale", [1e-5, 1e-6])
def test_a_wave_shorter_than_the_steps_is_not_judged(scale):
    """As a frequency times a time stamp makes it."""
    for seed in range(20):
        point = make_point(seed)
        gradient = np.cos(flat(point) / scale) / scale
        slope = check_slope(point, SLOPE_GROUPS, gradient, lambda at: float(np.sin(flat(at) / scale).sum()), seed=seed)
        assert not slope.differs
        assert not slope.skipped or "isn't smooth" in slope.skipped


def test_a_wrong_gradient_is_found_in_spite_of_noise():
    for seed in range(20):
        point = make_point(seed)
        assert check_slope(point, SLOPE_GROUPS, gradient_of(point) * 1.5, partial(noisy, noise=1e-9), seed=seed).differs
