"""A check that nobody named a backend for: the first that works, and what another way to the gradient says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from firstgrad.backends import facts_of
from firstgrad.case import BackendName, Case, Scenario, Target
from firstgrad.measuring.environment import backend_version
from firstgrad.phase import Phase
from firstgrad.record import OtherWay, Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.model import Model
    from firstgrad.record import Record

ORDER = (BackendName.JAX, BackendName.JAX_DIRECT, BackendName.NUMBA, BackendName.C, BackendName.INTERPRETER)
"""The soonest first; the last one compiles nothing and knows every operation that Python can do."""
_BEFORE_BACKENDS = (Phase.IMPORT, Phase.BUILD, Phase.START_POINT, Phase.LOGP_GRAPH)


def check_gradient_of(
    model: Model,
    measure: Callable[[Case], Record],
    *,
    backend: BackendName | None = None,
    time_limit_seconds: float = 3600.0,
) -> Record:
    """Check a model's log-density and gradient.

    Parameters
    ----------
    model : Model
        Whose.
    measure : callable
        Measures a case once.
    backend : BackendName, optional
        The only one that is asked. Where left out it is the first of `ORDER` that works, and another one beside it that
        differentiates otherwise: PyTensor writes one gradient, JAX another.
    time_limit_seconds : float
        Of each.

    Returns
    -------
    Record
        That of the backend that was taken, in `check.others` those that could not, and what the other way says.
    """

    def ask(name: BackendName) -> Record:
        return measure(
            Case(
                model=model,
                backend=name,
                target=Target.LOGP_DLOGP,
                scenario=Scenario.COLD,
                evaluations=0,
                time_limit_seconds=time_limit_seconds,
            )
        )

    if backend is not None:
        return ask(backend)
    others: list[OtherWay] = []
    failed: list[Record] = []
    for name in ORDER:
        if not is_here(name):
            others.append(OtherWay(backend=name, failure=f"{facts_of(name).missing} is not installed"))
            continue
        record = ask(name)
        if record.failure is None:
            others += _second_opinion(record, {one.backend for one in others}, ask)
            return replace(record, check=replace(record.check, others=tuple(others)))
        if record.failure.phase in _BEFORE_BACKENDS:
            return record  # the model's own fault: no backend comes as far as to its work
        failed.append(record)
        others.append(_other_way(record))
    return failed[0]


def is_here(name: BackendName) -> bool:
    """Whether what a backend needs is installed."""
    return not facts_of(name).is_real or bool(backend_version(name))


def _second_opinion(record: Record, tried: set[str], ask: Callable[[BackendName], Record]) -> list[OtherWay]:
    """Ask who differentiates otherwise, unless an oracle has spoken or each call draws anew."""
    check, backend = record.check, record.case.backend
    other = BackendName.INTERPRETER if backend is BackendName.JAX_DIRECT else BackendName.JAX_DIRECT
    is_judged = check.verdict is not Verdict.NO_ORACLE or bool(check.random_operations)
    return [] if is_judged or other in tried or not is_here(other) else [_other_way(ask(other))]


def _other_way(record: Record) -> OtherWay:
    failure, check = record.failure, record.check
    if failure is not None:
        reason = " ".join(failure.message.split()) if record.status is Status.FAILED else str(record.status)
        return OtherWay(backend=record.case.backend, failure=reason)
    return OtherWay(
        backend=record.case.backend,
        not_finite=tuple(group.group for group in check.finiteness if group.nan + group.infinite),
        origins=check.origins,
        slope=check.slope,
    )
