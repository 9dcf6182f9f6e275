"""``firstgrad doctor``: whether this machine is fit to measure."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.cli.console import ExitCode, OutputOptions, finish
from firstgrad.cli.options import spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from firstgrad.show.result import Inline, Result

MIN_FREE_BYTES = 2 * 1024**3


class Health(StrEnum):
    """How a finding is to be taken."""

    GOOD = "good"
    DOUBT = "doubt"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at."""

    what: str
    health: Health
    found: str
    advice: str = ""  # what to do, where something is to be done


@spread
def doctor(output: OutputOptions) -> None:
    """Look at this machine: versions, backends, compiler, load, frequency scaling, bytecode, room on disk.

    Exit codes: 0 fit, perhaps with doubts; 3 something is missing without which nothing can be measured;
    4 broke off.
    """
    output.refuse_both()
    finish(make_result(list(examine())), output)


def make_result(diagnoses: list[Diagnosis]) -> Result:
    """Make what is shown: a line each, and below it what to do."""
    from firstgrad.show.result import Items, Result, Span, Style

    styles = {Health.GOOD: Style.GOOD, Health.DOUBT: Style.DOUBT, Health.BAD: Style.BAD}
    lines: list[Inline] = []
    for one in diagnoses:
        lines.append((Span(f"{one.health:<6}", styles[one.health]), f"{one.what:<14}{one.found}"))
        if one.advice:
            lines.append(f"{'':20}{one.advice}")
    bad = any(one.health is Health.BAD for one in diagnoses)
    code = ExitCode.CASE_FAILED if bad else ExitCode.GOOD
    return Result(parts=(Items(lines),), document=diagnoses, exit_code=code)


def examine() -> Iterator[Diagnosis]:
    """Look at everything, without importing what is measured."""
    yield from _installed()
    yield from _machine()


def _diagnose(what: str, found: str, advice: str, *, is_good: bool, worse: Health = Health.DOUBT) -> Diagnosis:
    return Diagnosis(what, Health.GOOD, found) if is_good else Diagnosis(what, worse, found, advice)


def _installed() -> Iterator[Diagnosis]:
    from firstgrad.backends import all_facts
    from firstgrad.measuring.environment import backend_version, find_clones, packages_here

    yield Diagnosis("python", Health.GOOD, f"{platform.python_version()} ({sys.executable})")
    packages = packages_here()
    there = {package.name: package.version for package in packages}
    there |= {clone.name: f"{clone.folder}: {clone.state}" for clone in find_clones(packages)}
    for name in ("pymc", "pytensor", "numpy"):
        found = there.get(name, "")
        yield _diagnose(name, found or "not installed", f"pip install {name}", is_good=bool(found), worse=Health.BAD)
    compilers = [facts for facts in all_facts() if facts.is_real and facts.name is facts.compiler]
    versions = [backend_version(facts.name) for facts in compilers]
    for facts, version in zip(compilers, versions, strict=True):
        yield _diagnose(f"backend {facts.name}", version or "not available", facts.install, is_good=bool(version))
    if not any(versions):
        yield Diagnosis("backends", Health.BAD, "none is available", "install one of the above")


def _machine() -> Iterator[Diagnosis]:
    import sysconfig

    import psutil

    from firstgrad.doubts import LOAD_PER_CORE
    from firstgrad.measuring.environment import has_bytecode, host_fingerprint
    from firstgrad.observe.instructions import InstructionCounter

    cores, load, memory = host_fingerprint().cores, psutil.getloadavg()[0], psutil.virtual_memory()
    found = f"{load:.2f} on {cores} cores; {memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    advice = "wait until the machine is idle, or compare CPU seconds"
    yield _diagnose("load", found, advice, is_good=load <= LOAD_PER_CORE * cores)
    try:
        governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
    except OSError:
        yield Diagnosis("frequency", Health.GOOD, "the system does not report its scaling (a virtual machine?)")
    else:
        advice = "sudo cpupower frequency-set -g performance"
        yield _diagnose("frequency", f"governor {governor}", advice, is_good=governor == "performance")
    is_compiled = not os.environ.get("PYTHONDONTWRITEBYTECODE") or has_bytecode("pymc")
    found = "PYTHONDONTWRITEBYTECODE is set and PyMC isn't compiled: each import takes many seconds"
    found = "compiled, or will be at the first import" if is_compiled else found
    compiling = f"{sys.executable} -m compileall -q {sysconfig.get_paths()['purelib']}"
    yield _diagnose("bytecode", found, f"env -u PYTHONDONTWRITEBYTECODE {compiling}", is_good=is_compiled)
    found = "no counter here (virtual machine, or /proc/sys/kernel/perf_event_paranoid above 2): records go without"
    if InstructionCounter().read() is not None:
        found = "the processor's counter can be read"
    yield Diagnosis("instructions", Health.GOOD, found)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free in {folder}, where private caches go"
    yield _diagnose("disk", found, "make room, or set TMPDIR to a larger disk", is_good=free >= MIN_FREE_BYTES)
