"""Where and with what is measured, found without importing any of it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from configparser import Error as ConfigParserError
from configparser import RawConfigParser
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from firstgrad.backends import facts_of
from firstgrad.errors import PythonEnvironmentError, SpecError
from firstgrad.measuring.private import OWN_FLAGS, search_path, user_flags
from firstgrad.record import Clone, Environment, HostFingerprint
from firstgrad.sources import MEASURED, SAMPLERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from firstgrad.case import BackendName, Case

PACKAGES = tuple(sorted(MEASURED | SAMPLERS))
"""Packages whose versions a record keeps."""
_OWN = "firstgrad"
_LONGEST_SECONDS = 120
_BESIDES = ("__pycache__/*", ".*", "#*", "*~")
"""What Python and editors put beside sources."""
_ASK = """
import json, os, platform, sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
def look(name):
    spec = find_spec(name)
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        installed = None
    version = installed.version if installed else ""
    if spec is None:
        return {"version": version, "folder": "", "is_clone": False}
    place = next(iter(spec.submodule_search_locations or [spec.origin or ""]))
    folder = os.path.realpath(place) if place else ""
    # Some systems' packages have no list of their files; what is made from sources has none beside them.
    is_installed = installed is not None and (
        not {"site-packages", "dist-packages"}.isdisjoint(place.split(os.sep))
        or (installed.read_text("RECORD") is not None and os.path.realpath(installed.locate_file(name)) == folder)
    )
    return {"version": version if is_installed else "", "folder": folder, "is_clone": not is_installed}
asked = json.loads(sys.argv[1])
is_old = sys.version_info[:2] < tuple(asked["oldest"])
print(json.dumps({
    "version": platform.python_version(),
    "is_old": is_old,
    "packages": {name: look(name) for name in asked["packages"]},
    "missing": [name for name in asked["needs"] if find_spec(name) is None],
}))
sys.stdout.flush()
# Another version of Python than the one that installed firstgrad has no bytecode of it yet.
if not is_old:
    import compileall
    for folder in filter(None, asked["compiled"]):
        compileall.compile_dir(folder, quiet=2)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package as a worker finds it."""

    name: str
    version: str  # that is installed; '' of a clone, which says its own when it is imported
    folder: str  # or its file, where it is but one; '' where it can't be imported
    is_clone: bool  # as `firstgrad.record.Clone`


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonFacts:
    """What a Python says of itself."""

    version: str
    is_old: bool  # too old for a worker
    packages: tuple[Package, ...]  # those of `PACKAGES` that are there
    missing: tuple[str, ...]  # of what a worker needs


def ask_python(
    python: Path,
    *,
    folder: Path | None = None,
    needs: Sequence[str] = (),
    source: str = "",
    oldest: Sequence[int] = (),
    front: Path | None = None,
) -> PythonFacts:
    """Ask a Python what a worker would find there, in a folder or here; nothing that is measured is imported.

    Parameters
    ----------
    needs, oldest
        Packages that a worker needs, and the least version of Python.
    source : str
        A package that it is to compile to bytecode; '' for none.
    front : Path, optional
        A folder whose packages stand in front of those that are installed; they are compiled to bytecode, too.

    Raises
    ------
    OSError, subprocess.SubprocessError, ValueError
        Where it doesn't run, or says something else.
    """
    compiled = (source, str(front or ""))
    asked = {"packages": PACKAGES, "needs": needs, "oldest": oldest, "compiled": compiled}
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    path = search_path(variables)
    if front is not None:
        path = {"PYTHONPATH": os.pathsep.join(filter(None, (str(front), path.get("PYTHONPATH"))))}
    done = subprocess.run(
        [str(python), "-c", _ASK, json.dumps(asked)],
        capture_output=True,
        errors="replace",
        timeout=_LONGEST_SECONDS,
        check=True,
        cwd=folder,
        # A variable, since a Python that is too old doesn't know the option and is to say so itself.
        env=variables | path | {"PYTHONSAFEPATH": "1", "PYTHONIOENCODING": "utf-8"},
    )
    facts = json.loads(done.stdout)
    packages = (Package(name=name, **seen) for name, seen in facts.pop("packages").items())
    there = tuple(package for package in packages if package.version or package.is_clone)
    return PythonFacts(**facts | {"packages": there, "missing": tuple(facts["missing"])})


def packages_here() -> tuple[Package, ...]:
    """List the packages that a worker of this process's Python would import: this process's path may be another."""
    path, installed = search_path(os.environ).get("PYTHONPATH", ""), sysconfig.get_path("purelib")
    changed = Path(installed).stat().st_mtime_ns if Path(installed).is_dir() else 0
    return with_own(_packages_here(path, str(Path.cwd()), changed, tuple(map(installed_version, PACKAGES))))


def with_sampler(packages: Iterable[Package], sampler: str = "") -> tuple[Package, ...]:
    """Leave samplers out but for the one that draws: another one's version says nothing of a sample."""
    return tuple(package for package in packages if package.name not in SAMPLERS - {sampler})


