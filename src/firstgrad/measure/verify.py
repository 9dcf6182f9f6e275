"""No speed without a check: the compiled function against the oracle, and the gradient's finiteness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.data import generate
from firstgrad.oracle import allowed_rounding, compare_gradient, compare_logp, finiteness, value_and_gradient
from firstgrad.points import unflatten
from firstgrad.record import Check, Verdict
from firstgrad.spec import PoseSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from firstgrad.backends.base import Answer
    from firstgrad.case import ExternalModel
    from firstgrad.points import Group, Point


def check_answers(
    model: PoseSpec | ExternalModel,
    groups: Sequence[Group],
    answers: Sequence[tuple[Point, Answer]],
    logp_value: Callable[[Point], float],
) -> Check:
    """Compare what the compiled function returned with the oracle.

    Parameters
    ----------
    model : PoseSpec or ExternalModel
        The oracle knows the pose model only.
    groups : sequence of Group
        In the order of the flat gradient.
    answers : sequence of (Point, Answer)
        The first is that of the first call.
    logp_value : callable
        Gives the log-density where the answer has none.

    Returns
    -------
    Check
    """
    _, first = answers[0]
    finite = finiteness(groups, unflatten(first.gradient, groups))
    if not isinstance(model, PoseSpec):
        return Check(verdict=Verdict.NO_ORACLE, logp=first.logp, finiteness=finite, points=1)

    data = generate(model)
    logps = [answer.logp if answer.logp is not None else logp_value(point) for point, answer in answers]
    for (point, answer), logp in zip(answers, logps, strict=True):
        expected_logp, expected = value_and_gradient(model, data, point)
        rounding = allowed_rounding(model, expected_logp)
        mismatches = (
            *compare_logp(expected_logp, logp),
            *compare_gradient(groups, expected, unflatten(answer.gradient, groups), rounding=rounding),
        )
        if mismatches:
            return Check(
                verdict=Verdict.DISAGREES,
                logp=logps[0],
                mismatches=mismatches,
                finiteness=finite,
                points=len(answers),
            )
    return Check(verdict=Verdict.AGREES, logp=logps[0], finiteness=finite, points=len(answers))
