"""Whether another firstgrad's workers understand this one's tasks, and this one their answers."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from firstgrad.case import BackendName, Case
from firstgrad.codec import DecodeError, from_json, to_json
from firstgrad.errors import PythonEnvironmentError
from firstgrad.measure.environment import describe_environment
from firstgrad.measure.events import Task
from firstgrad.record import Record, Status
from firstgrad.spec import PoseSpec

if TYPE_CHECKING:
    from firstgrad.measure.interpreter import Interpreter

_LONGEST_SECONDS = 60
_ANSWER = """
import sys
from firstgrad.codec import from_json, to_json
from firstgrad.measure.events import Task
from firstgrad.record import Record, Status
task = from_json(sys.stdin.read(), Task)
print(to_json(Record(record_id=task.record_id, started_at=task.started_at, case=task.case, status=Status.OK,
                     environment=task.environment)))
"""


def require_same_protocol(interpreter: Interpreter) -> None:
    """Send a task to the firstgrad that is installed there, and read the record that it makes of it.

    Parameters
    ----------
    interpreter : Interpreter
        With a firstgrad of its own.

    Raises
    ------
    PythonEnvironmentError
        Where one doesn't understand the other.
    """
    task = Task(
        case=Case(model=PoseSpec(), backend=BackendName.FAKE),
        record_id="protocol",
        started_at="",
        environment=describe_environment(interpreter=interpreter),
        cache_folder="",
    )
    try:
        done = subprocess.run(
            [str(interpreter.python), "-c", _ANSWER],
            input=to_json(task),
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST_SECONDS,
        )
        answer = from_json(done.stdout, Record)
    except (OSError, subprocess.TimeoutExpired, DecodeError) as error:
        said = done.stderr.strip().rpartition("\n")[2] if isinstance(error, DecodeError) else str(error)
        raise PythonEnvironmentError(
            f"the firstgrad in {interpreter.python} speaks another protocol than this one ({said or error}). Measure "
            "that commit with its own: check it out, firstgrad measure --json, and bring the records together with "
            "firstgrad import"
        ) from error
    if answer.case != task.case or answer.status is not Status.OK:
        raise PythonEnvironmentError(
            f"the firstgrad in {interpreter.python} answers another question than it was asked"
        )
