"""Samples with a known break-even: JAX takes 10 s and 1 ms a call, Numba 30 s and 0.5 ms, so they cross at 40,000."""

from __future__ import annotations

from dataclasses import replace

from builders import make_environment, make_record, phase
from firstgrad.case import BackendName, Case, GradientBackend, Sampler, Scenario, Target
from firstgrad.doubts import find_doubts
from firstgrad.model import Model
from firstgrad.record import Check, Counts, DrawCheck, FirstDraw, GroupFiniteness, Pace, Verdict

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


def planted_draw(first_seconds, draw_seconds, *, sampler="nutpie", backend="jax", own="", number=0, **fields):
    """A first draw, and what the next ones cost; none of that where `draw_seconds` is none."""
    known = {"scenario": Scenario.COLD, "chains": 2, "steps": 10.0, "asked": sampler, "not_finite": ()}
    known |= fields
    case = Case(
        model=MODEL,
        backend=BackendName(backend),
        target=Target.FIRST_DRAW,
        scenario=known["scenario"],
        sampler=Sampler(known["asked"]),
        gradient_backend=GradientBackend(own) if own else None,
        chains=known["chains"],
    )
    pace = None if draw_seconds is None else Pace(draws=100, seconds_a_draw=draw_seconds, steps_a_draw=known["steps"])
    record = make_record(
        record_id=f"{sampler}-{backend}-{own}-{case.scenario}-{known['asked']}-{number}-{first_seconds}",
        case=case,
        phases=(phase("import", 1.0, cpu=1.0),),
        time_to_first_draw_seconds=first_seconds,
        time_to_first_draw_cpu_seconds=first_seconds,
        draw=FirstDraw(sampler=Sampler(sampler), reason="", seconds=(first_seconds,) * 2, pace=pace),
        check=Check(verdict=Verdict.DREW, draws=DrawCheck(not_finite=known["not_finite"])),
    )
    return replace(record, doubts=find_doubts(record))


DRAWS = {("nutpie", "numba"): (40.0, 0.01), ("nutpie", "jax"): (4.0, 0.1), ("pymc", "numba"): (10.0, 0.2)}
"""Seconds to the first draw, and of each after it: nutpie with JAX is overtaken by nutpie with Numba at 400 draws."""
OVERTAKEN = 400


def planted_draws(costs=None, *, noise=(0.99, 1.0, 1.01), scenarios=(Scenario.COLD, Scenario.WARM), **fields):
    """Three samples a sampler, backend and scenario."""
    return [
        planted_draw(
            part * first,
            None if after is None else part * after,
            sampler=sampler,
            backend=backend,
            scenario=scenario,
            number=number,
            **fields,
        )
        for (sampler, backend), (first, after) in (costs or DRAWS).items()
        for scenario in scenarios
        for number, part in enumerate(noise)
    ]
