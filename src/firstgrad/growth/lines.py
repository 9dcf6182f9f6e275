"""Lines: samples that differ in one size only, so that a metric can be looked at along it, and laws fitted to it."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.case import BackendName, Scenario, Target
from firstgrad.columns import METRICS, Column, Unit
from firstgrad.growth.fit import fit_growth_laws
from firstgrad.growth.law import GrowthLaw, NoLaw, Observations
from firstgrad.pose.spec import Scalar
from firstgrad.row import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

POSE_SIZES = ("timesteps", "directions", "cameras", "states")
"""Axes of the pose model that are sizes."""

NODES = "nodes"
"""An axis of every model: graph nodes after rewriting, whichever of the sizes made them more."""

_NODES_METRIC = next(number for number, metric in enumerate(METRICS) if metric.name == "nodes")
_DEFAULTS = {"formulation": "per_joint", "likelihood": "mixture", "missing": "safe", "skeleton": "chain", "seed": 42}
_SHORT_DIGITS = 10
_LETTERS = {"timesteps": "T", "directions": "K", "cameras": "C"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeLine:
    """Samples along one size, all else being equal but the host."""

    axis: str
    """The size that varies."""
    family: str
    """``pose`` or a user's model."""
    rest: tuple[tuple[str, Scalar], ...]
    """The other axes, equal in all samples; along `NODES` without the sizes."""
    backend: BackendName
    target: Target
    scenario: Scenario
    packages: tuple[tuple[str, str], ...]
    label: str
    git_commit: str
    """Both '' where samples of several were put together."""
    rows: tuple[Row, ...]
    """In the order in which they were given."""
    sizes: tuple[float, ...]
    """A size each row."""

    @property
    def n_sizes(self) -> int:
        """How many different sizes there are."""
        return len(set(self.sizes))

    def observe(self, metric: Column) -> Observations | None:
        """Take one metric's numbers; what a limit stopped is censored, what failed is left out.

        None where no sample has a number. Unlike hosts (or Pythons, compilers, threads, flags) are blocks.
        """
        number = METRICS.index(metric)
        taken: list[tuple[float, float, bool, str]] = []
        is_any_seen = False
        for row, size in zip(self.rows, self.sizes, strict=True):
            value, bound = row.numbers[number], row.bounds[number]
            if value is not None and not row.reason and math.isfinite(value):
                taken.append((size, value, False, row.conditions))
                is_any_seen = True
            elif bound is not None and bound > 0:
                taken.append((size, bound, True, row.conditions))
        if not is_any_seen:
            return None
        sizes, values, censored, hosts = zip(*taken, strict=True)
        is_exact = metric.is_deterministic and metric.unit is Unit.COUNT
        return Observations(sizes=sizes, values=values, is_censored=censored, hosts=hosts, is_exact=is_exact)


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedLine:
    """One line and its law."""

    line: SizeLine
    name: str
    """What tells it from the others of the same axis."""
    law: GrowthLaw | NoLaw


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricGrowth:
    """One metric along one size."""

    axis: str
    metric: Column
    common: str
    """What all lines have in common."""
    lines: tuple[FittedLine, ...]
    """Those that have numbers of this metric."""


def find_growth(rows: Iterable[Row], axes: Sequence[str], metrics: Sequence[Column]) -> tuple[MetricGrowth, ...]:
    """Fit a growth law to each metric of each line along each size.

    Samples whose numbers don't count are left out; those that a limit stopped count as censored.

    Returns
    -------
    tuple of MetricGrowth
        By axis, then by metric; without those that have no numbers.
    """
    known = list(rows)
    wanted: list[tuple[str, str, Column]] = []
    asked: list[tuple[int, SizeLine, str, Observations]] = []
    for axis in axes:
        lines = find_lines(known, axis)
        common, names = name_lines(lines)
        for metric in metrics:
            for line, name in zip(lines, names, strict=True):
                if (observations := line.observe(metric)) is not None:
                    asked.append((len(wanted), line, name, observations))
            wanted.append((axis, common, metric))
    laws = fit_growth_laws(observations for *_, observations in asked)  # together: many have the same sizes
    fitted: dict[int, list[FittedLine]] = defaultdict(list)
    for (place, line, name, _), law in zip(asked, laws, strict=True):
        fitted[place].append(FittedLine(line=line, name=name, law=law))
    return tuple(
        MetricGrowth(axis=axis, metric=metric, common=common, lines=tuple(fitted[place]))
        for place, (axis, common, metric) in enumerate(wanted)
        if place in fitted
    )