def with_own(packages: Iterable[Package]) -> tuple[Package, ...]:
    """Put this process's firstgrad among packages: it is what measures, whatever else is installed there."""
    own = Package(name=_OWN, version=installed_version(_OWN), folder=str(source_folder()), is_clone=False)
    others = (package for package in packages if package.name != _OWN)
    return tuple(sorted((own, *others), key=lambda package: package.name))


def source_folder() -> Path:
    """Find the folder of this process's firstgrad package."""
    return Path(__file__).resolve().parents[1]


@functools.lru_cache(maxsize=16)
def _packages_here(_path: str, _folder: str, _changed: int, _versions: tuple[str, ...]) -> tuple[Package, ...]:
    """Ask again only where something has changed."""
    try:
        return ask_python(Path(sys.executable)).packages
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise PythonEnvironmentError(
            f"{sys.executable} can't say which packages it has ({error}). Does it run: {sys.executable} -c 0"
        ) from error


def find_clones(packages: Iterable[Package]) -> tuple[Clone, ...]:
    """Look in which state the sources of packages are, of those that are imported from sources."""
    return tuple(look_at_clone(package.name, Path(package.folder)) for package in packages if package.is_clone)


def look_at_clone(name: str, folder: Path) -> Clone:
    """Look in which state a package's sources are, by git; by its files where git doesn't know them as they are."""
    root = folder if folder.is_dir() else folder.parent
    is_known = bool(_git(root, "ls-files", "--", str(folder)))
    commit = (_git(root, "rev-parse", "HEAD") or "").strip() if is_known else ""
    besides = [f":(exclude,glob)**/{pattern}" for pattern in _BESIDES]
    status = _git(root, "status", "--porcelain", "--untracked-files=all", "--", str(folder), *besides)
    changes = "" if commit and status == "" else _digest(folder)
    return Clone(name=name, folder=str(folder), git_commit=commit, changes=changes)


