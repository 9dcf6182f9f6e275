"""Makes the row of a record."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from firstgrad.codec import to_json
from firstgrad.metrics import METRICS
from firstgrad.record import Status
from firstgrad.row.bounds import end_seconds, find_known
from firstgrad.row.fields import Row
from firstgrad.usability import why_unusable

if TYPE_CHECKING:
    from firstgrad.model import Model
    from firstgrad.pose.spec import Scalar
    from firstgrad.record import Environment, Record

_OWN = "firstgrad"
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


def make_row(record: Record) -> Row:
    """Make the row of a record; it costs some ten times less than reading the record did."""
    case, environment = record.case, record.environment
    end, known = end_seconds(record), find_known(record)
    if end is None:
        end = (case.time_limit_seconds or 0.0) if record.status is Status.TIMEOUT else 0.0
    numbers = {metric.name: metric.read(record) for metric in METRICS}
    return Row(
        record_id=record.record_id,
        started_at=record.started_at,
        question=case.question,
        family=family_of(case.model),
        axes=axes_of(case.model),
        model=str(case.model),
        backend=case.backend,
        target=case.target,
        scenario=case.scenario,
        evaluations=case.evaluations,
        time_limit_seconds=case.time_limit_seconds,
        memory_limit_bytes=case.memory_limit_bytes,
        status=record.status,
        reason=why_unusable(record),
        verdict=record.check.verdict,
        doubts=record.doubts,
        host=environment.host.digest,
        conditions=conditions_of(environment),
        device=environment.device or "cpu",
        versions=environment.versions,
        label=environment.label,
        git_commit=environment.git_commit,
        load_before=environment.load_before,
        sample_seconds=end,
        numbers=tuple(known.numbers.get(name, number) for name, number in numbers.items()),
        bounds=tuple(known.bounds.get(name) for name in numbers),
    )


def family_of(model: Model) -> str:
    """Name what varies only along its axes: the model's reference."""
    return model.reference


def axes_of(model: Model) -> tuple[tuple[str, Scalar], ...]:
    """Find a model's place within its family; `Row.axes` lists the names."""
    if model.pose is None:
        return model.parameters
    values = model.values
    axes = {name: values[name] for name in _AXES}
    return tuple(sorted({**axes, "other": _other(model)}.items()))


def packages_of(versions: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Take the packages whose versions are a condition: all but firstgrad, whose measuring costs next to nothing."""
    return tuple(each for each in versions if each[0] != _OWN)


def conditions_of(environment: Environment) -> str:
    """Digest of all that must be equal before numbers may be put together; `Row.conditions` says what that is."""
    conditions: list[object] = [
        environment.host.digest,
        environment.python,
        environment.compiler,
        environment.threads,
        environment.flags,
        packages_of(environment.versions),
    ]
    if environment.device not in ("", "cpu"):
        conditions.append(environment.device)
    if environment.bytecode is False:
        conditions.append("no bytecode")
    return hashlib.sha256(to_json(conditions).encode()).hexdigest()[:16]


def _other(model: Model) -> str:
    """Write what differs from the default and has no axis, as canonical JSON; '' where nothing does."""
    differing = {name: value for name, value in model.parameters if name not in (*_AXES, "hmm")}
    return json.dumps(differing, sort_keys=True, separators=(",", ":")) if differing else ""
