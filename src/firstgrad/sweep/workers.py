"""The Dask workers of a sweep: who is there, who is fit, who is free."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firstgrad.codec import DecodeError, from_json
from firstgrad.measuring.environment import installed_version
from firstgrad.record import SCHEMA_VERSION, Environment
from firstgrad.sweep.remote import WorkerInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(slots=True, kw_only=True)
class ClusterWorker:
    """One Dask worker, as far as it is known."""

    address: str  # where Dask finds it
    has_firstgrad: bool = False  # whether it is known to have one; only then may it be asked to run anything of it
    info: WorkerInfo | None = None
    environment: Environment | None = None  # none until it has said what it is
    refused: str = ""  # why it gets no work; '' where it may
    is_busy: bool = False  # whether it has been asked for something and hasn't answered
    failures: int = 0  # how often in a row it could not measure what it was asked to

    @property
    def is_fit(self) -> bool:
        """Whether it may measure."""
        return self.info is not None and not self.refused

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.info.machine} ({self.address})" if self.info else self.address

    def take_info(self, text: str) -> None:
        """Take what `firstgrad.sweep.remote.describe_worker` said, and refuse the worker where it isn't fit."""
        try:
            self.info = from_json(text, WorkerInfo)
            self.refused = why_unfit(self.info)
            if not self.refused:
                self.environment = from_json(self.info.environment, Environment)
        except DecodeError as error:
            self.refused = f"has another firstgrad, which can't be understood: {error}"


class Workers:
    """All workers that were there when they were last looked for."""

    def __init__(self) -> None:
        self._by_address: dict[str, ClusterWorker] = {}
        self._has_lost_fit = False
        self._crowded: set[str] = set()

    def __iter__(self) -> Iterator[ClusterWorker]:
        return iter(tuple(self._by_address.values()))

    def update(self, addresses: Iterable[str]) -> tuple[list[ClusterWorker], list[ClusterWorker]]:
        """Take the list of those who are there; returns who joined and who left."""
        there = dict.fromkeys(addresses)
        left = [worker for worker in self if worker.address not in there]
        for worker in left:
            self.remove(worker)
        joined = [ClusterWorker(address=address) for address in there if address not in self._by_address]
        self._by_address |= {worker.address: worker for worker in joined}
        return joined, left

    def remove(self, worker: ClusterWorker) -> None:
        """Strike a worker off the list; where it is still there, the next look finds it as a new one."""
        if self._by_address.get(worker.address) is worker:
            del self._by_address[worker.address]
            self._has_lost_fit |= worker.is_fit

    @property
    def free(self) -> list[ClusterWorker]:
        """Fit ones that have nothing to do."""
        return [worker for worker in self if worker.is_fit and not worker.is_busy]

    @property
    def has_fit(self) -> bool:
        """Whether one may measure, now or when it has said what it is."""
        return any(not worker.refused for worker in self)

    @property
    def is_hopeless(self) -> bool:
        """Whether there are workers, none of them is fit, and none that was fit has left and might come back."""
        return bool(self._by_address) and not self.has_fit and not self._has_lost_fit

    def refusals(self) -> str:
        """Say who was refused and why."""
        return "; ".join(f"{worker.name} {worker.refused}" for worker in self if worker.refused)

    def newly_crowded(self, *, threads: int) -> list[str]:
        """Say of each machine, once, that its workers are more than it has cores for."""
        infos = [worker.info for worker in self if worker.is_fit and worker.info is not None]
        counts = Counter(info.machine for info in infos)
        lines = []
        for machine, cores in {info.machine: info.cores for info in infos}.items():
            if counts[machine] * threads > cores and machine not in self._crowded:
                self._crowded.add(machine)
                lines.append(
                    f"{counts[machine]} workers with {threads} threads each are on {machine}, which has {cores} cores: "
                    "they will measure each other. Start fewer there"
                )
        return lines


def why_failed(error: BaseException) -> str:
    """Say why a worker that raised this gets no work."""
    why = f"{type(error).__name__}: {error}".partition("\n")[0]
    if isinstance(error, ImportError):
        return f"has no firstgrad that can be used ({why}): install firstgrad {installed_version('firstgrad')} there"
    if isinstance(error, RuntimeError) and "deserialization of the task graph" in str(error):
        return (
            f"can't be asked, since the scheduler has no such firstgrad: install {installed_version('firstgrad')} there"
        )
    return f"can't measure ({why})"


def why_unfit(info: WorkerInfo) -> str:
    """Say why a worker's measurements couldn't be put together with this side's; '' where they can."""
    here = installed_version("firstgrad")
    if info.firstgrad != here:
        return f"has firstgrad {info.firstgrad or 'of no version'}, and here is {here}: install the same on both"
    if info.schema_version != SCHEMA_VERSION:
        return f"writes records of schema {info.schema_version}, and here is {SCHEMA_VERSION}: install the same on both"
    return ""
