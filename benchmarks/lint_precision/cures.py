"""Does a cure save what lint estimated? ``python -m benchmarks.lint_precision.cures [--samples 2] [--only NAME]``.

Models of ``examples/cases``, larger than they are there, and of the catalogue, as they are and cured by hand: CPU
seconds to the first gradient with JAX and Numba, cold, both sides in turn, every second round backwards. Beside it what
``lint`` estimates of the model as it is. Writes ``docs/data/lint-cures.json`` after every sample;
``--samples 0`` asks lint anew.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.markers import table_lines
from firstgrad.case import BackendName, Case, Target
from firstgrad.measuring.launch import measure
from firstgrad.model import make_model
from firstgrad.store.files import write_file
from firstgrad.units import format_seconds

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs" / "data" / "lint-cures.json"
SIZES: dict[str, dict[str, int]] = {
    "unrolled_integral": {"panels": 100, "patients": 80},
    "variable_per_cell": {"traps": 12, "weeks": 6},
    "variable_per_pair": {"households": 17},
    "missing_observations": {"fields": 4, "days": 60},
    "spikes_of_each_cell": {},
    "effects_picked_row_by_row": {},
    "answers_filled_in": {},
    "doses_added_up": {},
    "growth_side_by_side": {},
}
"""Those without a size are of ``models_reported.py``."""
WITHOUT_CURE = ("missing_observations",)  # nothing is wrong with it
BACKENDS = (BackendName.JAX, BackendName.NUMBA)


def main() -> None:
    """Measure, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--only", default="", help="situations, with commas; the others' numbers stay")
    given = parser.parse_args()
    document: dict[str, Any] = json.loads(DATA.read_text()) if DATA.exists() else {}
    for name in filter(lambda one: any(part in one for part in given.only.split(",")), SIZES):
        row = document.setdefault(name, {})
        row["size"] = SIZES[name]
        if given.samples:
            row["cpu_seconds"] = {}
        for number in range(given.samples):
            turns = [(side, backend) for backend in BACKENDS for side in sides(name)]
            for side, backend in turns if number % 2 == 0 else reversed(turns):
                take_sample(row, name, side, backend)
                write_file(DATA, f"{json.dumps(document, indent=1)}\n".encode())
        row["estimates"] = estimates(name)
        write_file(DATA, f"{json.dumps(document, indent=1)}\n".encode())
    print(page())


def sides(name: str) -> tuple[str, ...]:
    """Name the ways in which a situation is written."""
    return ("as it is",) if name in WITHOUT_CURE else ("as it is", "cured")


def model_of(name: str, side: str) -> Any:
    """Make the reference of one of them."""
    case = f"{ROOT / 'examples' / 'cases' / name}.py:build"
    reference = case if SIZES[name] else f"{Path(__file__).with_name('models_reported.py')}:{name}"
    return make_model(reference, {**SIZES[name], **({"cured": True} if side == "cured" else {})})


def estimates(name: str) -> list[dict[str, Any]]:
    """Lint the model as it is, and keep what is estimated of it."""
    from firstgrad.linting.launch import lint

    report = lint(model_of(name, "as it is"))
    assert report.failure is None, report.failure
    return [
        {
            "finding": str(finding.name),
            "of_what": estimate.of_what,
            "low_seconds": estimate.low_seconds,
            "high_seconds": estimate.high_seconds,
        }
        for finding in report.findings
        for estimate in finding.estimates
    ]


def take_sample(row: dict[str, Any], name: str, side: str, backend: BackendName) -> None:
    """Measure one sample of one side."""
    case = Case(model=model_of(name, side), backend=backend, target=Target.LOGP_DLOGP, evaluations=0)
    (record,) = measure(case)
    seconds = record.time_to_first_gradient_cpu_seconds
    assert seconds is not None, record.failure
    row["with"] = ", ".join(f"{package} {number}" for package, number in record.environment.versions)
    row["cpu_seconds"].setdefault(str(backend), {}).setdefault(side, []).append(round(seconds, 2))
    print(f"{name} {side} {backend}: {format_seconds(seconds)}", flush=True)


def page() -> str:
    """Write the table: what the cure saves, what was estimated, and the ratio of both."""
    document = json.loads(DATA.read_text())
    rows = []
    for name, row in document.items():
        for backend, seconds in row["cpu_seconds"].items():
            before = statistics.median(seconds["as it is"])
            cells = [name, backend, format_seconds(before)]
            if "cured" in seconds:
                after = statistics.median(seconds["cured"])
                guess = [one for one in row["estimates"] if backend in one["of_what"]]
                low, high = (sum(one[f"{end}_seconds"] for one in guess) for end in ("low", "high"))
                ratio = (low * high) ** 0.5 / (before - after)
                cells += [format_seconds(after), format_seconds(before - after)]
                cells += [f"{format_seconds(low)} to {format_seconds(high)}", f"{ratio:.2f}"] if guess else ["none", ""]
            else:
                cells += ["", "", "nothing found" if not row["estimates"] else "found something", ""]
            rows.append(cells)
    head = ("situation", "backend", "as it is", "cured", "saved", "estimated", "estimate / saved")
    return "\n".join(table_lines(head, rows))


if __name__ == "__main__":
    main()
