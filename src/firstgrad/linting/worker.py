"""The process that looks at a model: ``python -m firstgrad.linting.worker TASK_FD EVENT_FD``.

As `firstgrad.measuring.worker` it takes its task through a private pipe; its last word is a report.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.backends.pytensor import PyTensorBackend
from firstgrad.errors import FirstgradError
from firstgrad.linting.finding import LintReport
from firstgrad.linting.launch import Linted
from firstgrad.measuring.environment import has_bytecode
from firstgrad.measuring.events import Started, Task
from firstgrad.measuring.worker import find_conditions, open_pipes, require_private_cache
from firstgrad.record import Failure

if TYPE_CHECKING:
    from collections.abc import Callable


def lint_task(task: Task, emit: Callable[[object], None]) -> LintReport:
    """Build the model and look at it; the report has a failure where that raised."""
    emit(Started(monotonic_seconds=time.monotonic()))
    name, process = str(task.case.model), os.getpid()
    try:
        return _lint(task, name, emit)
    except BaseException as error:  # whatever a model raises is told
        if isinstance(error, SystemExit) and os.getpid() != process:
            raise  # a child that the model forked ends as it likes
        if not isinstance(error, FirstgradError):
            sys.excepthook(type(error), error, error.__traceback__)
        return LintReport(model=name, failure=Failure.of_error(error))


def _lint(task: Task, name: str, emit: Callable[[object], None]) -> LintReport:
    backend, had_bytecode = PyTensorBackend(), has_bytecode("pymc")
    import pymc  # noqa: F401 - before the model's file changes anything

    from firstgrad.linting.engine import lint_model
    from firstgrad.observe.lines import deep_traces

    require_private_cache(Path(task.cache_folder))
    with deep_traces():
        built = backend.load(task.case.model)()
        report = lint_model(built.model, name=name)
    emit(find_conditions(backend, had_bytecode=had_bytecode))
    return replace(report, notes=(*report.notes, *filter(None, [built.note])))


def main() -> None:
    """Take a task from one pipe, look, and answer through the other."""
    task, emit = open_pipes(Task)
    emit(Linted(task_id=task.record_id, report=lint_task(task, emit)))


if __name__ == "__main__":
    main()
