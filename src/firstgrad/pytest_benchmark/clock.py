"""The timer that pytest-benchmark reads."""

from __future__ import annotations


class WorkerClock:
    """A timer in seconds that stands still until it is moved on by what a worker measured.

    Each round starts at exactly zero, so that the difference of two readings is the worker's number to the last bit.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._was_read = False

    def __call__(self) -> float:
        """Tell the time, in seconds since the last restart."""
        self._was_read = True
        return self._now

    def __repr__(self) -> str:
        return "worker_clock"  # pytest-benchmark saves it as the timer's name

    def restart(self) -> None:
        """Go back to zero."""
        self._now, self._was_read = 0.0, False

    def advance(self, seconds: float) -> None:
        """Go on by some seconds."""
        self._now += seconds

    @property
    def was_read(self) -> bool:
        """Whether anybody asked for the time since the last restart."""
        return self._was_read


worker_clock = WorkerClock()
"""For ``@pytest.mark.benchmark(timer=worker_clock)``. One for all tests: a process runs them one after the other."""
