"""Builders of what tests are about: environments, cases, phases, memory, records, stores, runs of the command line.

Every field that a test doesn't care about has a plain value; fields that it does care about are given by name.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from firstgrad.case import BackendName, Case, Scenario
from firstgrad.measuring.events import Task
from firstgrad.model import Model
from firstgrad.phase import Phase
from firstgrad.pose.spec import HmmAlgorithm, HmmSpec, PoseSpec
from firstgrad.record import Counts, Environment, HostFingerprint, Memory, MemoryPoint, PhaseRecord, Record, Status
from firstgrad.store import Store

MIB = 2**20
FIRSTGRAD = Path(sys.executable).with_name("firstgrad")


def make_environment(**fields) -> Environment:
    """An environment of a quiet machine."""
    host = HostFingerprint(processor="a processor", cores=4, memory_bytes=2**33, operating_system="Linux")
    known = {
        "python": "3.13.0",
        "versions": (),
        "flags": "",
        "compiler": "",
        "threads": 1,
        "host": host,
        "load_before": 0.0,
    }
    return Environment(**known | fields)


def make_case(reference: str = "some/file.py:build", **fields) -> Case:
    """A case of a user's model on the fake backend."""
    known = {"model": Model(reference=reference), "backend": BackendName.FAKE, "evaluations": 3}
    return Case(**known | fields)


def make_record(**fields) -> Record:
    """A record of a case that ended well."""
    known = {
        "record_id": "r1",
        "started_at": "2025-01-01T00:00:00.000+00:00",
        "case": make_case(),
        "status": Status.OK,
        "environment": make_environment(),
    }
    return Record(**known | fields)


def make_task(**fields) -> Task:
    """A task for a worker that is never started."""
    known = {
        "case": make_case(),
        "record_id": "r1",
        "started_at": "2025-01-01T00:00:00.000+00:00",
        "environment": make_environment(),
        "cache_folder": "/nowhere",
    }
    return Task(**known | fields)


def pose(timesteps=100, directions=5, states=0, algorithm=HmmAlgorithm.SCAN, **fields) -> PoseSpec:
    """A pose model; with `states` there is an HMM."""
    hmm = HmmSpec(n_states=states, algorithm=algorithm) if states else None
    return PoseSpec(n_timesteps=timesteps, n_directions=directions, hmm=hmm, **fields)


def phase(name, wall=1.0, *, began=0.0, cpu=None, peak_mib=None, **fields) -> PhaseRecord:
    """One phase; it kept the processor busy all the time unless `cpu` says otherwise."""
    if peak_mib is not None:
        fields["peak_rss_bytes"] = round(peak_mib * MIB)
    return PhaseRecord(
        phase=Phase(name), began_seconds=began, wall_seconds=wall, cpu_seconds=wall if cpu is None else cpu, **fields
    )


def phases(seconds, *, began=0.0) -> tuple[PhaseRecord, ...]:
    """Phases one after the other, of ``{phase: seconds}``."""
    made = []
    for name, wall in seconds.items():
        made.append(phase(name, wall, began=began))
        began += wall
    return tuple(made)


def memory(peak_mib=100, *, timeline=(), **fields) -> Memory:
    """Memory that was used; `timeline` has pairs of seconds and MiB, or those and the MiB of children."""
    points = tuple(
        MemoryPoint(at_seconds=at, rss_bytes=round(mib * MIB), children_rss_bytes=round(sum(children) * MIB))
        for at, mib, *children in timeline
    )
    return Memory(peak_rss_bytes=round(peak_mib * MIB), timeline=points, **fields)


def sample(seconds, *, number=0, case=None, backend="jax", scenario=Scenario.COLD, reference="", fields=None, **where):
    """A good sample that took so long: 1 ms an evaluation and 100 MiB for each second; `where` is its environment."""
    known = {
        "record_id": f"{number}",
        "case": case or make_case(*filter(None, [reference]), backend=BackendName(backend), scenario=scenario),
        "environment": make_environment(**where),
        "started_at": f"2025-01-{number % 28 + 1:02}T00:00:00.000+00:00",
        "phases": (phase(Phase.LINK, seconds),),
        "time_to_first_gradient_seconds": seconds,
        "evaluation_seconds": (seconds / 1000,) * 3,
        "memory": memory(100 * seconds),
        "counts": Counts(groups=1, values=1, nodes_before=12345, nodes_after=678),
    }
    return make_record(**known | (fields or {}))


def store_of(records, path=None) -> Path:
    """A store with these records: where it is. Without a path the default one of this folder."""
    with Store.open(path) if path else Store.open() as store:
        for record in records:
            store.add(record)
    return path


class Ended(NamedTuple):
    """How a run of the command line ended."""

    code: int
    out: str
    err: str


def firstgrad(*words) -> Ended:
    """Run the command line within this process."""
    from firstgrad.cli import main

    out, err, code = io.StringIO(), io.StringIO(), 0
    argv = ["firstgrad", *map(str, words)]
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code or 0
    return Ended(code, out.getvalue(), err.getvalue())


def run_firstgrad(*words, cwd, seconds=120, **how) -> subprocess.CompletedProcess[str]:
    """Run the command line as a program of its own, as a user does; no longer than so many seconds."""
    command = [FIRSTGRAD, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=seconds, **how)


def git(folder, *words) -> str:
    """Run git in a folder, as somebody with a name."""
    who = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()
