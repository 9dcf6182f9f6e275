"""``firstgrad doctor``: whether this machine is fit to measure."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_FREE_BYTES = 2 * 1024**3


class Health(StrEnum):
    """How a finding is to be taken."""

    GOOD = "good"
    DOUBT = "doubt"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at.

    Attributes
    ----------
    what : str
        Its name.
    health : Health
        Whether it is in the way of measuring.
    found : str
        What is there.
    advice : str
        What to do, where something is to be done.
    """

    what: str
    health: Health
    found: str
    advice: str = ""


def doctor(json: Annotated[bool, typer.Option("--json", help="Diagnosiss as JSON.")] = False) -> None:
    """Look at this machine: versions, backends, compiler, load, frequency scaling, bytecode, room on disk.

    Exit codes: 0 fit, perhaps with doubts; 3 something is missing without which nothing can be measured.
    """
    from firstgrad.cli.exit_codes import ExitCode

    findings = list(examine())
    if json:
        from firstgrad.codec import to_json

        typer.echo(to_json(findings))
    else:
        from rich.text import Text

        from firstgrad.cli.console import make_console

        console = make_console()
        styles = {Health.GOOD: "green", Health.DOUBT: "yellow", Health.BAD: "bold red"}
        for each in findings:
            console.print(
                Text.assemble((f"{each.health:<6}", styles[each.health]), f"{each.what:<14}", each.found),
                soft_wrap=True,
            )
            if each.advice:
                console.print(f"{'':20}{each.advice}", soft_wrap=True)
    bad = any(each.health is Health.BAD for each in findings)
    raise typer.Exit(ExitCode.CASE_FAILED if bad else ExitCode.GOOD)


def examine() -> Iterator[Diagnosis]:
    """Look at everything, without importing what is measured.

    Yields
    ------
    Diagnosis
    """
    yield Diagnosis("python", Health.GOOD, f"{platform.python_version()} ({sys.executable})")
    yield from _packages()
    yield from _backends()
    yield _load()
    yield _frequency()
    yield _bytecode()
    yield _counter()
    yield _room()


def _packages() -> Iterator[Diagnosis]:
    from firstgrad.measure.environment import installed_version

    for name in ("pymc", "pytensor", "numpy"):
        found = installed_version(name)
        advice = "" if found else f"pip install {name}"
        yield Diagnosis(name, Health.GOOD if found else Health.BAD, found or "not installed", advice)


def _backends() -> Iterator[Diagnosis]:
    from firstgrad.backends import all_facts
    from firstgrad.measure.environment import backend_version

    compilers = [facts for facts in all_facts() if facts.is_real and facts.name is facts.compiler]
    versions = [backend_version(facts.name) for facts in compilers]
    for facts, version in zip(compilers, versions, strict=True):
        health = Health.GOOD if version else Health.DOUBT
        yield Diagnosis(f"backend {facts.name}", health, version or "not available", "" if version else facts.install)
    if not any(versions):
        yield Diagnosis("backends", Health.BAD, "none is available", "install one of the above")


def _load() -> Diagnosis:
    import psutil

    from firstgrad.doubts import LOAD_PER_CORE
    from firstgrad.measure.environment import host_fingerprint

    cores, load = host_fingerprint().cores, psutil.getloadavg()[0]
    memory = psutil.virtual_memory()
    found = f"{load:.2f} on {cores} cores; {memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    if load > LOAD_PER_CORE * cores:
        return Diagnosis("load", Health.DOUBT, found, "wait until the machine is idle, or compare CPU seconds")
    return Diagnosis("load", Health.GOOD, found)


def _frequency() -> Diagnosis:
    with suppress(OSError):
        governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").read_text().strip()
        if governor == "performance":
            return Diagnosis("frequency", Health.GOOD, "governor performance")
        return Diagnosis(
            "frequency", Health.DOUBT, f"governor {governor}", "sudo cpupower frequency-set -g performance"
        )
    return Diagnosis("frequency", Health.GOOD, "the system doesn't tell how it scales (virtual machine?)")


def _bytecode() -> Diagnosis:
    if os.environ.get("PYTHONDONTWRITEBYTECODE") and not _pymc_has_bytecode():
        return Diagnosis(
            "bytecode",
            Health.DOUBT,
            "PYTHONDONTWRITEBYTECODE is set and PyMC isn't compiled: each import takes many seconds",
            f"env -u PYTHONDONTWRITEBYTECODE {sys.executable} -m compileall -q {_site_packages()}",
        )
    return Diagnosis("bytecode", Health.GOOD, "compiled, or will be at the first import")


def _pymc_has_bytecode() -> bool:
    folder = _site_packages() / "pymc" / "__pycache__"
    return folder.is_dir() and any(folder.glob("*.pyc"))


def _site_packages() -> Path:
    import sysconfig

    return Path(sysconfig.get_paths()["purelib"])


def _counter() -> Diagnosis:
    from firstgrad.observe.instructions import InstructionCounter

    if InstructionCounter().read() is not None:
        return Diagnosis("instructions", Health.GOOD, "the processor's counter can be read")
    found = "no counter here (virtual machine, or /proc/sys/kernel/perf_event_paranoid above 2): records go without"
    return Diagnosis("instructions", Health.GOOD, found)


def _room() -> Diagnosis:
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free in {folder}, where private caches go"
    if free < MIN_FREE_BYTES:
        return Diagnosis("disk", Health.DOUBT, found, "make room, or set TMPDIR to a larger disk")
    return Diagnosis("disk", Health.GOOD, found)
