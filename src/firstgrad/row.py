"""Samples as objects: what `firstgrad.columns` has of a record, with its parameters as axes."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firstgrad.case import BackendName, Scenario, Target
from firstgrad.columns import AT_LEAST, METRICS, cells_of
from firstgrad.model import Model
from firstgrad.pose.spec import Scalar
from firstgrad.record import Doubt, Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firstgrad.columns import Cell
    from firstgrad.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sample as a line of a table; `firstgrad.columns` says what each field is."""

    record_id: str
    started_at: str
    question: str
    family: str
    axes: tuple[tuple[str, Scalar], ...]
    model: str
    backend: BackendName
    target: Target
    scenario: Scenario
    evaluations: int
    time_limit_seconds: float | None
    memory_limit_bytes: int | None
    status: Status
    reason: str
    verdict: Verdict
    doubts: tuple[Doubt, ...]
    host: str
    conditions: str
    device: str
    packages: tuple[tuple[str, str], ...]
    label: str
    git_commit: str
    load_before: float
    sample_seconds: float
    numbers: tuple[float | None, ...]
    bounds: tuple[float | None, ...]


def make_row(record: Record) -> Row:
    """Return the row of a record."""
    return row_of(cells_of(record))


def row_of(cells: Mapping[str, Cell]) -> Row:
    """Return the row of what `cells_of` gives."""
    known: dict[str, Any] = dict(cells)
    model = _model(known["reference"], known["parameters"])
    same = (
        "record_id",
        "started_at",
        "question",
        "model",
        "time_limit_seconds",
        "reason",
        "host",
        "conditions",
        "device",
    )
    return Row(
        **{name: known[name] for name in (*same, "label", "git_commit", "load_before", "sample_seconds")},
        status=Status(known["status"]),
        family=model.reference,
        axes=axes_of(model),
        backend=BackendName(known["backend"]),
        target=Target(known["target"]),
        scenario=Scenario(known["scenario"]),
        evaluations=int(known["evaluations"]),
        memory_limit_bytes=None if known["memory_limit_bytes"] is None else int(known["memory_limit_bytes"]),
        verdict=Verdict(known["verdict"]),
        doubts=tuple(Doubt(name) for name in known["doubts"].split()),
        packages=_packages(known["packages"]),
        numbers=tuple(known[metric.name] for metric in METRICS),
        bounds=tuple(known[metric.name + AT_LEAST] for metric in METRICS),
    )


@functools.lru_cache(maxsize=4096)
def _model(reference: str, parameters: str) -> Model:
    return Model(reference=reference, parameters=tuple((name, value) for name, value in json.loads(parameters)))


@functools.lru_cache(maxsize=4096)
def _packages(packages: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, version) for name, version in json.loads(packages))


_AXES = (
    "timesteps",
    "directions",
    "cameras",
    "seed",
    "formulation",
    "likelihood",
    "missing",
    "skeleton",
    "states",
    "hmm_algorithm",
)


@functools.lru_cache(maxsize=4096)
def axes_of(model: Model) -> tuple[tuple[str, Scalar], ...]:
    """Return a model's place within its family: its parameters, those of the pose model by name with ``other``."""
    if model.pose is None:
        return model.parameters
    values = model.values
    differing = {name: value for name, value in model.parameters if name not in (*_AXES, "hmm")}
    other = json.dumps(differing, sort_keys=True, separators=(",", ":")) if differing else ""
    return tuple(sorted({**{name: values[name] for name in _AXES}, "other": other}.items()))
