"""Makes the row of a record."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from firstgrad.case import ExternalModel, describe_model
from firstgrad.codec import to_json
from firstgrad.metrics import METRICS
from firstgrad.record import Status
from firstgrad.row.bounds import end_seconds, find_known
from firstgrad.row.fields import Row
from firstgrad.spec import PoseSpec
from firstgrad.usability import why_unusable

if TYPE_CHECKING:
    from firstgrad.case import Scalar
    from firstgrad.record import Environment, Record

_OWN = "firstgrad"
_AXES = (
    "n_timesteps",
    "n_directions",
    "n_cameras",
    "seed",
    "formulation",
    "likelihood",
    "missing",
    "skeleton",
    "hmm",
)
_DEFAULT = PoseSpec()


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
        model=describe_model(case.model),
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
        versions=environment.versions,
        label=environment.label,
        git_commit=environment.git_commit,
        load_before=environment.load_before,
        sample_seconds=end,
        numbers=tuple(known.numbers.get(name, number) for name, number in numbers.items()),
        bounds=tuple(known.bounds.get(name) for name in numbers),
    )


def family_of(model: PoseSpec | ExternalModel) -> str:
    """Name what varies only along its axes: ``pose``, or the reference of the user's model."""
    return model.reference if isinstance(model, ExternalModel) else "pose"


def axes_of(model: PoseSpec | ExternalModel) -> tuple[tuple[str, Scalar], ...]:
    """Find a model's place within its family; `Row.axes` lists the names."""
    if isinstance(model, ExternalModel):
        return model.parameters
    return (
        ("cameras", model.n_cameras),
        ("directions", model.n_directions),
        ("formulation", str(model.formulation)),
        ("hmm_algorithm", str(model.hmm.algorithm) if model.hmm else ""),
        ("likelihood", str(model.likelihood)),
        ("missing", str(model.missing)),
        ("other", _other(model)),
        ("seed", model.seed),
        ("skeleton", str(model.skeleton)),
        ("states", model.hmm.n_states if model.hmm else 0),
        ("timesteps", model.n_timesteps),
    )


def packages_of(versions: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Take the packages whose versions are a condition: all but firstgrad, whose measuring costs next to nothing."""
    return tuple(each for each in versions if each[0] != _OWN)


def conditions_of(environment: Environment) -> str:
    """Digest of all that must be equal before numbers may be put together; `Row.conditions` says what that is."""
    packages = packages_of(environment.versions)
    told = (
        environment.host.digest,
        environment.python,
        environment.compiler,
        environment.threads,
        environment.flags,
        packages,
    )
    return hashlib.sha256(to_json(told).encode()).hexdigest()[:16]


def _other(model: PoseSpec) -> str:
    """Write what of the spec differs from the default and has no axis, as canonical JSON; '' where nothing does."""
    spec, default = json.loads(to_json(model)), json.loads(to_json(_DEFAULT))
    differing = _differing({name: value for name, value in spec.items() if name not in _AXES}, default)
    return json.dumps(differing, sort_keys=True, separators=(",", ":")) if differing else ""


def _differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _differing(value, other[name]) if isinstance(value, dict) else value
        for name, value in one.items()
        if value != other[name]
    }
