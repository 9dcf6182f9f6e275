"""A suite: several models, what is asked of each, and named sizes of it; from the words of a command line or a file.

The file is ``firstgrad.toml``, or ``[tool.firstgrad]`` of ``pyproject.toml``. The tiers of the pose model are one, too.
"""

from __future__ import annotations

import difflib
import logging
import math
import os
import tomllib
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.case import MOST_SAMPLES, BackendName, Counting, GradientBackend, Sampler, Scenario, Target
from firstgrad.columns import METRICS
from firstgrad.errors import SpecError
from firstgrad.model import FREEZE, POSE, make_model
from firstgrad.pose.spec import PARAMETERS, Scalar
from firstgrad.sources import LIVE, check_reference, find_makers, parameters_of, split_reference
from firstgrad.sweep.grid import Axes, Grid, OmittedModel, make_grid, models_of
from firstgrad.units import MOST, format_count, parse_bytes, parse_seconds, require_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from enum import StrEnum

    from firstgrad.model import Model

_LOG = logging.getLogger(__name__)
SUITE_FILE = "firstgrad.toml"
POSE_TIERS = Path(__file__).parent / "pose" / "tiers.toml"
"""The suite of the pose model."""
SUITE_WORD = "suite"
"""Names the suite file of the folder that one is in."""
_PYPROJECT, _TOOL = "pyproject.toml", "tool.firstgrad"
_OF_OPTIONS = (
    *("measure", "lint", "check", "profile", "trace", "advise", "sample", "sweep", "scaling", "compare", "bisect"),
    *("report", "precompile", "cache", "show", "export", "import", "init", "doctor", "store", "quiet", "verbose"),
)
"""What else the file may have: defaults of the command line's options, which `firstgrad.cli.defaults` reads."""
_PATTERN = "*?["
NO_MODELS = ("_*", "test_*", "conftest.py", "setup.py")
"""Files of a folder, or of a pattern, that are nobody's models; named without a pattern they are asked like others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Models, and what is measured of each of them."""

    models: tuple[str, ...]
    """As on a command line: references, patterns such as ``models/*.py:build``, folders."""
    folder: Path | None = None
    """From which files are seen; none: from where one is."""
    name: str = ""
    parameters: Axes = field(default_factory=dict)
    """Axes of the models that have such a parameter."""
    own_parameters: Mapping[str, Axes] = field(default_factory=dict)
    """Axes of single models, by what their references are like, before those of all."""
    backends: tuple[BackendName, ...] = (BackendName.NUMBA,)
    targets: tuple[Target, ...] = (Target.DLOGP,)
    scenarios: tuple[Scenario, ...] = (Scenario.COLD,)
    samplers: tuple[Sampler, ...] = (Sampler.AUTO,)
    devices: tuple[str, ...] = ("",)
    """Of JAX's backends."""
    devices_from: str = "--device"
    """Who says which devices, for errors."""
    gradient_backend: GradientBackend | None = None
    chains: int = 1
    samples: int = 1
    evaluations: int = 200
    time_limit_seconds: float | None = 3600.0
    memory_limit_bytes: int | None = None
    one_at_a_time: bool = False
    """Of the sizes of a model only one differs from its base."""
    counting: Counting = Counting.PLAIN
    metrics: tuple[str, ...] = ()
    """Columns that are shown and judged; none: as the verb has it."""
    are_here: bool = True
    """Whether its models can be looked for; those of a cluster's workers can't."""
    tiers: Mapping[str, Suite] = field(default_factory=dict)
    """The same suite with some of it replaced, by the tier's name."""

    def tier(self, name: str | None) -> Suite:
        """Return a tier, or the suite itself where none is named; raises SpecError where there is no such tier."""
        if name is None:
            return self
        if not self.tiers:
            raise SpecError("--tier", "is of the pose model, or of a suite file that has tiers")
        if name not in self.tiers:
            raise SpecError("--tier", f"there is no {choose(name, self.tiers)}")
        return self.tiers[name]

    def with_parameters(self, axes: Axes) -> Suite:
        """Return the suite with some axes in place of its own of these names."""
        own = {
            like: {name: values for name, values in kept.items() if name not in axes}
            for like, kept in self.own_parameters.items()
        }
        return replace(self, parameters={**self.parameters, **axes}, own_parameters=own)

    def once(self) -> Suite:
        """Return the suite with each model once: the first value of each axis."""
        own = {like: _first_of(axes) for like, axes in self.own_parameters.items()}
        return replace(self, parameters=_first_of(self.parameters), own_parameters=own)

    def make_models(self) -> tuple[tuple[Model, ...], tuple[OmittedModel, ...]]:
        """Make each model with each of its parameters, and say what is none; raises SpecError where there is none."""
        try:
            references, omitted = find_models(self.models, self.folder, are_here=self.are_here)
        except SpecError as error:
            if self.folder is None:
                raise
            raise SpecError(f"suite file in {self.folder}, models", error.problem) from None
        known = {reference: parameters_of(reference) if reference != POSE else PARAMETERS for reference in references}
        self._check_parameters(known)
        models: list[Model] = []
        for reference in references:
            taken = known[reference]
            common = {
                name: values
                for name, values in self.parameters.items()
                if name in taken or (name == FREEZE and reference != POSE)
            }
            own = [axes for like, axes in self.own_parameters.items() if _is_like(reference, like)]
            axes: Axes = {**common, **{name: values for one in own for name, values in one.items()}}
            made, left_out = models_of(reference, axes, one_at_a_time=self.one_at_a_time)
            models += made
            omitted += left_out
        return tuple(models), omitted

    def _check_parameters(self, known: Mapping[str, Iterable[str]]) -> None:
        """Refuse parameters of nobody."""
        names = {name for taken in known.values() for name in taken}
        for name in self.parameters:
            if name not in names and name != FREEZE:
                raise SpecError("parameters", f"no model has {choose(name, sorted(names))}")
        for like in self.own_parameters:
            if not any(_is_like(reference, like) for reference in known):
                raise SpecError("parameters", f"there is no model {choose(like, known)}")

    def grid(self) -> Grid:
        """Cross the models with what is asked of them; raises SpecError where nothing is left."""
        models, omitted = self.make_models()
        grid = make_grid(
            models,
            backends=self.backends,
            scenarios=self.scenarios,
            targets=self.targets,
            samplers=self.samplers,
            devices=self.devices,
            gradient_backend=self.gradient_backend,
            chains=self.chains,
            omitted=omitted,
            evaluations=self.evaluations,
            time_limit_seconds=self.time_limit_seconds,
            memory_limit_bytes=self.memory_limit_bytes,
            counting=self.counting,
        )
        if len(grid.cases) * self.samples > MOST_SAMPLES:
            each = f"{self.samples:,} of each of {format_count(len(grid.cases), 'case')}"
            raise SpecError("--samples", f"{each} are too many, {MOST_SAMPLES:,} is the most. Measure parts of it")
        return grid


