"""Samples with a known break-even: JAX takes 10 s and 1 ms a call, Numba 30 s and 0.5 ms, so they cross at 40,000."""

from __future__ import annotations

from builders import make_environment, make_record, phase
from firstgrad.case import BackendName, Case, Scenario
from firstgrad.model import Model
from firstgrad.record import Check, Counts, GroupFiniteness, Verdict

MODEL = Model(reference="some/file.py:build")
COSTS = {"jax": (10.0, 1e-3), "numba": (30.0, 0.5e-3)}
CROSSING = 40_000


def planted_sample(
    first_seconds,
    call_seconds,
    *,
    number=0,
    backend="jax",
    scenario=Scenario.COLD,
    model=MODEL,
    groups=(),
    counts=None,
    verdict=Verdict.AGREES,
    import_seconds=1.0,
    **environment,
):
    """One sample whose check holds."""
    return make_record(
        record_id=f"{backend}-{scenario}-{number}-{first_seconds}",
        case=Case(model=model, backend=BackendName(backend), scenario=scenario),
        environment=make_environment(**environment),
        phases=(phase("import", import_seconds, cpu=1.0),),
        time_to_first_gradient_seconds=first_seconds,
        time_to_first_gradient_cpu_seconds=first_seconds,
        evaluation_seconds=(call_seconds,) * 30,
        check=Check(verdict=verdict, finiteness=groups),
        counts=counts or Counts(groups=len(groups), values=1),
    )


def planted_samples(costs=None, *, noise=(0.99, 1.0, 1.01), scenarios=(Scenario.COLD, Scenario.WARM), **fields):
    """Three samples a backend and scenario; warm they cost as much as cold, unless `costs` says otherwise."""
    return [
        planted_sample(part * first, part * call, number=number, backend=backend, scenario=scenario, **fields)
        for backend, (first, call) in (costs or COSTS).items()
        for scenario in scenarios
        for number, part in enumerate(noise)
    ]


def asked(records):
    """What is wanted of these records: every case."""
    return [each.case for each in records]


def group(name, values=1, nan=0):
    return GroupFiniteness(group=name, values=values, nan=nan, infinite=0)
