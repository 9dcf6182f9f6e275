"""A sweep with known answers: records whose times follow laws that tests planted."""

from __future__ import annotations

import itertools
import random

from builders import MIB, make_environment, make_record, memory, phase
from firstgrad.case import BackendName, Case, Scenario
from firstgrad.pose.spec import Formulation, HmmSpec, PoseSpec
from firstgrad.record import Counts

STEPS = (10, 30, 100, 300, 1000)
BONES = (1, 2, 5, 10, 20)
HMM_FACTOR = 2.0
FIXED_SECONDS, EXPONENT_K = 3.0, 1.5


def planted_seconds(spec, scenario):
    """No growth in T; in K a fixed cost and a power; an HMM costs twice as much; warm a tenth."""
    seconds = FIXED_SECONDS + 0.2 * spec.n_directions**EXPONENT_K
    seconds *= HMM_FACTOR if spec.hmm else 1.0
    seconds *= 0.5 if spec.formulation is Formulation.VECTORISED else 1.0
    return seconds * (0.1 if scenario is Scenario.WARM else 1.0)


def planted_records(samples=3, *, spread=0.05, seed=7, label="planted", backends=(BackendName.JAX,)):
    """A sweep one size at a time around T=100 and K=5, HMM off and on, cold and warm."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    sizes = [(steps, 5) for steps in STEPS] + [(100, bones) for bones in BONES if bones != 5]
    records = []
    for (steps, bones), hmm, scenario, backend, number in itertools.product(
        sizes, (None, HmmSpec(n_states=2)), (Scenario.COLD, Scenario.WARM), backends, range(samples)
    ):
        spec = PoseSpec(n_timesteps=steps, n_directions=bones, hmm=hmm)
        records.append(
            planted_record(spec, scenario, chance, backend=backend, number=number, spread=spread, label=label)
        )
    return records


def planted_record(spec, scenario, chance, *, backend=BackendName.JAX, number=0, spread=0.05, **environment):
    """One sample with noise."""
    seconds = planted_seconds(spec, scenario) * chance.lognormvariate(0, spread)
    states = spec.hmm.n_states if spec.hmm else 0
    name = f"{spec.n_timesteps}-{spec.n_directions}-{states}-{spec.formulation}-{scenario}-{backend}-{number}"
    return make_record(
        record_id=name,
        case=Case(model=spec, backend=backend, scenario=scenario),
        environment=make_environment(**environment),
        phases=(phase("link", seconds / 2),),
        time_to_first_gradient_seconds=seconds,
        time_to_first_gradient_cpu_seconds=seconds * 0.9,
        evaluation_seconds=(1e-5 * spec.n_timesteps,) * 3,
        memory=memory(400, retained_bytes=20 * MIB, timeline=[(0.0, 100), (0.5 * seconds, 400), (seconds, 120)]),
        counts=Counts(groups=5, values=9, nodes_after=100 + 50 * spec.n_directions, compiled_units=7),
    )