def _first_of(axes: Axes) -> Axes:
    return {name: values[:1] for name, values in axes.items()}


def suite_of(words: Sequence[str], usual: Mapping[str, Any] | None = None) -> Suite:
    """Return the suite that words of a command line are: a file's, or their models asked as by default.

    `usual` has fields for what a file doesn't say.
    """
    suites = [word for word in words if is_suite_file(word)]
    if suites and len(words) > 1:
        raise SpecError("MODEL", f"a suite stands alone: give {suites[0]}, or models")
    return read_suite(suites[0], usual) if suites else Suite(models=tuple(words))


def is_suite_file(word: str) -> bool:
    """Whether a word names a file that says which models, and what of them; it need not be there."""
    return word == SUITE_WORD or word.endswith(".toml")


def is_several(words: Sequence[str]) -> bool:
    """Whether words may be several models: more than one word, a pattern, a folder or a suite file."""
    (word, *more) = words
    return bool(more) or is_suite_file(word) or _is_pattern(word) or (word != POSE and Path(word).is_dir())


def _is_like(reference: str, like: str) -> bool:
    """Whether a reference is the one, or of the file or the pattern, that is given."""
    place, _ = split_reference(reference)
    return any(one == like or fnmatchcase(one, like) for one in (reference, place))


def choose(name: str, known: Iterable[str]) -> str:
    """Name what isn't there, the nearest that is, and all that are."""
    there = list(map(str, known))
    nearest = difflib.get_close_matches(name, there, n=1)
    did_you_mean = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"{name!r}.{did_you_mean} There are: {', '.join(there) or 'none'}"


# --- models -------------------------------------------------------------------------------------------------------


