"""``firstgrad sample``: a short ``pm.sample``, live, its time split, its divergences counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from firstgrad.case import BackendName, Case, Scenario, Target
from firstgrad.cli.options import ModelOptions, memory_limit_bytes, spread
from firstgrad.sampling import Sampler, SamplingPlan

if TYPE_CHECKING:
    from firstgrad.sampling import SamplingRun

EPILOG = """\b
Examples:
  firstgrad sample pose --timesteps 20 --directions 2 --backend jax
      20 draws after 100 of tuning: compile, tuning, drawing
  firstgrad sample pose --timesteps 20 --directions 2 --backend jax --missing naive
      what NaN gradients do to a sampler
  firstgrad sample mymodel.py:build --sampler nutpie --chains 2
      your own, with nutpie

Nothing is stored: --json writes the run to standard output.

\b
Exit codes: 0 good; 1 the first evaluation is not finite, or a chain never moved (in five draws or more); 2 wrong use;
3 the run failed.
"""

_PANEL = "The sampling"


@spread
def sample(
    model: ModelOptions,
    sampler: Annotated[
        Sampler, typer.Option("--sampler", help="PyMC's own NUTS, or nutpie's.", rich_help_panel=_PANEL)
    ] = Sampler.PYMC,
    backend: Annotated[
        BackendName, typer.Option("--backend", help="What the graph is compiled to.", rich_help_panel=_PANEL)
    ] = BackendName.NUMBA,
    draws: Annotated[int, typer.Option("--draws", min=1, help="After tuning.", rich_help_panel=_PANEL)] = 20,
    tune: Annotated[int, typer.Option("--tune", min=1, help="Draws of tuning.", rich_help_panel=_PANEL)] = 100,
    chains: Annotated[int, typer.Option("--chains", min=1, help="One after the other.", rich_help_panel=_PANEL)] = 1,
    scenario: Annotated[
        Scenario, typer.Option("--scenario", help="cold: empty caches; warm: filled.", rich_help_panel=_PANEL)
    ] = Scenario.COLD,
    target_accept: Annotated[
        float | None, typer.Option("--target-accept", help="Acceptance rate, such as 0.9.", rich_help_panel=_PANEL)
    ] = None,
    sampler_seed: Annotated[
        int, typer.Option("--sampler-seed", min=0, help="Of the sampler; --seed is the data's.", rich_help_panel=_PANEL)
    ] = 0,
    time_limit: Annotated[float, typer.Option("--time-limit", help="Seconds.", rich_help_panel=_PANEL)] = 3600.0,
    memory_limit: Annotated[
        str | None,
        typer.Option("--memory-limit", help="Of the process tree, such as 4GiB.", rich_help_panel=_PANEL),
    ] = None,
    label: Annotated[str, typer.Option("--label", help="Your name for this run.", rich_help_panel=_PANEL)] = "",
    json: Annotated[bool, typer.Option("--json", help="The run as JSON on standard output.")] = False,
) -> None:
    """Sample for a moment: seconds of compile, tuning and drawing, gradient evaluations, divergences."""
    from firstgrad.cli.exit_codes import ExitCode
    from firstgrad.cli.sample_display import show_sampling
    from firstgrad.sampling.launch import sample_case

    case = Case(
        model=model.to_model(),
        backend=backend,
        target=Target.LOGP_DLOGP,
        scenario=scenario,
        evaluations=0,
        time_limit_seconds=time_limit,
        memory_limit_bytes=memory_limit_bytes(memory_limit),
    )
    plan = SamplingPlan(
        sampler=sampler, draws=draws, tune=tune, chains=chains, seed=sampler_seed, target_accept=target_accept
    )
    try:
        with show_sampling(case, plan) as display:
            run = sample_case(case, plan, label=label, on_event=display)
    except KeyboardInterrupt:
        typer.echo("firstgrad: interrupted, nothing is kept", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    _tell(run, json=json)
    raise typer.Exit(sampling_exit_code(run))


def sampling_exit_code(run: SamplingRun) -> int:
    """Say how a sampling run ended."""
    from firstgrad.cli.exit_codes import ExitCode

    if run.failure is not None:
        return ExitCode.CASE_FAILED
    return ExitCode.GOOD if run.is_sound else ExitCode.DIFFERENT


def _tell(run: SamplingRun, *, json: bool) -> None:
    from firstgrad.cli.console import make_console
    from firstgrad.cli.sample_table import show_sampling_run

    if json:
        from firstgrad.codec import to_json

        typer.echo(to_json(run))
    else:
        show_sampling_run(make_console(), run)
