"""Measures on the workers of a Dask cluster, one sample a worker at a time."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING

from firstgrad.sweep.connection import connect
from firstgrad.sweep.dispatch import Dispatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from firstgrad.record import Record
    from firstgrad.sweep.connection import Certificates
    from firstgrad.sweep.events import SweepEvent
    from firstgrad.sweep.plan import Job

CONNECT_SECONDS = 15.0


class DaskExecutor:
    """Measures samples on the workers of any Dask cluster that is there already.

    Each worker measures one sample at a time, however many threads it has. Workers may come and go: a sample whose
    worker is lost is measured again on another. Nothing is lost of what was measured.

    Parameters
    ----------
    address : str
        Of the scheduler.
    label : str
        For the records.
    threads : int
        Threads of BLAS and OpenMP in each sample.
    certificates : Certificates, optional
        For TLS; None leaves it to Dask's configuration.
    keep_filled : bool
        Whether cold samples leave their filled caches to the warm ones that come to the same worker in this sweep.
    warn : callable, optional
        Takes a line about the cluster that people should read; Python's log where left out.
    connect_seconds : float
        How long to try to reach the scheduler.
    """

    def __init__(
        self,
        address: str,
        *,
        label: str = "",
        threads: int = 1,
        certificates: Certificates | None = None,
        keep_filled: bool = True,
        warn: Callable[[str], None] | None = None,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self._address, self._certificates, self._connect_seconds = address, certificates, connect_seconds
        self._label, self._threads, self._keep_filled = label, threads, keep_filled
        self._warn = warn or logging.getLogger(__name__).warning

    def run(self, jobs: Iterator[Job], tell: Callable[[SweepEvent], None]) -> Iterator[tuple[Job, Record]]:
        """Measure jobs; see `firstgrad.sweep.runner.Executor`.

        Raises
        ------
        FirstgradError
            Where the scheduler can't be reached or has ended, or none of its workers is fit.
        """
        first = next(jobs, None)
        if first is None:  # nothing to measure: then no cluster is needed
            return
        with connect(self._address, certificates=self._certificates, timeout_seconds=self._connect_seconds) as client:
            dispatch = Dispatch(
                client,
                itertools.chain([first], jobs),
                label=self._label,
                threads=self._threads,
                keep_filled=self._keep_filled,
                tell=tell,
                warn=self._warn,
            )
            yield from dispatch.run()