def find_models(
    words: Sequence[str], folder: Path | None = None, *, are_here: bool = True
) -> tuple[tuple[str, ...], tuple[OmittedModel, ...]]:
    """Find the models that words name, each once, and what of a folder or a pattern is none and why.

    A file without ``:NAME`` is asked, as a text, for the one function that makes a model, or the script's model.
    Files are seen from a folder (this one where left out); the references as from the current one. Raises SpecError
    where a word that is no pattern names nothing, and where there is no model at all. Not `are_here`: what is named
    without a pattern isn't looked for.
    """
    references: dict[str, str] = {}
    omitted: dict[OmittedModel, None] = {}
    for word in words:
        place, name = split_reference(word) if ":" in word else (word, "")
        is_folder = word != POSE and (folder or Path()).joinpath(word).is_dir()
        is_named = not is_folder and not _is_pattern(place)
        if is_named and (word.startswith(LIVE) or not (place.endswith(".py") and are_here)):
            references[word] = make_model(word).reference
            if are_here:
                check_reference(word)
            continue
        for file in [place] if is_named else _list_files(word, f"{place}/*.py" if is_folder else place, folder):
            seen = file if folder is None else _seen(folder / file)
            try:
                reference = f"{seen}:{name}" if name else _ask_file(seen, is_alone=is_named and len(words) == 1)
                check_reference(reference)
            except SpecError as error:
                if is_named and (name or not Path(seen).is_file()):
                    raise  # what was typed isn't there
                omitted[OmittedModel(what=seen, reason=error.problem, is_failure=True)] = None
                continue
            if reference:
                references.setdefault(os.path.normpath(reference), reference)
            else:
                omitted[OmittedModel(what=seen, reason="has no function that makes a model")] = None
    for one in omitted:
        _LOG.info("%s is no model to measure: %s", one.what, one.reason)
    if not references:
        reasons = "; ".join(dict.fromkeys(f"{one.what} {one.reason}" for one in omitted))
        raise SpecError("MODEL", f"there is no model: {reasons or 'name at least one'}")
    return tuple(references.values()), tuple(omitted)


def _list_files(word: str, pattern: str, folder: Path | None) -> list[str]:
    """List the files of a pattern that may be models, sorted."""
    here = folder or Path()
    start = Path(pattern).anchor
    paths = Path(start).glob(pattern.removeprefix(start)) if start else here.glob(pattern)
    files = [one for one in sorted(paths) if one.is_file() and not any(fnmatchcase(one.name, no) for no in NO_MODELS)]
    if not files:
        raise SpecError("MODEL", f"no Python file for a model in {word} (looked from {here.absolute()})")
    return [str(one if start or folder is None else one.relative_to(here)) for one in files]


def _ask_file(place: str, *, is_alone: bool) -> str:
    """Return the reference of a file's only model; SpecError where it has several.

    '' where its text tells of none; but alone it is meant to be one, and running the script says so.
    """
    check_reference(place)
    names = find_makers(Path(place))
    if len(names) > 1:
        ways = ", ".join(f"{place}:{name} (line {line})" for name, line in names.items())
        raise SpecError("MODEL", f"makes {len(names)} models. Name one: {ways}")
    if not names:
        return place if is_alone else ""
    (name,) = names
    return f"{place}:{name}" if name else place


def _is_pattern(word: str) -> bool:
    return any(letter in word for letter in _PATTERN)


def _seen(path: Path) -> str:
    """Write a path as a reference has it: from the current folder where it is below, else whole."""
    whole = Path(os.path.normpath(path.absolute()))
    return str(whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole)


# --- the file -----------------------------------------------------------------------------------------------------


def read_suite(path: str | Path = SUITE_WORD, usual: Mapping[str, Any] | None = None) -> Suite:
    """Read a suite file, with `usual` fields for what it doesn't say.

    Raises SpecError naming the file, the table, the key, and the nearest key that there is.
    """
    file = _find_file() if str(path) == SUITE_WORD else Path(path)
    try:
        document: Any = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError("MODEL", f"{file}: {error.strerror} (looked from {Path.cwd()})") from error
    except ValueError as error:
        raise SpecError(str(file), f"is no TOML: {error}") from error
    table = ""
    if file.name == _PYPROJECT:
        document, table = document.get("tool", {}).get("firstgrad"), _TOOL
        if document is None:
            raise SpecError(str(file), f"has no table [{_TOOL}]")
    suite = Suite(models=(), folder=file.parent.absolute(), **(usual or {}))
    return _read_table({key: value for key, value in document.items() if key not in _OF_OPTIONS}, file, table, suite)


def _find_file() -> Path:
    file = Path(SUITE_FILE)
    if file.is_file():
        return file
    with suppress(OSError, ValueError):
        if "firstgrad" in tomllib.loads(Path(_PYPROJECT).read_text(encoding="utf-8")).get("tool", {}):
            return Path(_PYPROJECT)
    raise SpecError("MODEL", f"no {SUITE_FILE} in {Path.cwd()}, and no [{_TOOL}] in its {_PYPROJECT}")


