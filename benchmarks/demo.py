"""``make demo``: the pose model's first gradient on this machine, HMM off and on, in a few minutes.

JAX at the default size, and C at the smallest: a cold compile of the default model takes C and Numba minutes, which
is the point of the whole program, but not of a demonstration.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from firstgrad.case import BackendName, Case
from firstgrad.cli.console import ExitCode, say
from firstgrad.errors import StoreError
from firstgrad.estimates import estimate_median
from firstgrad.measuring.launch import measure
from firstgrad.model import as_model
from firstgrad.pose.spec import Formulation, HmmAlgorithm, HmmSpec, Likelihood, PoseSpec
from firstgrad.record import Status
from firstgrad.show.bars import phases_picture
from firstgrad.show.display import show_progress
from firstgrad.show.records import failure_parts, record_parts
from firstgrad.show.result import make_console, print_parts
from firstgrad.show.style import save_picture
from firstgrad.store import DEFAULT_PATH, Keeper
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from firstgrad.record import Record

TIME_LIMIT_SECONDS = 240.0


def demo_cases() -> list[Case]:
    """List the demonstration's cases: two backends, each with the HMM off and on.

    JAX at the default size; beside it C, or Numba where there is no C++ compiler, at the smallest size: their cold cost
    follows the number of distinct kernels, hardly the size.
    """
    other = BackendName.C if shutil.which("g++") else BackendName.NUMBA
    small = PoseSpec(
        n_timesteps=4,
        n_directions=1,
        n_cameras=1,
        formulation=Formulation.VECTORISED,
        likelihood=Likelihood.GAUSSIAN,
    )
    cases = []
    for backend, spec, algorithm in (
        (BackendName.JAX, PoseSpec(), HmmAlgorithm.SCAN),
        (other, small, HmmAlgorithm.UNROLLED),
    ):
        for hmm in (None, HmmSpec(n_states=2, algorithm=algorithm)):
            model = as_model(replace(spec, hmm=hmm))
            cases.append(Case(model=model, backend=backend, time_limit_seconds=TIME_LIMIT_SECONDS))
    return cases


def main() -> None:
    """Measure the cases, print their tables, draw the figure."""
    console = make_console()
    if not shutil.which("g++"):
        console.print("No g++ here, so the C backend is skipped and Numba takes its place: apt-get install g++")
    plots = Path("plots")
    records: list[Record] = []
    unkept: StoreError | None = None
    try:
        with Keeper() as keeper:
            for case in demo_cases():
                with show_progress(str(case)) as display:
                    for record in measure(case, label="demo", on_event=display):
                        records.append(record)
                        print_parts(console, record_parts(record))
                        keeper.keep(record)
    except StoreError as error:  # after what was measured, which is shown all the same
        unkept = error
    good = [record for record in records if record.status is Status.OK]
    if good:
        console.print(_summary(good))
        png, _ = save_picture(phases_picture(good, "demo"), plots)
        console.print(f"Figure: {png} (and .svg beside it). Records: {DEFAULT_PATH}", soft_wrap=True)
    _say_what_next(console)
    failed = [record for record in records if record.status is not Status.OK]
    for record in failed:
        print_parts(console, failure_parts(record))
    if unkept is not None:
        say(f"firstgrad: {unkept}")
        sys.exit(ExitCode.WRONG_USE)
    sys.exit(1 if failed else 0)


def _summary(records: Sequence[Record]) -> Table:
    table = Table(title="Time to first gradient, cold", title_justify="left")
    table.add_column("model")
    table.add_column("backend")
    for name in ("first gradient", "longest phase", "evaluation", "peak memory", "verdict"):
        table.add_column(name, justify="right")
    for record in records:
        whole = record.time_to_first_gradient_seconds or 0.0
        longest = record.longest_phase
        table.add_row(
            str(record.case.model),
            record.case.backend,
            format_seconds(whole),
            f"{longest.phase} {longest.wall_seconds / whole:.0%}",
            format_seconds(estimate_median(record.evaluation_seconds).value),
            format_bytes(record.memory.peak_rss_bytes) if record.memory else "",
            record.check.verdict,
        )
    return table


def _say_what_next(console: Console) -> None:
    console.print(
        "\nNext, the full picture (minutes each, with live progress):\n"
        "  .venv/bin/firstgrad measure pose --backend numba --scenario cold      PyMC's default backend, from nothing\n"
        "  .venv/bin/firstgrad measure pose --backend numba --scenario warm      and with its cache filled\n"
        "  .venv/bin/firstgrad measure pose --backend c --hmm                    the C backend, with the HMM\n"
        "  .venv/bin/firstgrad check pose --missing naive                        a gradient full of NaN, by group\n"
        "  .venv/bin/firstgrad measure mymodel.py:build                          your own model",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
