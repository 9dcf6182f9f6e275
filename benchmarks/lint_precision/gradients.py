"""Every example and every model of the catalogue by one call of `fast_gradient`, compared with PyTensor's own gradient.

One process. PyTensor's gradient is evaluated in Python at the start point and one beside it: where it is finite, the
model can be differentiated, and `fast_gradient` shall give the same numbers.
All caches are empty before the first one.

Usage: ``python -m benchmarks.lint_precision.gradients [--only NAME ...]``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
import warnings
from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.lint_precision.run import ROOT, entries
from firstgrad.store.files import write_file

if TYPE_CHECKING:
    from benchmarks.lint_precision.run import Entry

DATA = ROOT / "docs" / "data" / "fast-gradients.json"


def look(entry: Entry) -> dict[str, Any]:
    """Make one model's gradient and compare it."""
    import firstgrad
    from firstgrad.linting.values import Density, fast_run, without_compiler

    model = entry.build()
    with without_compiler(fast_run()):
        point = model.initial_point()
    row: dict[str, Any] = {"model": entry.name, "way": "", "notes": [], "error": "", "difference": None}
    began = time.process_time()
    try:
        gradient = firstgrad.fast_gradient(model, initial_point=point, effort="least")
        row |= {"way": str(gradient.way), "notes": list(gradient.notes)}
    except firstgrad.FirstgradError as error:
        row["error"] = str(error)
    row["seconds"] = round(time.process_time() - began, 2)
    try:
        if row["error"]:
            _, flat = Density(model).gradient(point)
            row["is_differentiable"] = bool(np.isfinite(flat).all())
        else:
            check = firstgrad.check_gradient(gradient, initial_point=point)
            row |= {"is_differentiable": True, "difference": max(check.gradient_difference, check.logp_difference)}
            row["agrees"] = check.agrees
    except Exception as error:  # noqa: BLE001 - told in the table, as whatever a model raises
        row |= {"is_differentiable": False, "reference": f"{type(error).__name__}: {error}"}
    return row


def page() -> str:
    """Write the table: how many by which way, and those that disagree or that nobody differentiates."""
    document = json.loads(DATA.read_text())
    rows = document["models"]
    can = [row for row in rows if row["is_differentiable"]]
    good = [row for row in can if row.get("agrees")]
    seconds = sorted(row["seconds"] for row in good)
    lines = [
        f"{len(rows)} models, {len(can)} of them with a finite gradient by PyTensor; {len(good)} of these "
        f"({len(good) / len(can):.1%}) get the same from one call, in {seconds[len(seconds) // 2]:.2f} CPU s (median; "
        f'at most {seconds[-1]:.1f}; effort="least"). {document["with"]}.',
        "",
        "| way | models | CPU s, median |",
        "| --- | --- | --- |",
    ]
    for way, count in Counter(row["way"] for row in good).most_common():
        of_way = sorted(row["seconds"] for row in good if row["way"] == way)
        lines.append(f"| {way} | {count} | {of_way[len(of_way) // 2]:.2f} |")
    without = [f"`{row['model']}`" for row in rows if not row["is_differentiable"]]
    differ = [f"`{row['model']}`" for row in can if not row.get("agrees")]
    lines += ["", f"Different: {', '.join(differ) or 'none'}. Without a finite gradient: {', '.join(without)}."]
    return "\n".join(lines)


def main() -> None:
    """Go through all of them and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[""], help="models with one of these in their names are done anew")
    given = parser.parse_args()
    os.environ["FIRSTGRAD_CACHE"] = "0"
    os.environ["PYTENSOR_FLAGS"] = f"base_compiledir={tempfile.mkdtemp()}"
    import pymc  # noqa: F401 - imported before the first clock starts

    warnings.simplefilter("ignore")
    rows = []
    for entry in entries():
        if any(one in entry.name for one in given.only):
            rows.append(look(entry))
            row = rows[-1]
            size = row["difference"] if row["difference"] is not None else math.nan
            print(f"{entry.name}: {row['way']} {row['seconds']} s {size:.0e} {row['error'][:150]}", flush=True)
    packages = ", ".join(f"{name} {version(name)}" for name in ("pymc", "pytensor", "jax", "numba"))
    if given.only != [""]:
        anew = {row["model"]: row for row in rows}
        rows = [anew.get(row["model"], row) for row in json.loads(DATA.read_text())["models"]]
    write_file(DATA, f"{json.dumps({'with': packages, 'models': rows}, indent=1)}\n".encode())
    print(page())


if __name__ == "__main__":
    main()
