"""No speed without a check: the compiled function against the oracle, and the gradient's finiteness."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from firstgrad.data import generate
from firstgrad.measure.slope import check_slope
from firstgrad.oracle import allowed_rounding, compare_gradient, compare_logp, finiteness, value_and_gradient
from firstgrad.points import add_terms, unflatten
from firstgrad.record import Check, Slope, Verdict
from firstgrad.spec import PoseSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from firstgrad.backends.base import Answer
    from firstgrad.case import ExternalModel
    from firstgrad.points import Group, Point


def check_answers(
    model: PoseSpec | ExternalModel,
    groups: Sequence[Group],
    answers: Sequence[tuple[Point, Answer]],
    logp_terms: Callable[[Point], Mapping[str, float]],
) -> Check:
    """Compare what the compiled function returned with the oracle, or with itself where there is none.

    Parameters
    ----------
    model : PoseSpec or ExternalModel
        The oracle knows the pose model only.
    groups : sequence of Group
        In the order of the flat gradient.
    answers : sequence of (Point, Answer)
        The first is that of the first call.
    logp_terms : callable
        Gives the log-density's terms by name, without the compiled function: asked where an answer has no log-density,
        and where there is no oracle.

    Returns
    -------
    Check
    """
    _, first = answers[0]
    finite = finiteness(groups, unflatten(first.gradient, groups))
    if not isinstance(model, PoseSpec):
        continuous = {group.value_name for group in groups}
        held = tuple(name for name in answers[0][0] if name not in continuous)
        check = Check(verdict=Verdict.NO_ORACLE, logp=first.logp, finiteness=finite, points=1, held=held)
        return _without_oracle(check, groups, answers, logp_terms)

    data = generate(model)
    logps = [answer.logp if answer.logp is not None else add_terms(logp_terms(point)) for point, answer in answers]
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


def _without_oracle(
    check: Check,
    groups: Sequence[Group],
    answers: Sequence[tuple[Point, Answer]],
    logp_terms: Callable[[Point], Mapping[str, float]],
) -> Check:
    """Add what the log-density alone tells: terms that aren't finite, and the gradient's slope."""
    start, near, answer = answers[0][0], *answers[-1]
    try:
        terms = logp_terms(start)
        slope = check_slope(near, groups, answer.gradient, lambda point: add_terms(logp_terms(point)))
    except Exception as error:  # noqa: BLE001 - a user's Op may know one backend only; the measurement stands without
        reason = f"PyTensor's interpreter cannot evaluate the log-density: {type(error).__name__}"
        return replace(check, slope=Slope(skipped=reason))
    return replace(
        check,
        logp=check.logp if check.logp is not None else add_terms(terms),
        logp_not_finite=tuple(name for name, term in terms.items() if not math.isfinite(term)),
        slope=slope,
    )