def _digest(folder: Path) -> str:
    """Digest of a package's files."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
        if path.is_file() and not any(path.match(pattern) for pattern in _BESIDES):
            content = b"can't be read"
            with suppress(OSError):
                content = path.read_bytes()
            digest.update(f"{path.relative_to(folder.parent)} {len(content)}\n".encode(errors="replace") + content)
    return digest.hexdigest()[:16]


def _git(folder: Path, *words: str) -> str | None:
    """Return what git says; None where there is none, or it refuses."""
    git = shutil.which("git") or "git"
    return _said([git, "--no-optional-locks", "-C", str(folder), *words], seconds=_LONGEST_SECONDS)


def describe_environment(
    *,
    threads: int = 1,
    label: str = "",
    inherited: Mapping[str, str] | None = None,
    packages: Sequence[Package] | None = None,
) -> Environment:
    """Describe this machine and the packages that a worker would import; another Python's: `Interpreter.describe`.

    What only the worker can see (`device`, `bytecode`) is left out. `inherited` are the environment variables, the
    process's own where left out; `packages` those of `packages_here`, without samplers where left out.
    """
    packages = with_sampler(packages_here()) if packages is None else packages
    return Environment(
        python=platform.python_version(),
        versions=tuple((package.name, package.version) for package in packages),
        clones=find_clones(packages),
        flags=_recorded_flags(os.environ if inherited is None else inherited),
        compiler=compiler_version(),
        threads=threads,
        host=host_fingerprint(),
        load_before=round(psutil.getloadavg()[0], 2),
        git_commit=git_commit(Path.cwd()),
        label=label,
    )


_FLAGS_THAT_MATTER = re.compile(
    r"'?(?:floatX|cast_policy|mode|linker|allow_gc|cxx|device|cycle_detection|exception_verbosity|profile|optimizer|openmp"
    r"|(?:optimizer|optdb|gcc|cmodule|compile|compiler|blas|numba|scan|openmp|tensor|vm|lib|metaopt|conv|profile"
    r"|NanGuardMode|DebugMode|check|on|warn)_\w+)"
)
"""Names of PyTensor's flags by which samples differ: what is compiled, by what, and how it is run."""
_PLAIN_WORD = re.compile(r"-[OfmgWl][\w=.,+-]*'?|-std=[\w+]+'?|[\w./:;|&!+-]*'?")
"""A number, a name, a path, or a compiler's option such as ``-march=native``."""


def _recorded_flags(inherited: Mapping[str, str]) -> str:
    """Write the user's PyTensor flags as a record keeps them: those that matter to a measurement, as they are.

    Of any other, and of what is no plain word in one (a macro, a token that came there by mistake), only a digest: it
    tells samples apart. What PyTensor reads from the user's files of settings stands before those of the variable,
    which it puts above them.
    """
    given = user_flags(inherited)
    names = {flag.strip("'").partition("=")[0].strip() for flag in given}
    filed = (f"{name}={value}" for name, value in _filed_settings(inherited).items() if name not in names)
    return ",".join(map(_recorded_flag, (*filed, *given)))


def _filed_settings(inherited: Mapping[str, str]) -> dict[str, str]:
    """Read PyTensor's files of settings, ``~/.pytensorrc`` or those of ``PYTENSORRC``, as flags."""
    reader = RawConfigParser()
    reader.optionxform = str  # type: ignore[method-assign,assignment]  # as configparser's documentation has it
    home = inherited.get("HOME", "~")
    files = inherited.get("PYTENSORRC", "~/.pytensorrc").split(os.pathsep)
    try:
        reader.read([f"{home}{file[1:]}" if file.startswith("~/") else file for file in files])
    except (ConfigParserError, UnicodeDecodeError) as error:  # PyTensor can't read it either: its import fails
        return {"PYTENSORRC": type(error).__name__}
    return {
        name if section == "global" else f"{section}__{name}": value.replace("\n", " ")
        for section in reader.sections()
        for name, value in reader.items(section)
        if name not in OWN_FLAGS
    }


def _recorded_flag(flag: str) -> str:
    name, _, value = flag.partition("=")
    if not _FLAGS_THAT_MATTER.fullmatch(name):
        return _short_digest(flag)
    return (
        f"{name}={' '.join(word if _PLAIN_WORD.fullmatch(word) else _short_digest(word) for word in value.split(' '))}"
    )


def _short_digest(text: str) -> str:
    return f"#{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def is_same_version(one: str, other: str) -> bool:
    """Whether two texts name one version, as far as they name any; the local build may stand in one alone."""
    from packaging.version import InvalidVersion, Version

    try:
        known = {Version(text).public for text in (one, other)}
    except InvalidVersion:
        return True
    return len(known) == 1 or "0" in known  # which is what tools write that don't know


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


