"""What happens in a sweep, for a display."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firstgrad.measure.events import Event
    from firstgrad.record import Record
    from firstgrad.sweep.plan import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleBegan:
    """A sample is being measured; `place` names the worker machine, '' for this one."""

    job: Job
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleProgress:
    """Something happened within a running sample."""

    job: Job
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleLost:
    """A sample's worker machine is gone; the sample will be measured again."""

    job: Job
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleEnded:
    """A sample ended, and its record is kept."""

    job: Job
    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSkipped:
    """A sample isn't measured, since an earlier one of its case failed or was stopped by its limit."""

    job: Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that a person should know: the store's server is away, workers are missing or unfit."""

    message: str


type SweepEvent = SampleBegan | SampleProgress | SampleLost | SampleEnded | SampleSkipped | Notice