def _read_table(document: Mapping[str, Any], file: Path, table: str, suite: Suite, *, is_tier: bool = False) -> Suite:
    """Read a suite, or a tier, which has of the suite above it what it doesn't say itself."""
    tables = ("parameters",) if is_tier else _TABLES
    values: dict[str, Any] = {}
    for key, value in document.items():
        if key not in (*_KEYS, *tables):
            raise SpecError(where(file, table, key), f"there is no key {choose(key, (*_KEYS, *tables))}")
        if key in tables:
            require_table(value, file, table, key)
            continue
        entry, reader = _KEYS[key]
        values[entry] = _read(reader, value, file, table, key)
    if not is_tier and "models" not in values:
        raise SpecError(where(file, table, "models"), 'name at least one, such as models = ["models/*.py"]')
    common, own = dict(suite.parameters), dict(suite.own_parameters)
    inner = f"{table}.parameters".lstrip(".")
    for name, value in document.get("parameters", {}).items():
        if isinstance(value, dict):
            place = f'{inner}."{name}"'
            axes = {key: _read(_axis, axis, file, place, key) for key, axis in value.items()}
            own[name] = {**own.get(name, {}), **axes}
        else:
            common[name] = _read(_axis, value, file, inner, name)
    if "devices" in values:
        values["devices_from"] = where(file, table, "devices")
    suite = replace(suite, parameters=common, own_parameters=own, **values)
    inner = f"{table}.tiers".lstrip(".")
    tiers = {} if is_tier else document.get("tiers", {})
    for name, value in tiers.items():
        require_table(value, file, inner, name)
    read = {one: _read_table(tiers[one], file, f"{inner}.{one}", suite, is_tier=True) for one in tiers}
    return replace(suite, tiers=read)


def require_table(value: Any, file: Path, table: str, key: str) -> None:
    """Raise a `SpecError` where a value of a file is no table."""
    if not isinstance(value, dict):
        raise SpecError(where(file, table, key), f"expected a table, got {value!r}")


def _read(reader: Callable[[Any], Any], value: Any, file: Path, table: str, key: str) -> Any:
    try:
        return reader(value)
    except ValueError as error:  # a SpecError is one
        problem = error.problem if isinstance(error, SpecError) else str(error)
        raise SpecError(where(file, table, key), problem) from None


def where(file: Path, table: str, key: str) -> str:
    """Name a key of a file."""
    return f"{file}, {f'[{table}] ' if table else ''}{key}"


def _several(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError("expected at least one")
    for number, one in enumerate(values):
        if any(one == other and type(one) is type(other) for other in values[:number]):
            raise ValueError(f"{one!r} is given twice")
    return values


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {value!r}")  # noqa: TRY004 - of a file, as all that is wrong there
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(_text, _several(value)))


def _members(kind: type[StrEnum]) -> Callable[[Any], tuple[StrEnum, ...]]:
    return lambda value: tuple(_member(kind, one) for one in _texts(value))


def _member[T: StrEnum](kind: type[T], value: Any) -> T:
    if _text(value) not in kind:
        raise ValueError(f"there is no {choose(value, kind)}")
    return kind(value)


def _metrics(value: Any) -> tuple[str, ...]:
    names = [metric.name for metric in METRICS]
    for name in (given := _texts(value)):
        if name not in names:
            raise ValueError(f"there is no metric {choose(name, names)}")
    return given


def _count(least: int, most: int = MOST) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        require_count("", value, least=least, most=most)
        return int(value)

    return read


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")  # noqa: TRY004 - as in _text
    return value


def _seconds(value: Any) -> float:
    return parse_seconds(value if isinstance(value, str) else repr(value))


def _bytes(value: Any) -> int:
    return parse_bytes(value if isinstance(value, str) else repr(value))


def _axis(value: Any) -> tuple[Scalar, ...]:
    for one in (values := _several(value)):
        if not isinstance(one, bool | int | float | str) or (isinstance(one, float) and not math.isfinite(one)):
            raise ValueError(f"expected numbers, texts, true or false, got {one!r}")
    return tuple(values)


_KEYS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "name": ("name", _text),
    "models": ("models", _texts),
    "backends": ("backends", _members(BackendName)),
    "targets": ("targets", _members(Target)),
    "scenarios": ("scenarios", _members(Scenario)),
    "samplers": ("samplers", _members(Sampler)),
    "devices": ("devices", _texts),
    "gradient_backend": ("gradient_backend", lambda value: _member(GradientBackend, value)),
    "chains": ("chains", _count(1)),
    "samples": ("samples", _count(1, MOST_SAMPLES)),
    "evaluations": ("evaluations", _count(0)),
    "time_limit": ("time_limit_seconds", _seconds),
    "memory_limit": ("memory_limit_bytes", _bytes),
    "one_at_a_time": ("one_at_a_time", _flag),
    "counting": ("counting", lambda value: _member(Counting, value)),
    "metrics": ("metrics", _metrics),
}
"""Each key of a suite file: the field of `Suite`, and what reads it."""
_TABLES = ("parameters", "tiers")
KEYS = (*_KEYS, *_TABLES)
"""Keys of a suite file."""