_LIST_DEVICES = """
import json, sys
import jax
there = {}
for platform in dict.fromkeys(("cpu", "cuda", "rocm", "tpu", *sys.argv[1:])):
    try:
        there[platform] = jax.local_devices(backend=platform)[0].device_kind
    except Exception:
        pass
print(json.dumps(there))
"""


def check_devices(cases: Iterable[Case], python: Path | None = None, *, field: str = "--device") -> None:
    """Raise SpecError, naming `field` and what is there, where a case asks for a device that JAX hasn't.

    JAX itself is asked, by a process of its own: that takes about a second, and leaves the device free. Nobody asks for
    ``cpu``, and where no device is named.
    """
    for device in dict.fromkeys(case.device for case in cases):
        if device in ("", "cpu") or device in (there := _list_devices(str(python or sys.executable), device)):
            continue
        known = ", ".join(platform if platform == kind else f"{platform} ({kind})" for platform, kind in there.items())
        raise SpecError(
            field,
            f"JAX has no {device!r} here. There is {known}. A GPU needs its driver, and JAX's package for it: "
            'pip install "jax[cuda12]" (or jax[cuda13], jax[rocm])',
        )


@functools.cache
def _list_devices(python: str, asked: str) -> dict[str, str]:
    """List the platforms that JAX has there, each with the kind of its first device."""
    variables = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
    try:
        done = subprocess.run(
            [python, "-P", "-c", _LIST_DEVICES, asked],
            capture_output=True,
            errors="replace",
            timeout=_LONGEST_SECONDS,
            check=True,
            env=variables | search_path(variables) | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        )
        there: dict[str, str] = json.loads(done.stdout.strip().rpartition("\n")[2])
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        said = str(getattr(error, "stderr", "")).strip().rpartition("\n")[2]
        raise SpecError("--device", f"JAX can't say which devices it has ({said or error})") from None
    return there


def is_expected_device(
    device: str, backend: BackendName, asked: str = "", inherited: Mapping[str, str] | None = None
) -> bool:
    """Whether a backend that is started here would run on a device of this platform, as far as variables tell.

    `asked` is the platform that its case names; '' where it names none.
    """
    facts = facts_of(backend)
    if not facts.platform_variable:
        return device in ("", "cpu")
    variables = {**facts.default_variables, **(os.environ if inherited is None else inherited)}
    wanted = asked or variables[facts.platform_variable].partition(",")[0].strip()
    platform = device.partition(",")[0] or "cpu"
    return wanted in ("", platform) or (wanted == "gpu" and platform in ("cuda", "rocm"))


def measured_here(*, threads: int = 1) -> Callable[[BackendName, str, str, str], bool]:
    """Make the test whether a stored sample's conditions are those of here and now.

    It takes the sample's backend, device, digest of conditions, and the platform that was asked for. Which kind of
    device it will be isn't known before a worker has looked: of the platform that is asked for, any will do.
    """
    whole, pymc_has_bytecode = describe_environment(threads=threads, packages=packages_here()), has_bytecode("pymc")
    others = [SAMPLERS - {sampler} for sampler in ("", *SAMPLERS)]
    environments = [
        replace(
            whole,
            versions=tuple(one for one in whole.versions if one[0] not in left_out),
            clones=tuple(clone for clone in whole.clones if clone.name not in left_out),
        )
        for left_out in others
    ]

    @functools.cache
    def is_here(backend: BackendName, device: str, conditions: str, asked: str = "") -> bool:
        bytecode = pymc_has_bytecode if facts_of(backend).is_real else None
        now = {replace(environment, device=device, bytecode=bytecode).conditions for environment in environments}
        return conditions in now and is_expected_device(device, backend, asked)

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
    return (_said(command, seconds=10) or "").strip().partition("\n")[0]


def _said(command: list[str], *, seconds: float) -> str | None:
    """Return what a program prints; None where there is none, it fails, or it takes longer."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, errors="replace", timeout=seconds, check=False)
        return done.stdout if done.returncode == 0 else None
    return None
