"""What is switched on in a worker beside the clock: nothing, the tracer of a profile, or memray."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from firstgrad.errors import WorkerError
from firstgrad.measure.events import Profiled

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.attribution.tracer import Tracer
    from firstgrad.measure.events import Task, WorkerEvent
    from firstgrad.measure.first_gradient import FirstGradient
    from firstgrad.measure.phases import PhaseTimer


class Instruments:
    """The instruments that a task asks for; without any, every method does nothing.

    Parameters
    ----------
    task : Task
        Says which.
    timer : PhaseTimer
        Whose clock the spans count by.
    """

    def __init__(self, task: Task, timer: PhaseTimer) -> None:
        self._timer = timer
        self._allocations_file = task.allocations_file
        self._tracer: Tracer | None = None
        if task.profile:
            from firstgrad.attribution.tracer import Tracer

            self._tracer = Tracer(task.case.backend, timer.now)

    def imports(self) -> AbstractContextManager[Any]:
        """Watch the import of the backend's modules."""
        return self._tracer.imports() if self._tracer else nullcontext()

    def window(self) -> AbstractContextManager[Any]:
        """Watch from the start of `build` to the first gradient."""
        if self._allocations_file:
            return _track_allocations(self._allocations_file)
        return self._tracer.window() if self._tracer else nullcontext()

    def finish(self, first: FirstGradient, emit: Callable[[WorkerEvent], None]) -> None:
        """Tell what was seen."""
        if self._tracer is not None:
            emit(Profiled(attribution=self._tracer.finish(first, tuple(self._timer.records))))


def _track_allocations(file: str) -> AbstractContextManager[Any]:
    """Have memray note every allocation, with native frames; aggregated, which is the cheapest (two to five times)."""
    try:
        import memray
    except ImportError:
        raise WorkerError('allocations are noted by memray: pip install "firstgrad[memray]"') from None
    return memray.Tracker(file, native_traces=True, file_format=memray.FileFormat.AGGREGATED_ALLOCATIONS)
