"""The closed catalogue of measurement doubts, each with what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firstgrad.record import Doubt, Phase

if TYPE_CHECKING:
    from firstgrad.record import Record

UNACCOUNTED_FRACTION = 0.03
"""More of the time to first gradient than this without a phase is a doubt."""
UNACCOUNTED_SECONDS = 0.05
"""Less than this is no doubt, whatever its share: tiny cases last no longer themselves."""
LOAD_PER_CORE = 0.75
FEW_EVALUATIONS = 20

ADVICE = {
    Doubt.SCENARIO_CONTRADICTED: "the cache counters contradict the scenario, so this is no such measurement",
    Doubt.UNACCOUNTED_TIME: "more than 3% of the time to first gradient belongs to no phase; please report it",
    Doubt.HIGH_LOAD: "the machine was busy before the sample; compare processor seconds, or measure again",
    Doubt.NO_BYTECODE: (
        "PyMC was imported without compiled bytecode, which makes importing slow. Unset "
        "PYTHONDONTWRITEBYTECODE and run: python -m compileall -q on its environment"
    ),
    Doubt.NOT_FINITE: "the gradient has NaN or infinite values; `firstgrad check` names the groups",
    Doubt.FEW_EVALUATIONS: "few evaluations were timed, so their interval is wide; raise --evaluations",
}
"""What each doubt means and what to do."""


def find_doubts(record: Record) -> tuple[Doubt, ...]:
    """Find what may spoil a record.

    Returns
    -------
    tuple of Doubt
        In the order of the catalogue; empty where nothing is wrong.
    """
    environment = record.environment
    unaccounted, whole = record.unaccounted_seconds, record.time_to_first_gradient_seconds
    evaluated = record.phase(Phase.EVALUATE) is not None
    found = {
        Doubt.SCENARIO_CONTRADICTED: record.caches is not None and not record.caches.is_proven,
        Doubt.UNACCOUNTED_TIME: (unaccounted or 0.0) > max(UNACCOUNTED_FRACTION * (whole or 0.0), UNACCOUNTED_SECONDS),
        Doubt.HIGH_LOAD: environment.load_before > LOAD_PER_CORE * environment.host.cores,
        Doubt.NO_BYTECODE: environment.bytecode is False,
        Doubt.NOT_FINITE: record.check.n_not_finite > 0,
        Doubt.FEW_EVALUATIONS: evaluated and len(record.evaluation_seconds) < FEW_EVALUATIONS,
    }
    return tuple(doubt for doubt in Doubt if found[doubt])
