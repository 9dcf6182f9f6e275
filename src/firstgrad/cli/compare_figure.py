"""The forest plot of a comparison, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from firstgrad.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.analysis.compare import Comparison

_KINDS = (".png", ".svg")
_SHOWN = ("time_to_first_gradient", "evaluation")


def check_output(output: str) -> None:
    """Refuse a file that is no picture, before anything is read or measured; raises SpecError."""
    if Path(output).suffix not in _KINDS:
        raise SpecError("--output", f"expected a file that ends in {' or '.join(_KINDS)}, got {output!r}")


def write_figure(comparison: Comparison, output: str, metrics: Sequence[str] = ()) -> None:
    """Draw a comparison's ratios into a file.

    Parameters
    ----------
    comparison : Comparison
        What to draw.
    output : str
        The file, PNG or SVG by its ending; one that is there is replaced.
    metrics : sequence of str
        Which; the time to first gradient and the evaluation time where none is given.

    Raises
    ------
    SpecError
        Where there is nothing to draw, or the file can't be written.
    """
    from firstgrad.figures.forest import describe_forest, draw_forest
    from firstgrad.show.style import firstgrad_style

    check_output(output)
    path = Path(output)
    wanted = tuple(metrics) or _SHOWN
    try:
        figure, description = draw_forest(comparison, wanted), describe_forest(comparison, wanted)
    except ValueError as error:
        raise SpecError("--output", str(error)) from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with firstgrad_style():
            figure.savefig(path, metadata={"Description": description})
    except OSError as error:
        raise SpecError(
            "--output", f"{path} cannot be written ({error.strerror or error}). Give another path"
        ) from error
