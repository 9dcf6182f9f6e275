"""Lines: samples that differ in one size only, so that a metric can be looked at along it, and laws fitted to it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from firstgrad.case import BackendName, Scenario, Target
from firstgrad.codec import to_json
from firstgrad.columns import AT_LEAST, Column, Unit, values_of
from firstgrad.grouping import grouped
from firstgrad.growth.fit import fit_growth_laws
from firstgrad.growth.law import GrowthLaw, NoLaw, Observations
from firstgrad.model import POSE
from firstgrad.pose.spec import PARAMETERS, Scalar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

NODES = "nodes"
"""An axis of every model: graph nodes after rewriting, whichever of the sizes made them more."""

_POSE_SIZES = tuple(name for name, parameter in PARAMETERS.items() if parameter.is_size)
_MODEL, _ORIGIN = ["reference", "parameters"], ["label", "git_commit"]
_SHORT_DIGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SizeLine:
    """Samples along one size, all else being equal but the host."""

    axis: str  # the size that varies
    reference: str
    rest: tuple[tuple[str, Scalar], ...]
    """The model's other parameters, equal in all samples; along `NODES` without the sizes."""
    backend: BackendName
    device: str
    target: Target
    scenario: Scenario
    packages: str  # as a samples table has them
    label: str
    git_commit: str  # both '' where samples of several were put together
    table: pd.DataFrame = field(repr=False)  # the samples table that has its samples, and others; all lines share it
    places: NDArray[np.intp]  # of its samples in that table, in their order there
    sizes: tuple[float, ...]  # a size each sample

    @property
    def samples(self) -> pd.DataFrame:
        """Its part of the table."""
        return self.table.iloc[self.places]

    @property
    def n_sizes(self) -> int:
        """How many different sizes there are."""
        return len(set(self.sizes))

    def observe(self, metric: Column) -> Observations | None:
        """Take one metric's numbers; what a limit stopped is censored, what failed is left out.

        None where no sample has a number. Unlike hosts (or Pythons, compilers, threads, flags) are blocks.
        """
        columns = (metric.name, metric.name + AT_LEAST, "reason", "conditions")
        numbers, bounds, reasons, hosts = (self.table[name].iloc[self.places].to_numpy() for name in columns)
        is_seen = np.isfinite(numbers) & (reasons == "")
        if not is_seen.any():
            return None
        is_taken = is_seen | (bounds > 0)
        return Observations(
            sizes=tuple(np.array(self.sizes)[is_taken].tolist()),
            values=tuple(np.where(is_seen, numbers, bounds)[is_taken].tolist()),
            is_censored=tuple((~is_seen)[is_taken].tolist()),
            hosts=tuple(hosts[is_taken].tolist()),
            is_exact=metric.is_deterministic and metric.unit is Unit.COUNT,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedLine:
    """One line and its law."""

    line: SizeLine
    name: str  # what tells it from the others of the same axis
    law: GrowthLaw | NoLaw


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricGrowth:
    """One metric along one size."""

    axis: str
    metric: Column
    common: str  # what all lines have in common
    lines: tuple[FittedLine, ...]  # those that have numbers of this metric


def find_growth(samples: pd.DataFrame, axes: Sequence[str], metrics: Sequence[Column]) -> tuple[MetricGrowth, ...]:
    """Fit a growth law to each metric of each line along each size, by axis, then by metric.

    Samples whose numbers don't count are left out; those that a limit stopped count as censored.
    """
    asked = []
    for axis in axes:
        lines = find_lines(samples, axis)
        common, names = name_lines(lines)
        asked += [
            (axis, metric, common, line, name, observations)
            for metric in metrics
            for line, name in zip(lines, names, strict=True)
            if (observations := line.observe(metric)) is not None
        ]
    laws = fit_growth_laws(observations for *_, observations in asked)  # together: many have the same sizes
    fitted = grouped(
        ((axis, metric, common), FittedLine(line=line, name=name, law=law))
        for (axis, metric, common, line, name, _), law in zip(asked, laws, strict=True)
    )
    return tuple(
        MetricGrowth(axis=axis, metric=metric, common=common, lines=tuple(lines))
        for (axis, metric, common), lines in fitted.items()
    )


def find_lines(
    samples: pd.DataFrame, axis: str, *, least_sizes: int = 2, is_one_side: bool = False
) -> tuple[SizeLine, ...]:
    """Sort samples into lines, in the order of their first samples. Labels and commits are lines of their own.

    The axis is a size of the pose model, a numeric parameter of a user's, or `NODES`; samples whose model has none, and
    lines with fewer than `least_sizes`, are left out. `is_one_side`: all samples are one side of a comparison, whatever
    their labels and commits.
    """
    models = list(_models(samples))  # many samples have one model
    left_out = _POSE_SIZES if axis == NODES else (axis,)
    rests = [tuple(item for item in values.items() if item[0] not in left_out) for _, values in models]
    model = samples.groupby(_MODEL, sort=False).ngroup().to_numpy()
    if axis == NODES:
        sizes = samples["nodes"].where(samples["reason"] == "").to_numpy()
    else:
        sizes = np.array([_size(values.get(axis)) for _, values in models], dtype=float)[model]
    alike = ["reference", "backend", "device", "target", "scenario", "packages", *([] if is_one_side else _ORIGIN)]
    keys = samples[alike].reset_index(drop=True)
    keys["rest"] = np.array([to_json(parameters) for parameters in rests], dtype=object)[model]
    lines = []
    for _, part in keys[sizes > 0].groupby([*alike, "rest"], sort=False):
        places, first = part.index.to_numpy(), part.iloc[0]
        own_sizes = tuple(sizes[places].tolist())
        if len(set(own_sizes)) < least_sizes:
            continue
        label, git_commit = ("", "") if is_one_side else first[_ORIGIN]
        lines.append(
            SizeLine(
                axis=axis,
                reference=first["reference"],
                rest=rests[model[places[0]]],
                backend=BackendName(first["backend"]),
                device=first["device"],
                target=Target(first["target"]),
                scenario=Scenario(first["scenario"]),
                packages=first["packages"],
                label=label,
                git_commit=git_commit,
                table=samples,
                places=places,
                sizes=own_sizes,
            )
        )
    return tuple(lines)


def find_axes(samples: pd.DataFrame) -> tuple[str, ...]:
    """List the sizes that vary somewhere: those of the pose model first, then users' parameters by name."""
    sizes: dict[str, set[float]] = defaultdict(set)
    for reference, values in _models(samples):
        for name, value in values.items():
            if (reference != POSE or name in _POSE_SIZES) and _size(value) > 0:
                sizes[name].add(_size(value))
    varying = sorted(name for name, different in sizes.items() if len(different) > 1)
    return (*(name for name in _POSE_SIZES if name in varying), *(name for name in varying if name not in _POSE_SIZES))


def name_lines(lines: Sequence[SizeLine]) -> tuple[str, tuple[str, ...]]:
    """Split what all lines have in common from what tells each apart: its backend and scenario where nothing does."""
    parts = [_parts(line) for line in lines]
    keys = dict.fromkeys(key for line_parts in parts for key in line_parts)
    differing = [key for key in keys if len({line_parts.get(key, "") for line_parts in parts}) > 1]
    unsaid = {"label", "commit", *differing}
    common = [parts[0].get(key, "") for key in keys if key not in unsaid] if parts else []
    names = (", ".join(filter(None, (line_parts.get(key, "") for key in differing))) for line_parts in parts)
    return ", ".join(filter(None, common)), tuple(
        name or f"{line.backend}, {line.scenario}" for name, line in zip(names, lines, strict=True)
    )


def _models(samples: pd.DataFrame) -> Iterator[tuple[str, Mapping[str, Scalar]]]:
    """Yield each model's reference and parameters, in the order of their first samples."""
    for reference, parameters in samples[_MODEL].drop_duplicates().itertuples(index=False):
        yield reference, values_of(reference, parameters)


def _size(value: Scalar | None) -> float:
    """Return a number as a size, NaN for all else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else np.nan


def _parts(line: SizeLine) -> dict[str, str]:
    """Each thing that a line is told by, in words; defaults that go without saying are empty."""
    rest = dict(line.rest)
    parts = {"model": line.reference}
    if line.reference != POSE:
        parts |= {name: f"{name}={value}" for name, value in rest.items()}
    else:
        labels = {name: parameter.label(rest[name]) for name, parameter in PARAMETERS.items() if name in rest}
        of_hmm = [labels.pop(name) for name, parameter in PARAMETERS.items() if parameter.needs and name in labels]
        labels["hmm"] = " ".join(("HMM", *of_hmm)) if rest["hmm"] else "no HMM"
        parts |= {
            name: text
            for name, text in labels.items()
            if PARAMETERS[name].is_size or name in ("hmm", "formulation") or rest[name] != PARAMETERS[name].default
        }
    parts |= {"backend": str(line.backend), "scenario": str(line.scenario)}
    parts["device"] = "" if line.device == "cpu" else f"on {line.device}"
    if line.target is not Target.DLOGP:
        parts["target"] = str(line.target)
    parts |= {name: f"{name} {version}" for name, version in json.loads(line.packages) if name in ("pymc", "pytensor")}
    return parts | {
        "label": f"label {line.label or 'none'}",
        "commit": f"commit {line.git_commit[:_SHORT_DIGITS] or 'none'}",
    }
