"""Records with known numbers for tests of pages: commits, releases, failures, doubts, hostile names."""

from __future__ import annotations

from dataclasses import replace

from builders import MIB, memory, phases, sample
from firstgrad.case import Scenario
from firstgrad.model import Model
from firstgrad.phase import Phase
from firstgrad.pose.spec import Formulation, PosePriors, PoseSpec, Skeleton
from firstgrad.record import Check, Doubt, Failure, Status, Verdict

COMMITS = tuple(letter * 40 for letter in "abc")
RELEASES = ("5.28.5", "6.0.0", "6.4.0")
TINY_POSE = PoseSpec(
    n_timesteps=3,
    n_directions=3,
    n_cameras=2,
    missed_fraction=0.2,
    formulation=Formulation.VECTORISED,
    skeleton=Skeleton.BINARY,
    priors=PosePriors(
        eta2_root_sigma=0.7,
        rho_sigma=1.3,
        sigma2_sigma=0.4,
        root_first_sigma=11.0,
        obs_sigma_mode=1.7,
        obs_sigma_sd=0.6,
        logodds_sigma=3.0,
        kappa_sigma=2.0,
        logits_sigma=1.9,
    ),
)
"""A small pose model with no prior of which another one's number would do."""
HOSTILE = """<script>alert('x')</script><img src="https://example.org/x.png">&amp;"'>$\\frac{</svg>"""
"""What a careless page would run, load or break on."""


def broken(record, message="g++ ended with 1", tail=("the last line",)):
    """The same sample as if it had failed."""
    failure = Failure(kind="CompileError", message=message, phase=Phase.LINK, stderr_tail=tail)
    return replace(record, status=Status.FAILED, failure=failure, time_to_first_gradient_seconds=None)


def along_commits():
    """Three samples of two cases at three commits; one case fails at the second commit."""
    found = []
    for place, commit in enumerate(COMMITS):
        for scenario in (Scenario.COLD, Scenario.WARM):
            for number in range(3):
                record = sample(
                    3.0 + place + number / 4, number=len(found), scenario=scenario, git_commit=commit, label="planted"
                )
                if place == 1 and scenario is Scenario.WARM:
                    record = broken(record)
                found.append(replace(record, doubts=(Doubt.HIGH_LOAD,) if place == 2 else ()))
    return found


def along_releases():
    """Two samples of each backend and scenario at three releases."""
    found = []
    for place, release in enumerate(RELEASES):
        for backend in ("c", "jax", "numba"):
            for scenario in (Scenario.COLD, Scenario.WARM):
                for number in range(2):
                    versions = (("pymc", release), ("pytensor", f"2.{place}"))
                    seconds = 2.0 + place + number
                    found.append(
                        sample(seconds, number=len(found), backend=backend, scenario=scenario, versions=versions)
                    )
    return found


def hostile():
    """Names and messages that must stay text."""
    named = sample(2.0, number=1, reference=f"{HOSTILE}.py:build", git_commit=COMMITS[0], label=HOSTILE, flags=HOSTILE)
    return [named, broken(replace(named, record_id="2"), message=HOSTILE, tail=(HOSTILE,))]


def of_model(record, seconds=None, *, call_seconds=None, memory_bytes=None, **parameters):
    """The same sample as if it were of another model, and took other times and memory."""
    reference = record.case.model.reference
    given = tuple(sorted(parameters.items()))
    seconds = record.time_to_first_gradient_seconds if seconds is None else seconds
    memory_bytes = record.memory.peak_rss_bytes if memory_bytes is None else memory_bytes
    return replace(
        record,
        case=replace(record.case, model=Model(reference=reference, parameters=given)),
        time_to_first_gradient_seconds=seconds,
        evaluation_seconds=record.evaluation_seconds if call_seconds is None else (call_seconds,) * 3,
        memory=memory(
            memory_bytes / MIB, timeline=[(float(at), memory_bytes * (at + 1) // 5 / MIB) for at in range(5)]
        ),
    )


def stopped(record, seconds):
    """The same sample as if the time limit had stopped it while it was linked."""
    failure = Failure(kind="TimeLimit", message=f"took longer than {seconds:g} s", phase=Phase.LINK)
    return replace(
        record,
        case=replace(record.case, time_limit_seconds=seconds),
        status=Status.TIMEOUT,
        failure=failure,
        phases=phases({Phase.BUILD: 1.0, Phase.LOGP_GRAPH: 1.0}),
        memory=memory(1, timeline=[(seconds, 1)]),
        time_to_first_gradient_seconds=None,
        evaluation_seconds=(),
    )


def a_sweep():
    """Two samples of each of four sizes on C and JAX; two more sizes: one that a limit stopped, one that disagrees.

    JAX takes 10 s and 1 ms an evaluation, C 110 s and 0.1 ms, whatever the size: C is ahead from 111,111 evaluations
    on. Memory grows with the size: 100 MiB of it each. The two samples lie 1% below and above all that.
    """
    found = []
    for size in (1, 2, 4, 8):
        for backend, seconds, call_seconds in (("jax", 10.0, 1e-3), ("c", 110.0, 1e-4)):
            for noise in (0.99, 1.01):
                record = sample(noise * seconds, number=len(found), backend=backend, label="sweep")
                memory_bytes = round(noise * size * 100 * MIB)
                made = of_model(record, call_seconds=noise * call_seconds, memory_bytes=memory_bytes, size=size)
                found.append(replace(made, check=Check(verdict=Verdict.AGREES)))
    record = of_model(sample(1.0, number=len(found), label="sweep"), size=16)
    found.append(stopped(record, 600.0))
    record = of_model(sample(1.0, number=len(found), label="other"), size=32)
    return [*found, replace(record, status=Status.MISMATCH, check=Check(verdict=Verdict.DISAGREES))]


def many_cases(number, *, label="", reference="some/file.py:build"):
    """So many cases of a sample each; those with a higher number are newer."""
    found = []
    for place in range(number):
        backend, scenario = ("c", "jax", "numba")[place % 3], list(Scenario)[place // 3 % 3]
        record = sample(1.0 + place, number=place, backend=backend, scenario=scenario, label=label, reference=reference)
        began = f"2025-01-01T{place // 3600:02}:{place // 60 % 60:02}:{place % 60:02}.000+00:00"
        found.append(replace(of_model(record, size=place), started_at=began))
    return found
