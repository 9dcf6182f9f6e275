"""``firstgrad trace``: every compile of an unchanged script, who asked for it, and what it could do without."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from firstgrad.cli.console import OutputOptions, note
from firstgrad.cli.options import declare, spread
from firstgrad.errors import SpecError

if TYPE_CHECKING:
    from firstgrad.tracing.record import ScriptTrace

EPILOG = """\b
Examples:
  firstgrad trace script.py --draws 100
      the script runs as `python script.py --draws 100` does; then what it compiled, and what to type to start sooner
  firstgrad trace --output trace script.py
      with a page, and files for speedscope.app and Perfetto, in trace/
  firstgrad trace -m package.module
      as `python -m package.module` does
  firstgrad trace --json script.py >compiles.json
      for a program; what the script itself prints goes to standard error
  firstgrad trace --show 3f2a
      print a kept trace again

\b
Options of firstgrad stand before the script, the script's own after it. The exit code is the script's.
"""


@spread
def trace(
    script: Annotated[
        list[str] | None, typer.Argument(metavar="SCRIPT [ARGS]...", help="A Python file, and its arguments.")
    ] = None,
    module: Annotated[bool, declare("-m", "Run a module, as `python -m` does.")] = False,
    folder: Annotated[
        str | None, declare("--output", "Write a page, the trace, and traces for viewers.", metavar="FOLDER")
    ] = None,
    keep: Annotated[bool, declare("--keep/--no-keep", "Keep it in .firstgrad/traces.")] = True,
    show: Annotated[str | None, declare("--show", "Print this kept trace; run nothing.", metavar="TRACE|FILE")] = None,
    *,
    output: OutputOptions,
) -> None:
    """Run a script unchanged, and say what it compiled: for which line, how long, what caches had, what is needless."""
    from pathlib import Path

    from firstgrad.tracing.launch import TRACES, trace_script

    output.refuse_both()
    if (show is None) is not bool(script):
        raise SpecError("SCRIPT", "give a script and its arguments, or --show and a kept trace")
    if show is not None:
        told = TRACES.read(TRACES.find(show))
        code = 0
    else:
        if keep:
            TRACES.require_folder()  # it may run for an hour: what can't be kept is said before
        told = trace_script(script or [], is_module=module, quiet_stdout=output.json or output.markdown)
        code = told.exit_code or 0
        if keep:
            note(f"kept: {TRACES.keep(told)}")
    _print(told, output)
    if folder is not None:
        from firstgrad.show.trace_page import PAGE_NAME, write_trace_files

        TRACES.write(told, Path(folder) / "trace.json")
        write_trace_files(told, Path(folder))
        note(f"written: {Path(folder) / PAGE_NAME}")
    raise typer.Exit(_end_as(code))


def _print(told: ScriptTrace, output: OutputOptions) -> None:
    """Print to standard error, since standard output is the script's; JSON and Markdown take that instead."""
    from firstgrad.cli.console import show as show_result
    from firstgrad.show.result import make_console, print_parts
    from firstgrad.show.traces import trace_result

    result = trace_result(told)
    if output.json or output.markdown:
        show_result(result, output)
    else:
        print_parts(make_console(stderr=True), result.parts)


def _end_as(exit_code: int) -> int:
    """End this process by the signal that ended the script; return the exit code where none did."""
    if exit_code >= 0:
        return exit_code
    number = -exit_code
    import resource

    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the script has left its own
    with suppress(OSError, ValueError):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number  # a signal that is blocked or ignored
