"""Lines: samples that differ in one size only, so that a metric can be looked at along it."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.case import BackendName, Scenario, Target
from firstgrad.columns import METRICS, Unit
from firstgrad.growth.law import Observations
from firstgrad.pose.spec import Scalar
from firstgrad.row import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from firstgrad.columns import Column

POSE_SIZES = ("timesteps", "directions", "cameras", "states")
"""Axes of the pose model that are sizes."""

NODES = "nodes"
"""An axis of every model: graph nodes after rewriting, whichever of the sizes made them more."""

_NODES_METRIC = next(number for number, metric in enumerate(METRICS) if metric.name == "nodes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Samples along one size, all else being equal but the host.

    Attributes
    ----------
    axis : str
        The size that varies.
    family : str
        ``pose`` or a user's model.
    rest : tuple of (str, scalar)
        The other axes, equal in all samples; along `NODES` without the sizes.
    backend, target, scenario
        Equal in all samples.
    packages : tuple of (str, str)
        Versions, equal in all samples.
    rows : tuple of Row
        In the order in which they were given.
    sizes : tuple of float
        A size each row.
    """

    axis: str
    family: str
    rest: tuple[tuple[str, Scalar], ...]
    backend: BackendName
    target: Target
    scenario: Scenario
    packages: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    sizes: tuple[float, ...]

    @property
    def n_sizes(self) -> int:
        """How many different sizes there are."""
        return len(set(self.sizes))


def find_lines(rows: Iterable[Row], axis: str, *, least_sizes: int = 2) -> tuple[Line, ...]:
    """Sort rows into lines.

    Parameters
    ----------
    rows : iterable of Row
        Those whose model has no such axis are left out.
    axis : str
        A size of the pose model, a numeric parameter of a user's, or `NODES`.
    least_sizes : int
        Lines with fewer different sizes are left out.

    Returns
    -------
    tuple of Line
        In the order of their first rows.
    """
    found: dict[tuple[object, ...], tuple[list[Row], list[float]]] = defaultdict(lambda: ([], []))
    # Many samples have the same question and packages, so the long keys are made once for all of them.
    keys: dict[tuple[str, object], tuple[object, ...]] = {}
    for row in rows:
        size = _size(row, axis)
        if size is None:
            continue
        key = keys.get((row.question, row.packages))
        if key is None:
            key = keys[row.question, row.packages] = _key(row, axis)
        members, sizes = found[key]
        members.append(row)
        sizes.append(size)
    return tuple(
        Line(
            axis=axis,
            family=members[0].family,
            rest=key[1],  # type: ignore[arg-type]  # as it was put there
            backend=members[0].backend,
            target=members[0].target,
            scenario=members[0].scenario,
            packages=key[5],  # type: ignore[arg-type]
            rows=tuple(members),
            sizes=tuple(sizes),
        )
        for key, (members, sizes) in found.items()
        if len(set(sizes)) >= least_sizes
    )


def find_axes(rows: Iterable[Row]) -> tuple[str, ...]:
    """List the sizes that vary somewhere: those of the pose model first, then users' parameters by name."""
    values: dict[str, set[Scalar]] = defaultdict(set)
    seen: set[str] = set()
    for row in rows:
        if row.question in seen:
            continue
        seen.add(row.question)
        for name, value in row.axes:
            if (row.family != "pose" or name in POSE_SIZES) and _is_size(value):
                values[name].add(value)
    varying = sorted(name for name, each in values.items() if len(each) > 1)
    return tuple(sorted(varying, key=lambda name: (POSE_SIZES.index(name) if name in POSE_SIZES else 99, name)))


def observe(line: Line, metric: Column) -> Observations | None:
    """Take one metric's numbers of a line; what a limit stopped is censored, what failed is left out.

    Returns
    -------
    Observations or None
        None where no sample has a number. Unlike hosts (or Pythons, compilers, threads, flags) are blocks.
    """
    number = METRICS.index(metric)
    taken: list[tuple[float, float, bool, str]] = []
    for row, size in zip(line.rows, line.sizes, strict=True):
        value, bound = row.numbers[number], row.bounds[number]
        if value is not None and not row.reason and math.isfinite(value):
            taken.append((size, value, False, row.conditions))
        elif bound is not None and bound > 0:
            taken.append((size, bound, True, row.conditions))
    if not any(not is_censored for _, _, is_censored, _ in taken):
        return None
    sizes, values, censored, hosts = zip(*taken, strict=True)
    return Observations(sizes=sizes, values=values, is_censored=censored, hosts=hosts, is_exact=_is_exact(metric))


def observe_all(line: Line, metrics: Sequence[Column]) -> tuple[Observations | None, ...]:
    """Take several metrics' numbers of a line, as `observe` takes one's, but looking at each sample once."""
    if any(row.reason for row in line.rows):
        return tuple(observe(line, metric) for metric in metrics)
    hosts = tuple(row.conditions for row in line.rows)
    no_limits = (False,) * len(hosts)
    numbers = [row.numbers for row in line.rows]
    found: list[Observations | None] = []
    for metric in metrics:
        place = METRICS.index(metric)
        values = [each[place] for each in numbers]
        known = tuple(value for value in values if value is not None and math.isfinite(value))
        if known and len(known) == len(values):
            found.append(
                Observations(
                    sizes=line.sizes,
                    values=known,
                    is_censored=no_limits,
                    hosts=hosts,
                    is_exact=_is_exact(metric),
                )
            )
        else:
            found.append(observe(line, metric))
    return tuple(found)


def _is_exact(metric: Column) -> bool:
    return metric.is_deterministic and metric.unit is Unit.COUNT


def name_lines(lines: Sequence[Line]) -> tuple[str, tuple[str, ...]]:
    """Name lines by what tells them apart.

    Returns
    -------
    common : str
        What they have in common.
    names : tuple of str
        The rest of each; the backend and scenario where nothing tells them apart.
    """
    parts = [_parts(line) for line in lines]
    keys = dict.fromkeys(key for each in parts for key in each)
    differing = [key for key in keys if len({each.get(key, "") for each in parts}) > 1]
    common = [parts[0].get(key, "") for key in keys if key not in differing] if parts else []
    names = (", ".join(filter(None, (each.get(key, "") for key in differing))) for each in parts)
    return ", ".join(filter(None, common)), tuple(
        name or f"{line.backend}, {line.scenario}" for name, line in zip(names, lines, strict=True)
    )


def _key(row: Row, axis: str) -> tuple[object, ...]:
    left_out = POSE_SIZES if axis == NODES else (axis,)
    rest = tuple(each for each in row.axes if each[0] not in left_out)
    return row.family, rest, row.backend, row.target, row.scenario, row.packages


def _size(row: Row, axis: str) -> float | None:
    if axis == NODES:
        value: Scalar | None = None if row.reason else row.numbers[_NODES_METRIC]
    else:
        value = next((value for name, value in row.axes if name == axis), None)
    return float(value) if value is not None and _is_size(value) else None


def _is_size(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


_DEFAULTS = {"formulation": "per_joint", "likelihood": "mixture", "missing": "safe", "skeleton": "chain", "seed": 42}
_LETTERS = {"timesteps": "T", "directions": "K", "cameras": "C"}


def _parts(line: Line) -> dict[str, str]:
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
    return parts | {name: f"{name} {version}" for name, version in line.packages if name in ("pymc", "pytensor")}
