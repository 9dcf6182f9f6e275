"""The parent's side of lint: a model in, a report out. Imports no PyMC."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from firstgrad.case import BackendName, Case, Target
from firstgrad.codec import DecodeError
from firstgrad.linting.finding import LintReport
from firstgrad.measuring.events import Conditions, Started, kinds_by_name
from firstgrad.measuring.launch import explain_end, find_untrue, make_task, with_conditions
from firstgrad.measuring.private import PrivateCaches
from firstgrad.measuring.session import Transcript, run_worker
from firstgrad.record import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from firstgrad.model import Model

TIME_LIMIT_SECONDS = 300.0
"""Of importing PyMC, building the model and looking at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """The worker's last word."""

    task_id: str
    report: LintReport


@dataclass(slots=True)
class LintTranscript(Transcript):
    """What came through the pipes."""

    report: LintReport | None = None

    kinds: ClassVar[Mapping[str, type]] = kinds_by_name(Started, Conditions, Linted)

    @property
    def has_last_word(self) -> bool:
        """Whether the worker sent its report."""
        return self.report is not None

    def take(self, event: Any, record_id: str) -> None:
        """Keep what an event tells."""
        if isinstance(event, Linted):
            if event.task_id != record_id:
                raise DecodeError(f"a report of another task: {event.task_id}")
            self.report = event.report
        else:
            Transcript.take(self, event, record_id)


def lint(
    model: Model,
    *,
    time_limit_seconds: float = TIME_LIMIT_SECONDS,
    memory_limit_bytes: int | None = None,
    on_event: Callable[[Any], None] | None = None,
) -> LintReport:
    """Look at a model in a fresh process; why that can't be is told in the report, too."""
    case = Case(
        model=model,
        backend=BackendName.NUMBA,
        target=Target.LOGP_DLOGP,
        evaluations=0,
        time_limit_seconds=time_limit_seconds,
        memory_limit_bytes=memory_limit_bytes,
    )
    with PrivateCaches() as private:
        task = make_task(case, private)
        private.restore()
        heard = run_worker(task, private, LintTranscript(), on_event, worker="firstgrad.linting.worker")
    report = heard.report
    if report is None:
        _, kind, message = explain_end(case, heard)
        report = LintReport(model=str(model), failure=Failure(kind=kind, message=message))
    failure = find_untrue(task, heard, "") or report.failure
    if failure is not None:
        failure = replace(failure, stderr_tail=heard.stderr_tail)
    return replace(report, failure=failure, environment=with_conditions(task.environment, heard))
