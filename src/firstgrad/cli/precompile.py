"""``firstgrad precompile``: a script's gradient compiled beforehand, by several processes at once."""

from __future__ import annotations

from typing import Annotated

import typer

from firstgrad.case import BackendName, Sampler
from firstgrad.cli.console import ExitCode, OutputOptions, finish, is_quiet, say
from firstgrad.cli.options import ModelOptions, declare, spread

EPILOG = """\b
Examples:
  firstgrad precompile script.py:model --backend numba --jobs 2
      fill PyTensor's cache; then python script.py finds everything there
  firstgrad precompile script.py:model --sampler nutpie
      what pm.sample() compiles with Numba where nutpie is installed

\b
Exit codes: 0 done; 2 wrong use, or nothing could be compiled; 3 a process or a unit failed; 4 broke off.
"""


@spread
def precompile(
    model: ModelOptions,
    backend: Annotated[BackendName, declare("--backend", "numba or c.")] = BackendName.NUMBA,
    jobs: Annotated[int | None, declare("--jobs", "Processes at once [one a core].", min=1)] = None,
    sampler: Annotated[
        Sampler, declare("--sampler", "The sampler whose function is compiled: pymc or nutpie.")
    ] = Sampler.PYMC,
    time_limit: Annotated[float, declare("--time-limit", "Seconds.")] = 3600.0,
    *,
    output: OutputOptions,
) -> None:
    """Fill PyTensor's cache with a model's log-density and gradient, compiled by several processes at once."""
    from firstgrad.api import precompile as precompile_model
    from firstgrad.show.precompiled import precompile_result

    output.refuse_both()
    try:
        result = precompile_model(
            model.to_model(),
            backend=backend,
            jobs=jobs,
            sampler=sampler,
            time_limit_seconds=time_limit,
            progress=not is_quiet(),
        )
    except KeyboardInterrupt:
        say("firstgrad: interrupted; PyTensor's cache is whole")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finish(precompile_result(result.report, good=ExitCode.GOOD, failed=ExitCode.CASE_FAILED), output)
