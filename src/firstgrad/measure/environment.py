"""Where and with what is measured, found without importing any of it."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from firstgrad.backends import all_facts, facts_of
from firstgrad.measure.private import user_flags
from firstgrad.record import Environment, HostFingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from firstgrad.case import BackendName

PACKAGES = tuple(
    sorted({"firstgrad", "numpy", "pymc", "pytensor", "scipy"}.union(*(facts.distributions for facts in all_facts())))
)
"""Packages whose versions a record keeps."""


def describe_environment(
    *, threads: int = 1, label: str = "", inherited: Mapping[str, str] | None = None
) -> Environment:
    """Describe this machine and this process's packages; another Python's: `Interpreter.describe`.

    What only the worker can see (`device`, `bytecode`) is left out. `inherited` are the environment variables, the
    process's own where left out.
    """
    return Environment(
        python=platform.python_version(),
        versions=tuple((name, number) for name in PACKAGES if (number := installed_version(name))),
        flags=",".join(user_flags(os.environ if inherited is None else inherited)),
        compiler=compiler_version(),
        threads=threads,
        host=host_fingerprint(),
        load_before=round(psutil.getloadavg()[0], 2),
        git_commit=git_commit(Path.cwd()),
        label=label,
    )


def installed_version(package: str) -> str:
    """Version of an installed package, '' where it isn't there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def has_bytecode(package: str) -> bool:
    """Whether a package's compiled bytecode is there, found without importing it."""
    spec = find_spec(package)
    return spec is not None and spec.cached is not None and Path(spec.cached).exists()


def is_expected_device(device: str, backend: BackendName, inherited: Mapping[str, str] | None = None) -> bool:
    """Whether a backend that is started here would run on a device of this platform, as far as variables tell."""
    facts = facts_of(backend)
    if not facts.platform_variable:
        return device in ("", "cpu")
    variables = {**facts.default_variables, **(os.environ if inherited is None else inherited)}
    wanted = variables[facts.platform_variable].partition(",")[0].strip()
    platform = device.partition(",")[0] or "cpu"
    return wanted in ("", platform) or (wanted == "gpu" and platform in ("cuda", "rocm"))


def measured_here(*, threads: int = 1) -> Callable[[BackendName, str, str], bool]:
    """Make the test whether a stored sample's conditions are those of here and now.

    It takes the sample's backend, device and digest of conditions. Which kind of device it will be isn't known before
    a worker has looked: of the platform that is asked for, any will do.
    """
    environment, pymc_has_bytecode = describe_environment(threads=threads), has_bytecode("pymc")

    @functools.cache
    def is_here(backend: BackendName, device: str, conditions: str) -> bool:
        bytecode = pymc_has_bytecode if facts_of(backend).is_real else None
        now = replace(environment, device=device, bytecode=bytecode).conditions
        return now == conditions and is_expected_device(device, backend)

    return is_here


def backend_version(name: BackendName) -> str:
    """Version of what a backend compiles with, '' where it isn't there."""
    facts = facts_of(name)
    return installed_version(facts.package) if facts.package else compiler_version() if facts.programs else ""


@functools.cache
def compiler_version() -> str:
    """First line of ``g++ --version``, '' where there is no g++."""
    compiler = shutil.which("g++")
    return _first_line([compiler, "--version"]) if compiler else ""


@functools.cache
def git_commit(folder: Path) -> str:
    """Commit of the repository that holds a folder, '' outside of one."""
    git = shutil.which("git")
    return _first_line([git, "-C", str(folder), "rev-parse", "HEAD"]) if git else ""


@functools.cache
def host_fingerprint() -> HostFingerprint:
    """Describe what must be equal before two timings may be compared."""
    return HostFingerprint(
        processor=_processor_name(),
        cores=_usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        operating_system=f"{platform.system()} {platform.release()}",
        container_limits=_container_limits(),
    )


def _usable_cores() -> int:
    # Python 3.13 has os.process_cpu_count; 3.12 hasn't.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _container_limits() -> str:
    limits = []
    for name in ("cpu.max", "memory.max"):  # cgroup v2
        with suppress(OSError):
            value = Path("/sys/fs/cgroup", name).read_text().strip()
            if not value.startswith("max"):
                limits.append(f"{name}={value}")
    return " ".join(limits)


def _first_line(command: list[str]) -> str:
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        if done.returncode == 0:
            return done.stdout.strip().partition("\n")[0]
    return ""
