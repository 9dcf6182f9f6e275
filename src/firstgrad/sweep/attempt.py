"""One sample on its way through a cluster: how often it was tried, and what is recorded when that is enough."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from firstgrad.doubts import find_doubts
from firstgrad.record import Failure, Record, Status

if TYPE_CHECKING:
    from firstgrad.measure.events import Event
    from firstgrad.record import Phase
    from firstgrad.sweep.crew import Member
    from firstgrad.sweep.plan import Job


@dataclass(slots=True)
class Sample:
    """A job, and where and why it was lost, a line each."""

    job: Job
    losses: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Attempt:
    """What was asked of a worker: to measure a sample, or where there is none, to say what it is.

    Attributes
    ----------
    future : distributed.Future
        Of the Dask task.
    member : Member
        Who was asked.
    sample : Sample, optional
        What is measured.
    began_at : str
        UTC, ISO 8601.
    phase : Phase, optional
        The last one that was heard of.
    """

    future: Any
    member: Member
    sample: Sample | None = None
    began_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    phase: Phase | None = None


@dataclass(frozen=True, slots=True)
class Over:
    """A message: the Dask task with this key is over."""

    key: str


@dataclass(frozen=True, slots=True)
class Told:
    """A message: something happened within the sample that this Dask task measures."""

    key: str
    event: Event


def record_of_loss(attempt: Attempt) -> Record:
    """Make the record of a sample that is not tried again, since it was lost too often.

    Returns
    -------
    Record
        With the environment of the last worker.

    Raises
    ------
    ValueError
        Where the attempt was none to measure.
    """
    sample, environment = attempt.sample, attempt.member.environment
    if sample is None or environment is None:
        raise ValueError("nothing was measured")
    where = f", at last in phase {attempt.phase}" if attempt.phase else ""
    record = Record(
        record_id=uuid.uuid4().hex,
        started_at=attempt.began_at,
        case=sample.job.case,
        status=Status.CRASHED,
        environment=environment,
        failure=Failure(
            kind="DaskWorkerLost",
            message=f"lost with its Dask worker {len(sample.losses)} times{where}: {'; '.join(sample.losses)}. Does it "
            "take all the memory of the machine, or of the batch job? Then set --memory-limit below that",
            phase=attempt.phase,
        ),
    )
    return replace(record, doubts=find_doubts(record))
