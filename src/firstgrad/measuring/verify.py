"""No speed without a check: the compiled function against the oracle, or else against finite differences."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from firstgrad.agreement import compare_gradient, compare_logp, finiteness
from firstgrad.errors import ModelError
from firstgrad.points import add_terms, unflatten
from firstgrad.record import Check, Slope, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from firstgrad.backends.base import Answer, BuiltModel, OracleAnswer
    from firstgrad.points import Group, Point
    from firstgrad.record import Mismatch

STEPS = (1e-3, 1e-4, 1e-5)
"""Lengths of the differences; the two neighbours that agree best tell the slope and how sure it is."""
SLOW_SECONDS = 2.0
"""A log-density that takes longer isn't evaluated seven times more."""
_RELATIVE = 1e-6
_ROUNDINGS = 16
_ROUGH = 0.3  # part of the slope by which differences may be unsure


def check_answers(
    built: BuiltModel,
    groups: Sequence[Group],
    answers: Sequence[tuple[Point, Answer]],
    logp_terms: Callable[[Point], Mapping[str, float]],
) -> Check:
    """Compare what the compiled function returned with the model's oracle, or with itself where there is none.

    Parameters
    ----------
    built : BuiltModel
        With its oracle, if it has one.
    groups : sequence of Group
        In the order of the flat gradient.
    answers : sequence of (Point, Answer)
        The first is that of the first call.
    logp_terms : callable
        Gives the log-density's terms by name, without the compiled function: asked where an answer has no log-density,
        and where there is no oracle.

    Raises
    ------
    ModelError
        Where the user's oracle raises, or its gradient lacks a group.
    """
    start, first = answers[0]
    continuous = {group.value_name for group in groups}
    check = Check(
        verdict=Verdict.NO_ORACLE,
        logp=first.logp,
        finiteness=finiteness(groups, unflatten(first.gradient, groups)),
        points=1,
        held=tuple(name for name in start if name not in continuous),
    )
    if built.oracle is None:
        return _without_oracle(check, groups, answers, logp_terms)
    logps = [answer.logp for _, answer in answers]
    if None in logps:
        try:
            logps = [add_terms(logp_terms(point)) for point, _ in answers]
        except Exception:
            if not built.is_own:
                raise
    check = replace(check, verdict=Verdict.AGREES, logp=logps[0], points=len(answers))
    for (point, answer), logp in zip(answers, logps, strict=True):
        mismatches = _compare(built.oracle(point), groups, logp, unflatten(answer.gradient, groups))
        if mismatches:
            return replace(check, verdict=Verdict.DISAGREES, mismatches=mismatches)
    return check


def _compare(
    expected: OracleAnswer, groups: Sequence[Group], logp: float | None, gradient: Point
) -> tuple[Mismatch, ...]:
    """Compare at one point; a log-density that one of the two doesn't know isn't compared."""
    both = expected.logp is not None and logp is not None
    try:
        return (
            *(compare_logp(expected.logp, logp) if both else ()),  # type: ignore[arg-type]  # both says so
            *compare_gradient(groups, expected.gradient, gradient, rounding=expected.rounding),
        )
    except ValueError as error:
        raise ModelError(f"the model's oracle doesn't fit the model: {error}") from error


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


def check_slope(
    point: Point,
    groups: Sequence[Group],
    gradient: NDArray[np.float64],
    logp: Callable[[Point], float],
    *,
    seed: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Slope:
    """Compare a gradient with central differences of the log-density along one random direction.

    The direction has the length 1 within each group, so that no group is lost among larger ones. A wrong value moves
    the slope unless another wrong one happens to make up for it.

    Parameters
    ----------
    point : Point
        At which the gradient was taken.
    groups : sequence of Group
        In the order of the flat gradient; what else the point has is held.
    gradient : array, shape (n_values,)
        What is checked.
    logp : callable
        The log-density, by other means than the gradient; called 8 times.
    seed : int
        Of the direction.
    clock : callable
        In seconds.

    Returns
    -------
    Slope
        With a reason in it where nothing could be compared.
    """
    if not np.isfinite(gradient).all():
        return Slope(skipped="the gradient isn't finite")
    began = clock()
    middle = logp(point)
    if clock() - began > SLOW_SECONDS:
        return Slope(skipped="one evaluation of the log-density without a compiler takes seconds")
    if not math.isfinite(middle):
        return Slope(skipped="the log-density isn't finite")
    if logp(point) != middle:
        return Slope(skipped="the log-density differs from call to call (a mini-batch?)")
    direction = _direction(groups, np.random.default_rng(seed))
    slopes, bends, ends = [], [], [abs(middle)]
    for step in STEPS:
        ahead, behind = (logp(_moved(point, groups, direction, sign * step)) for sign in (1.0, -1.0))
        slopes.append((ahead - behind) / (2 * step))
        bends.append(ahead + behind - 2 * middle)
        ends += [abs(ahead), abs(behind)]
    if not np.isfinite(slopes).all():
        return Slope(skipped="the log-density isn't finite nearby")
    return _judge(slopes, bends, max(ends), gradient * direction)


def _judge(slopes: list[float], bends: list[float], largest: float, parts: NDArray[np.float64]) -> Slope:
    """Compare, with the differences' own error: `bends` are second differences, `largest` the largest log-density."""
    unsure = [abs(one - other) for one, other in itertools.pairwise(slopes)]
    # Noise of the log-density grows as steps shrink: the longer ones may agree by chance, but hardly all of them.
    unsure[0] = max(unsure[0], unsure[1] * STEPS[2] / STEPS[1])
    best = int(np.argmin(unsure))
    # What cancels within the log-density (a Cholesky factor, large terms of both signs) loses more digits than its size
    # tells: the curvature of two steps is the same number but for that.
    noise = abs(bends[2] - bends[1] * (STEPS[2] / STEPS[1]) ** 2)
    rounding = _ROUNDINGS * float(np.finfo(np.float64).eps) * largest
    slope = Slope(
        expected=slopes[best + 1],
        got=math.fsum(parts),
        allowed=2 * unsure[best] + max(rounding, noise) / STEPS[best + 1] + _RELATIVE * float(np.abs(parts).sum()),
    )
    # A kink, or a wave shorter than the steps: no two of them tell the slope.
    is_rough = noise > rounding and max(unsure[best], noise / STEPS[best + 1]) > _ROUGH * abs(slopes[best + 1])
    if slope.differs and is_rough:
        return Slope(skipped=f"the log-density isn't smooth within steps of {STEPS[-1]:g}")
    return slope


def _direction(groups: Sequence[Group], rng: np.random.Generator) -> NDArray[np.float64]:
    parts = [rng.standard_normal(group.size) for group in groups]
    return np.concatenate([part / (np.linalg.norm(part) or 1.0) for part in parts])


def _moved(point: Point, groups: Sequence[Group], direction: NDArray[np.float64], by: float) -> Point:
    ends = np.cumsum([group.size for group in groups])
    moved = dict(point)
    for group, part in zip(groups, np.split(direction, ends[:-1]), strict=True):
        moved[group.value_name] = np.asarray(point[group.value_name]) + by * part.reshape(group.shape)
    return moved
