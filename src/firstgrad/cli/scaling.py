"""``firstgrad scaling``: what grows with what, and what one choice costs against another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from firstgrad.analysis.contrasts import Contrast, ContrastCurve
    from firstgrad.analysis.scaling import Growth
    from firstgrad.columns import Column
    from firstgrad.row import Row

HEADLINE_METRICS = (
    "time_to_first_gradient",
    "time_to_first_gradient_cpu",
    "evaluation",
    "peak_memory",
    "nodes",
    "compiled_units",
)
"""What is shown where nothing else is asked for."""

EPILOG = """\b
Examples:
  firstgrad scaling
      every size that varies in the store: exponents, fixed costs, verdicts; HMM against none
  firstgrad scaling --axis timesteps --metric time_to_first_gradient_cpu --label findings
      one question
  firstgrad scaling --from sweep.jsonl --output figures --json
      an export; figures as PNG and SVG; numbers for a program

\b
Exit codes: 0 good; 2 wrong use, or nothing varies.
"""


def scaling(
    axis: Annotated[
        str | None, typer.Option("--axis", metavar="A,B,...", help="Sizes, or nodes [all that vary].")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="Only this metric, or all; may be repeated [six headline ones]."),
    ] = None,
    contrast: Annotated[
        str, typer.Option("--contrast", metavar="A,B,...", help="hmm, algorithm, formulation, scenario, or none.")
    ] = "hmm",
    label: Annotated[str | None, typer.Option("--label", help="Only records of this label.")] = None,
    store: Annotated[str | None, typer.Option("--store", help="File or URL [.firstgrad/results.sqlite].")] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="FILE.jsonl", help="An export, instead of a store.")
    ] = None,
    output: Annotated[str | None, typer.Option("--output", metavar="FOLDER", help="Figures go there.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Laws and ratios as JSON.")] = False,
) -> None:
    """Fit growth laws to what sweeps measured: exponent, fixed cost, verdict, cliffs; HMM against none."""
    from pathlib import Path

    from firstgrad.analysis.scaling import find_growth
    from firstgrad.cli.metrics import choose_metrics
    from firstgrad.cli.rows import read_rows
    from firstgrad.cli.scaling_rows import ScalingDocument, growth_rows, ratio_rows

    rows = read_rows(store, source, label=label)
    axes = _axes(rows, axis)
    metrics = choose_metrics(metric or list(HEADLINE_METRICS))
    growths = find_growth(rows, axes, metrics)
    contrasts = _find_contrasts(rows, axes, metrics, _contrasts(contrast))
    if json:
        from firstgrad.codec import to_json

        typer.echo(to_json(ScalingDocument(laws=growth_rows(growths), ratios=ratio_rows(contrasts))))
    else:
        from firstgrad.cli.console import make_console
        from firstgrad.cli.scaling_table import show_scaling

        show_scaling(make_console(), growths, contrasts)
    if output is not None:
        for path in _draw(growths, contrasts, Path(output)):
            typer.echo(path, err=json)


def _axes(rows: Sequence[Row], given: str | None) -> tuple[str, ...]:
    from firstgrad.analysis.slices import NODES, find_axes
    from firstgrad.errors import SpecError

    known = find_axes(rows)
    if given is None:
        if not known:
            raise SpecError(
                "--axis", f"no size varies in these {len(rows)} samples. Measure some: firstgrad sweep --tier quick"
            )
        return known
    wanted = tuple(part.strip() for part in given.split(","))
    for name in wanted:
        if name not in (*known, NODES):
            raise SpecError("--axis", f"{name!r} doesn't vary here. There are {', '.join((*known, NODES))}")
    return wanted


def _contrasts(given: str) -> tuple[Contrast, ...]:
    from firstgrad.analysis.contrasts import Contrast
    from firstgrad.errors import SpecError

    if given == "none":
        return ()
    try:
        return tuple(Contrast(part.strip()) for part in given.split(","))
    except ValueError:
        raise SpecError("--contrast", f"expected some of {', '.join(Contrast)}, or none, got {given!r}") from None


def _find_contrasts(
    rows: Sequence[Row], axes: Sequence[str], metrics: Sequence[Column], contrasts: Sequence[Contrast]
) -> list[ContrastCurve]:
    """Find the ratios along each size; of a choice that was measured at single sizes only, along the first."""
    from firstgrad.analysis.contrasts import find_contrasts

    found: list[ContrastCurve] = []
    for contrast in contrasts:
        curves = [each for axis in axes for each in find_contrasts(rows, axis, metrics, [contrast])]
        found += curves or find_contrasts(rows, axes[0], metrics, [contrast], least_sizes=1)
    return found


def _draw(growths: Sequence[Growth], contrasts: Sequence[ContrastCurve], folder: Path) -> list[Path]:
    from firstgrad.show.growth import growth_pictures, ratio_pictures
    from firstgrad.show.style import save_figure

    return [
        path
        for picture in (*growth_pictures(growths), *ratio_pictures(contrasts))
        for path in save_figure(picture.draw(), folder, picture.name, description=picture.description)
    ]
