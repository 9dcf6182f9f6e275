"""`trace`: record what a block compiles, in this very process and those that it starts."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from firstgrad.observe.processes import cpu_seconds
from firstgrad.tracing.launch import TRACES, TreeWatch, environment_here
from firstgrad.tracing.merge import merge_parts
from firstgrad.tracing.recorder import Recorder, child_variables
from firstgrad.tracing.sentences import sentences_html, trace_sentences

if TYPE_CHECKING:
    from firstgrad.tracing.record import ScriptTrace


class trace:  # noqa: N801 - used like a function, as contextlib.suppress is
    """Record every compile of a block: who asked for it, what for, phases, units, caches, memory, calls afterwards.

    Nothing is patched, results are the same, and at the end every listener is gone. Processes that the block starts are
    followed. In a notebook the value of a cell shows what is to be said; for a whole script rather use
    ``firstgrad trace script.py``, which also sees imports.

    ::

        with firstgrad.trace() as trace:
            idata = pm.sample(model=model)
        print(trace)

    Attributes
    ----------
    result : ScriptTrace or None
        After the block: all that was seen.
    """

    def __init__(self) -> None:
        self.result: ScriptTrace | None = None

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="firstgrad-trace-")
        self._zero, self._started, self._cpu = time.monotonic(), datetime.now(UTC), cpu_seconds()
        folder = Path(self._folder.name)
        variables = child_variables(folder, self._zero, os.environ)
        self._variables = {name: os.environ.get(name) for name in variables}
        self._recorder = Recorder(folder, self._zero, "notebook")
        self._recorder.start()
        os.environ.update(variables)
        self._watch = TreeWatch(os.getpid(), folder, self._zero)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        wall, cpu = time.monotonic() - self._zero, cpu_seconds() - self._cpu
        for name, value in self._variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._watch.stop()
        self._recorder.finish()
        self._recorder.stop()
        self.result = merge_parts(
            Path(self._folder.name),
            trace_id=uuid.uuid4().hex,
            started_at=self._started.isoformat(timespec="seconds"),
            command="",
            exit_code=None,
            wall_seconds=wall,
            cpu_seconds=cpu,
            environment=environment_here(),
            memory=self._watch.seen,
        )
        with suppress(OSError):
            self._folder.cleanup()

    def save(self, path: str | Path) -> None:
        """Write the trace to a file, which ``firstgrad trace --show FILE`` prints."""
        TRACES.write(self._ended(), path)

    def __str__(self) -> str:
        return "\n".join(trace_sentences(self._ended()))

    def _repr_html_(self) -> str:
        return sentences_html(trace_sentences(self._ended()))

    def _ended(self) -> ScriptTrace:
        if self.result is None:
            raise RuntimeError("the block of firstgrad.trace() has not ended yet: there is nothing to tell before")
        return self.result
