"""What the metrics of one asv cell share: samples in the folder in which asv runs all of them.

asv starts a process for each metric, and again for each round. The n-th time that a metric is asked for, it takes
the n-th sample of its case; where no metric has asked for that one yet, it is measured.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from firstgrad.errors import FirstgradError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from firstgrad.case import Case


class CellFailedError(FirstgradError):
    """A cell has no numbers; the message says why."""


@dataclass(slots=True)
class Sample:
    """One sample as asv's processes share it.

    Attributes
    ----------
    values : dict of str to float or None
        The number of each metric, by its name.
    failure : str
        Why there are none; empty where there are.
    is_unavailable : bool
        Whether the failure is that the backend isn't installed here.
    taken : list of str
        Names of the metrics that have taken this sample.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    failure: str = ""
    is_unavailable: bool = False
    taken: list[str] = field(default_factory=list)

    def value_of(self, metric: str) -> float | None:
        """Find a metric's number.

        Raises
        ------
        CellFailedError
            Where the sample failed: asv shows the cell as failed, with this message.
        """
        if self.is_unavailable:
            from asv_runner.benchmarks.mark import SkipNotImplemented

            raise SkipNotImplemented(self.failure)
        if self.failure:
            raise CellFailedError(self.failure)
        return self.values[metric]


def take(folder: Path, case: Case, metric: str, measure: Callable[[Case], Sample]) -> Sample:
    """Take the next sample that this metric has not had, measuring it where it isn't there.

    Parameters
    ----------
    folder : Path
        Shared by all metrics of a run.
    case : Case
        What is measured.
    metric : str
        Who asks.
    measure : callable
        Measures one sample.
    """
    for number in itertools.count():
        file = folder / f"{case.id}-{number}.json"
        sample = Sample(**json.loads(file.read_text())) if file.exists() else None
        if sample is None:
            # Should asv stop this process, the other metrics must not each try again for as long.
            _write(file, Sample(failure=f"{case}: asv stopped the measurement of this sample; raise the timeout"))
            sample = measure(case)
        elif metric in sample.taken:
            continue
        sample.taken.append(metric)
        _write(file, sample)
        return sample
    raise AssertionError("unreachable")


def _write(file: Path, sample: Sample) -> None:
    half = file.with_suffix(".half")
    half.write_text(json.dumps(asdict(sample)))
    half.replace(file)
