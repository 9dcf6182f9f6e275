"""No speed without a check: the compiled function against the oracle, or else against finite differences."""

from __future__ import annotations

import hashlib
import itertools
import math
import struct
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from firstgrad.agreement import compare_gradient, compare_logp, finiteness
from firstgrad.errors import ModelError
from firstgrad.points import add_terms, unflatten
from firstgrad.record import Check, GroupSlope, Slope, Verdict, WrongDerivative

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from firstgrad.backends.base import Answer, BuiltModel, Explainer, Oracle, OracleAnswer
    from firstgrad.points import Group, Point
    from firstgrad.record import Mismatch

STEPS = (1e-3, 1e-4, 1e-5)
"""Lengths of the differences; the two neighbours that agree best tell the slope and how sure it is."""
SLOW_SECONDS = 2.0
"""A log-density that takes longer isn't evaluated seven times more."""
PIN_SECONDS = 20.0
"""No group of a gradient that is wrong is looked at after this."""
_RELATIVE = 1e-6
_ROUNDINGS = 16
_ROUGH = 0.3  # part of the slope by which differences may be unsure


def check_answers(
    built: BuiltModel,
    groups: Sequence[Group],
    answers: Sequence[tuple[Point, Answer]],
    logp_terms: Callable[[Point], Mapping[str, float]],
    explain: Callable[[], Explainer | None] = lambda: None,
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
    explain : callable
        Gives what can say where a NaN is made, and which derivative is wrong, if anything can.

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
        answer_digest=_digest(first),
    )
    if built.oracle is None:
        check = _without_oracle(check, groups, answers, logp_terms, explain)
    else:
        check = _with_oracle(check, built, groups, answers, logp_terms)
    if not (check.n_not_finite or check.logp_not_finite):
        return check
    bad = {name: ~np.isfinite(part) for name, part in unflatten(first.gradient, groups).items()}
    try:
        explainer = explain()
        origins = (
            explainer.origins(start, {name: mask for name, mask in bad.items() if mask.any()}) if explainer else ()
        )
    except Exception:  # noqa: BLE001 - a user's Op may know one backend only; what was found stands without
        return check
    return replace(check, origins=origins)


def _digest(answer: Answer) -> str:
    logp = b"" if answer.logp is None else struct.pack("<d", answer.logp)
    return hashlib.sha256(logp + answer.gradient.astype("<f8").tobytes()).hexdigest()[:32]


def _with_oracle(
    check: Check,
    built: BuiltModel,
    groups: Sequence[Group],
    answers: Sequence[tuple[Point, Answer]],
    logp_terms: Callable[[Point], Mapping[str, float]],
) -> Check:
    """Compare with the model's oracle at each point."""
    oracle: Oracle = built.oracle  # type: ignore[assignment]  # asked only where there is one
    logps = [answer.logp for _, answer in answers]
    if None in logps:
        try:
            logps = [add_terms(logp_terms(point)) for point, _ in answers]
        except Exception:
            if not built.is_own:
                raise
    check = replace(check, verdict=Verdict.AGREES, logp=logps[0], points=len(answers))
    for (point, answer), logp in zip(answers, logps, strict=True):
        mismatches = _compare(oracle(point), groups, logp, unflatten(answer.gradient, groups))
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
    explain: Callable[[], Explainer | None],
) -> Check:
    """Add what the log-density alone tells: terms that aren't finite, and the gradient's slope."""
    start, near, answer = answers[0][0], *answers[-1]

    def logp(point: Point) -> float:
        return add_terms(logp_terms(point))

    try:
        terms, explainer = logp_terms(start), explain()
        drawn = explainer.random_operations if explainer else ()
        if drawn:
            slope = Slope(skipped=f"each call draws anew ({', '.join(drawn)})")  # a mini-batch
        else:
            slope = check_slope(near, groups, answer.gradient, logp)
    except Exception as error:  # noqa: BLE001 - a user's Op may know one backend only; the measurement stands without
        reason = f"the log-density cannot be evaluated without a compiler: {type(error).__name__}"
        what = " ".join(str(error).split())
        return replace(check, slope=Slope(skipped=f"{reason}: {what}" if what else reason))
    if slope.differs:
        slope = _pin(slope, near, groups, answer.gradient, logp, explainer)
    return replace(
        check,
        logp=check.logp if check.logp is not None else add_terms(terms),
        logp_not_finite=tuple(name for name, term in terms.items() if not math.isfinite(term)),
        slope=slope,
        random_operations=drawn,
        rewriting_seconds=explainer.rewriting_seconds if explainer else 0.0,
    )


def _pin(
    slope: Slope,
    point: Point,
    groups: Sequence[Group],
    gradient: NDArray[np.float64],
    logp: Callable[[Point], float],
    explainer: Explainer | None,
    clock: Callable[[], float] = time.perf_counter,
) -> Slope:
    """Find the groups by which a gradient is wrong, and the operation whose derivative is."""
    began, wrong = clock(), []
    for group in groups:
        one = check_slope(point, groups, gradient, logp, within=group.value_name)
        if one.differs and one.expected is not None and one.got is not None:
            wrong.append(GroupSlope(group=group.name, expected=one.expected, got=one.got, allowed=one.allowed))
        if clock() - began > PIN_SECONDS:
            break
    slope = replace(slope, groups=tuple(wrong))
    if explainer is None:
        return slope
    names = [one.group for one in wrong] or [group.name for group in groups]
    try:
        derivatives = tuple(_wrong_derivatives(explainer, point, names))
        nearly_equal = explainer.nearly_equal(point) if not derivatives else None
    except Exception:  # noqa: BLE001 - the groups stand without
        return slope
    return replace(slope, derivatives=derivatives or ((nearly_equal,) if nearly_equal else ()))


def _wrong_derivatives(explainer: Explainer, point: Point, names: Sequence[str]) -> Iterator[WrongDerivative]:
    for local in explainer.derivatives(point, names):
        for group, variables in zip(local.inputs, local.variables, strict=True):
            one = check_slope(local.point, local.inputs, local.gradient, local.value, within=group.value_name)
            if one.differs:
                yield WrongDerivative(
                    operation=local.operation,
                    input=group.name,
                    variables=variables,
                    expected=one.expected,
                    got=one.got,
                    line=local.line,
                )


def check_slope(
    point: Point,
    groups: Sequence[Group],
    gradient: NDArray[np.float64],
    logp: Callable[[Point], float],
    *,
    within: str = "",
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
    within : str
        Value name of the group that the direction stays within; '' for all of them.
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
    direction = _direction(groups, np.random.default_rng(seed), within)
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


def _direction(groups: Sequence[Group], rng: np.random.Generator, within: str) -> NDArray[np.float64]:
    parts = [(group, rng.standard_normal(group.size)) for group in groups]
    return np.concatenate(
        [
            part / (np.linalg.norm(part) or 1.0) if within in ("", group.value_name) else np.zeros(group.size)
            for group, part in parts
        ]
    )


def _moved(point: Point, groups: Sequence[Group], direction: NDArray[np.float64], by: float) -> Point:
    ends = np.cumsum([group.size for group in groups])
    moved = dict(point)
    for group, part in zip(groups, np.split(direction, ends[:-1]), strict=True):
        moved[group.value_name] = np.asarray(point[group.value_name]) + by * part.reshape(group.shape)
    return moved
