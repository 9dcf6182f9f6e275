from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from firstgrad.backends.base import Answer, Hooks
from firstgrad.backends.fake import FakeBackend
from firstgrad.case import ExternalModel, Target
from firstgrad.measure.evaluate import nearby_points
from firstgrad.measure.verify import check_answers
from firstgrad.oracle import finiteness
from firstgrad.points import Group, flatten, unflatten
from firstgrad.record import GroupFiniteness, Mismatch, Verdict
from firstgrad.spec import Formulation, HmmAlgorithm, HmmSpec, PoseSpec

SPEC = PoseSpec(
    n_timesteps=4,
    n_directions=2,
    formulation=Formulation.VECTORISED,
    hmm=HmmSpec(n_states=2, algorithm=HmmAlgorithm.SCAN),
)
GROUPS = (Group("a", ()), Group("b", (2, 3)), Group("c", (2,)))


def measured(target=Target.DLOGP):
    """Answers of the fake backend, whose function is right, at two points."""
    backend = FakeBackend()
    problem = backend.load(SPEC)()
    point = backend.start_point(problem)
    compiled = backend.compile(problem, problem, target, Hooks(lambda: None, lambda *_: None))
    answers = [(at, compiled.call(at)) for at in (point, *nearby_points(point, count=1))]
    return backend.groups(problem, point), answers, backend.logp_function(problem)


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


@pytest.mark.parametrize("target", list(Target))
def test_right_answers_agree(target):
    groups, answers, logp_value = measured(target)
    check = check_answers(SPEC, groups, answers, logp_value)
    assert check.verdict is Verdict.AGREES
    assert check.mismatches == ()
    assert check.points == 2
    assert check.logp == pytest.approx(logp_value(answers[0][0]))
    assert [each.group for each in check.finiteness] == [group.name for group in groups]
    assert check.n_not_finite == 0


@pytest.mark.parametrize("number", [0, 1])
def test_a_wrong_value_is_found_by_group_and_index(number):
    groups, answers, logp_value = measured()
    right = unflatten(answers[number][1].gradient, SPEC)["raw_u"][2, 1, 0]

    def change(values):
        values["raw_u"][2, 1, 0] += 1e-3 * (1 + abs(right))

    check = check_answers(SPEC, groups, with_gradient(answers, number, change), logp_value)
    assert check.verdict is Verdict.DISAGREES
    (found,) = check.mismatches
    assert (found.group, found.index, found.n_different) == ("raw_u", (2, 1, 0), 1)
    assert found.expected == pytest.approx(right)
    assert found.got == pytest.approx(right + 1e-3 * (1 + abs(right)))


def test_swapped_groups_are_found():
    groups, answers, logp_value = measured()

    def swap(values):
        values["rho_log__"], values["sigma2_log__"] = values["sigma2_log__"], values["rho_log__"]

    check = check_answers(SPEC, groups, with_gradient(answers, 0, swap), logp_value)
    assert {each.group for each in check.mismatches} == {"rho", "sigma2"}


def test_a_value_that_is_not_finite_is_counted_and_disagrees():
    groups, answers, logp_value = measured()

    def change(values):
        values["x_root"][0, 0] = np.nan

    check = check_answers(SPEC, groups, with_gradient(answers, 0, change), logp_value)
    assert check.verdict is Verdict.DISAGREES
    assert check.n_not_finite == 1
    assert [(each.group, each.index) for each in check.mismatches] == [("x_root", (0, 0))]


def test_a_wrong_log_density_is_found_whoever_gave_it():
    groups, answers, logp_value = measured(Target.LOGP_DLOGP)
    right = answers[1][1].logp
    wrong = [answers[0], (answers[1][0], Answer(answers[1][1].gradient, right + 1e-3))]
    check = check_answers(SPEC, groups, wrong, logp_value)
    assert check.verdict is Verdict.DISAGREES
    assert check.mismatches == (Mismatch(group="logp", index=(), expected=right, got=right + 1e-3),)

    groups, answers, logp_value = measured(Target.DLOGP)
    check = check_answers(SPEC, groups, answers, lambda at: logp_value(at) + 1e-3)
    assert [each.group for each in check.mismatches] == ["logp"]


def test_of_a_users_own_model_only_finiteness_is_known():
    model = ExternalModel(reference="some/file.py:build")
    answers = [({}, Answer(np.array([np.inf, *np.zeros(8)]), 1.5)), ({}, Answer(np.zeros(9)))]
    check = check_answers(model, GROUPS, answers, SimpleNamespace())
    assert (check.verdict, check.logp, check.points, check.n_not_finite) == (Verdict.NO_ORACLE, 1.5, 1, 1)


def test_a_gradient_of_a_wrong_length_is_refused_for_every_model():
    groups, answers, logp_value = measured()
    short = [(answers[0][0], Answer(answers[0][1].gradient[:-1]))]
    with pytest.raises(ValueError, match="expected a vector of"):
        check_answers(SPEC, groups, short, logp_value)