def find_lines(
    rows: Iterable[Row], axis: str, *, least_sizes: int = 2, is_one_side: bool = False
) -> tuple[SizeLine, ...]:
    """Sort rows into lines, in the order of their first rows. Labels and commits are lines of their own.

    Parameters
    ----------
    rows : iterable of Row
        Those whose model has no such axis are left out.
    axis : str
        A size of the pose model, a numeric parameter of a user's, or `NODES`.
    least_sizes : int
        Lines with fewer different sizes are left out.
    is_one_side : bool
        Whether all rows are one side of a comparison, whatever their labels and commits.
    """
    by_key: dict[tuple[object, ...], tuple[list[Row], list[float]]] = defaultdict(lambda: ([], []))
    # Many samples have the same question and packages, so the long keys are made once for all of them.
    keys: dict[tuple[object, ...], tuple[object, ...]] = {}
    for row in rows:
        size = _size(row, axis)
        if size is None:
            continue
        origin = ("", "") if is_one_side else (row.label, row.git_commit)
        short = row.question, row.packages, origin
        key = keys.get(short)
        if key is None:
            key = keys[short] = (*_key(row, axis), *origin)
        members, sizes = by_key[key]
        members.append(row)
        sizes.append(size)
    return tuple(
        SizeLine(
            axis=axis,
            family=members[0].family,
            rest=key[1],  # type: ignore[arg-type]  # as it was put there
            backend=members[0].backend,
            target=members[0].target,
            scenario=members[0].scenario,
            packages=members[0].packages,
            label=str(key[6]),
            git_commit=str(key[7]),
            rows=tuple(members),
            sizes=tuple(sizes),
        )
        for key, (members, sizes) in by_key.items()
        if len(set(sizes)) >= least_sizes
    )


def find_axes(rows: Iterable[Row]) -> tuple[str, ...]:
    """List the sizes that vary somewhere: those of the pose model first, then users' parameters by name."""
    values: dict[str, set[Scalar]] = defaultdict(set)
    questions: set[str] = set()
    for row in rows:
        if row.question in questions:
            continue
        questions.add(row.question)
        for name, value in row.axes:
            if (row.family != "pose" or name in POSE_SIZES) and _is_size(value):
                values[name].add(value)
    varying = sorted(name for name, different in values.items() if len(different) > 1)
    return tuple(sorted(varying, key=lambda name: (POSE_SIZES.index(name) if name in POSE_SIZES else 99, name)))


def name_lines(lines: Sequence[SizeLine]) -> tuple[str, tuple[str, ...]]:
    """Name lines by what tells them apart.

    Returns
    -------
    common : str
        What they have in common.
    names : tuple of str
        The rest of each; the backend and scenario where nothing tells them apart.
    """
    parts = [_parts(line) for line in lines]
    keys = dict.fromkeys(key for line_parts in parts for key in line_parts)
    differing = [key for key in keys if len({line_parts.get(key, "") for line_parts in parts}) > 1]
    unsaid = {"label", "commit", *differing}
    common = [parts[0].get(key, "") for key in keys if key not in unsaid] if parts else []
    names = (", ".join(filter(None, (line_parts.get(key, "") for key in differing))) for line_parts in parts)
    return ", ".join(filter(None, common)), tuple(
        name or f"{line.backend}, {line.scenario}" for name, line in zip(names, lines, strict=True)
    )


def _key(row: Row, axis: str) -> tuple[object, ...]:
    left_out = POSE_SIZES if axis == NODES else (axis,)
    rest = tuple((name, value) for name, value in row.axes if name not in left_out)
    return row.family, rest, row.backend, row.target, row.scenario, row.packages


def _size(row: Row, axis: str) -> float | None:
    if axis == NODES:
        value: Scalar | None = None if row.reason else row.numbers[_NODES_METRIC]
    else:
        value = next((value for name, value in row.axes if name == axis), None)
    return float(value) if value is not None and _is_size(value) else None


def _is_size(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _parts(line: SizeLine) -> dict[str, str]:
    """Each thing that a line is told by, in words; defaults that go without saying are empty."""
    rest = dict(line.rest)
    if line.family != "pose":
        parts = {"model": line.family} | {name: f"{name}={value}" for name, value in rest.items()}
    else:
        algorithm = rest.pop("hmm_algorithm", "")
        states = rest.pop("states", "")
        parts = {"model": "pose"}
        parts |= {name: f"{letter}={rest.pop(name)}" for name, letter in _LETTERS.items() if name in rest}
        parts["hmm"] = " ".join(filter(None, ("HMM", f"S={states}" if states else "", str(algorithm))))
        if not algorithm:
            parts["hmm"] = "no HMM"
        parts |= {
            name: str(value) if name != "seed" else f"seed {value}"
            for name, value in rest.items()
            if value != _DEFAULTS.get(name, "") or name == "formulation"
        }
    parts |= {"backend": str(line.backend), "scenario": str(line.scenario)}
    if line.target is not Target.DLOGP:
        parts["target"] = str(line.target)
    parts |= {name: f"{name} {version}" for name, version in line.packages if name in ("pymc", "pytensor")}
    return parts | {
        "label": f"label {line.label or 'none'}",
        "commit": f"commit {line.git_commit[:_SHORT_DIGITS] or 'none'}",
    }
