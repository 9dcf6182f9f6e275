"""Records with known numbers for tests of pages: commits, releases, failures, doubts, hostile names."""

from __future__ import annotations

from dataclasses import replace

from firstgrad.case import BackendName, Scenario
from firstgrad.record import Counts, Doubt, Failure, Memory, Phase, PhaseRecord, Status
from helpers import MIB, make_case, make_environment, make_record

COMMITS = tuple(letter * 40 for letter in "abc")
RELEASES = ("5.28.5", "6.0.0", "6.4.0")
HOSTILE = """<script>alert('x')</script><img src="https://example.org/x.png">&amp;"'>$\\frac{</svg>"""
"""What a careless page would run, load or break on."""


def sample(seconds, *, number, backend="jax", scenario=Scenario.COLD, reference="some/file.py:build", **environment):
    """One good sample."""
    return make_record(
        record_id=f"{number}",
        case=make_case(reference, backend=BackendName(backend), scenario=scenario),
        environment=make_environment(**environment),
        started_at=f"2025-01-{number % 28 + 1:02}T00:00:00.000+00:00",
        phases=(PhaseRecord(phase=Phase.LINK, began_seconds=0.0, wall_seconds=seconds, cpu_seconds=seconds),),
        time_to_first_gradient_seconds=seconds,
        evaluation_seconds=(seconds / 1000,) * 3,
        memory=Memory(peak_rss_bytes=round(100 * seconds) * MIB),
        counts=Counts(groups=1, values=1, nodes_before=12345, nodes_after=678),
    )


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
