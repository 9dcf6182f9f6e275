"""Fill PyTensor's Numba cache by one release, compute with another: which entries are used, and is the result right.

PyTensor names an entry of its Numba cache after the graph and a version that each operation's author keeps by hand, not
after its own release. So a release may take what another one compiled. Each filler's cache is copied for each runner;
what a runner computes is compared with the oracle. Numba itself ignores entries of another Numba release, and another
PyMC writes another graph: both are the same in all environments, as after ``pip install --upgrade pytensor``.

Usage: ``python -m benchmarks.contamination.run [--releases 3.3.3 ... 3.3.8] [--output docs/data/contamination.ndjson]
[--only-table]``; environments are kept in .firstgrad/envs (a minute each), then some
20 minutes on an idle machine; again: goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.limit.run import ROOT
from firstgrad.case import BackendName, Case, Scenario, Target
from firstgrad.comparing.places import make_ready, read_side
from firstgrad.measuring.launch import run_sample
from firstgrad.measuring.private import PrivateCaches
from firstgrad.pose.spec import PoseSpec

SPEC = PoseSpec(n_timesteps=3, n_directions=1)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What a runner took from a filler's cache, and what the oracle says of its results."""

    filled_by: str
    run_by: str
    read: int
    written: int
    verdict: str
    failure: str = ""
    answer: str = ""
    pymc: str = ""
    numba: str = ""


def case(scenario: Scenario) -> Case:
    """Make the case: log-density and gradient by Numba."""
    return Case(
        model=SPEC, backend=BackendName.NUMBA, target=Target.LOGP_DLOGP, scenario=scenario, evaluations=0,
        time_limit_seconds=600.0,
    )  # fmt: skip


def measure(releases: list[str], beside: str, output: Path) -> None:
    """Fill by each, run by each; what is in the output already isn't measured again."""
    done = {(cell.filled_by, cell.run_by) for cell in read(output)}
    with ExitStack() as stack:
        places = {}
        for release in releases:
            request = read_side(f"pytensor=={release}{beside}")
            places[release] = make_ready(request, [case(Scenario.COLD)], stack=stack, tell=print)
        for filler in releases:
            left = [runner for runner in releases if (filler, runner) not in done]
            if not left:
                continue
            with PrivateCaches() as private:
                filled = run_sample(case(Scenario.COLD), private, interpreter=places[filler])
                private.save()
                for runner in left:
                    private.restore()
                    record = filled.failure and filled  # then no runner has anything to use
                    record = record or run_sample(case(Scenario.WARM), private, interpreter=places[runner])
                    use, versions = record.caches, dict(record.environment.versions)
                    cell = Cell(
                        filled_by=filler,
                        run_by=runner,
                        read=use.entries_read if use else 0,
                        written=use.entries_written if use else 0,
                        verdict=str(record.check.verdict),
                        failure=record.failure.message if record.failure else "",
                        answer=record.check.answer_digest,
                        pymc=versions.get("pymc", ""),
                        numba=versions.get("numba", ""),
                    )
                    with output.open("a") as file:
                        file.write(json.dumps(asdict(cell)) + "\n")
                    print(cell, flush=True)


def read(output: Path) -> list[Cell]:
    """Read what was measured."""
    lines = output.read_text().splitlines() if output.exists() else []
    return [Cell(**json.loads(line)) for line in lines]


def table(cells: list[Cell]) -> str:
    """Write a row a filler and a column a runner, and below it what all pairs come to."""
    releases = sorted({cell.run_by for cell in cells}, key=lambda release: [int(part) for part in release.split(".")])
    known = {(cell.filled_by, cell.run_by): cell for cell in cells}
    lines = [f"| filled by, then run by | {' | '.join(releases)} |", f"|{' --- |' * (len(releases) + 1)}"]
    for filler in releases:
        row = [_describe(known.get((filler, runner))) for runner in releases]
        lines.append(f"| {filler} | {' | '.join(row)} |")
    return "\n".join([*lines, "", _summary(cells, len(releases) ** 2)])


def _summary(cells: list[Cell], pairs: int) -> str:
    own = {cell.run_by: cell.answer for cell in cells if cell.filled_by == cell.run_by}
    others = [cell for cell in cells if cell.filled_by != cell.run_by and not cell.failure]
    shares = sorted(100 * cell.read / (cell.read + cell.written) for cell in others if cell.written)
    unlike = sum(cell.answer != own.get(cell.run_by, cell.answer) for cell in others)
    agree = sum(cell.verdict == "agrees" for cell in cells)
    return (
        f"Of {len(others)} pairs of two releases, {sum(not cell.written for cell in others)} read all they needed; "
        f"the others read {shares[0]:.0f}% to {shares[-1]:.0f}% of their units. Of {pairs} pairs {len(cells)} were "
        f"measured, and {agree} results agree with the oracle; {unlike} differ in their last bits from what the runner "
        "computes with its own cache."
    )


def _describe(cell: Cell | None) -> str:
    if cell is None:
        return "not measured"
    if cell.failure:
        return f"fails: {cell.failure.splitlines()[0][:60]}"
    used = f"{cell.read} read, {cell.written} compiled"
    return used if cell.verdict == "agrees" else f"**{cell.verdict}**: {used}"


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--releases", nargs="+", default=["3.3.3", "3.3.4", "3.3.5", "3.3.6", "3.3.7", "3.3.8"])
    parser.add_argument("--beside", default="+numba==0.67.0+pymc==6.3.2", help="what all environments have besides")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "data" / "contamination.ndjson")
    parser.add_argument("--only-table", action="store_true")
    given = parser.parse_args()
    if not given.only_table:
        measure(given.releases, given.beside, given.output)
    print(table(read(given.output)))


if __name__ == "__main__":
    main()
