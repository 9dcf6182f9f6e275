"""What CI's benchmark jobs do. The same commands work at home.

    .venv/bin/python scripts/ci_benchmarks.py pull-request origin/main HEAD
    .venv/bin/python scripts/ci_benchmarks.py main
    .venv/bin/python scripts/ci_benchmarks.py site

``pull-request`` measures the merge base and the head, interleaved, and ends with asv's and firstgrad's verdict.
``main`` measures the newest commits of ``main`` that have no results yet. Both leave results, asv's pages, the
report and a summary in one folder below ``build/benchmarks``, whatever the verdict; ``site`` joins what ``main``
left there for each tier. ``FIRSTGRAD_TIER`` chooses the tier, ``FIRSTGRAD_ASV_OPTIONS`` adds options to asv's
command (``--bench Jax``).

Exit codes: 0 good; 1 something got worse; 2 a case failed, or a page or a comparison could not be made.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
BENCHMARKS = BUILD / "benchmarks"

MACHINE = "ci"
"""One name for all of CI's machines: theirs change with each run, and asv would begin anew each time."""
FACTOR = "1.1"
"""For all of asv's metrics: of counts and memory it decides alone; seconds must differ beyond their spread, too."""
COMMITS = {"quick": 3}
"""How many commits a run on main looks back, for runs that were left out; one for the tiers that take hours."""
LOOK_BACK = 100
"""How many commits before it are looked at for one to show a commit of main against."""
LONGEST_SECTION = 200_000
"""GitHub takes no summary beyond 1 MiB."""
GOOD, WORSE, FAILED = 0, 1, 2


class CannotRunError(Exception):
    """Nothing was measured; the message says why."""


@dataclass(frozen=True)
class Place:
    """The folder for all that a run leaves."""

    folder: Path

    @property
    def results(self) -> Path:
        """What asv measured, one file a commit."""
        return self.folder / "results"

    @property
    def html(self) -> Path:
        """What asv shows."""
        return self.folder / "html"

    @property
    def store(self) -> Path:
        """Where firstgrad keeps its records."""
        return self.folder / "results.sqlite"

    @property
    def report(self) -> Path:
        """What firstgrad shows."""
        return self.folder / "report.html"

    @property
    def summary(self) -> Path:
        """What CI shows of the run."""
        return self.folder / "summary.md"


@dataclass(frozen=True)
class Ended:
    """How a command ended; `output` is what it printed, where that was caught."""

    code: int
    output: str = ""

    @property
    def verdict(self) -> int:
        """As one of this script's exit codes, of a command that compares."""
        return self.code if self.code in {GOOD, WORSE} else FAILED


def pull_request(base: str, head: str, place: Place) -> int:
    """Measure the merge base and the head in turn, and say whether the head is worse."""
    head = commit_of(head)
    base = git("merge-base", commit_of(base), head)
    if base == head:
        raise CannotRunError(f"{head[:8]} is part of the base: there is nothing to compare")
    # Samples of an earlier run were taken at another time, not in turn with these.
    shutil.rmtree(place.folder, ignore_errors=True)
    with configured(place, branches=["main", head]) as asv:
        run(*asv, "machine", "--yes", "--machine", MACHINE)
        measured = run(
            *(*asv, "continuous", "--interleave-rounds", "--machine", MACHINE, "--factor", FACTOR),
            *(*own_options(), base, head),
        )
        table = compare_by_asv(asv, base, head)
        by_asv = FAILED if table.code else measured.verdict  # asv ends with 1 where it could not run, too
        gate = catch(*firstgrad(), "compare", base, head, "--markdown", "--store", str(place.store))
        pages = make_pages(asv, place)
    summarise(
        place,
        f"## Gradient compilation, {base[:8]} → {head[:8]}",
        f"Tier {tier()}. {told(by_asv)} says asv; {told(gate.verdict)} says firstgrad.",
        gate.output,
        "### asv",
        fenced(table.output) or "Nothing changed.",
        *troubles(pages),
    )
    return max(by_asv, gate.verdict, needed(*pages.values()))


def main_branch(place: Place) -> int:
    """Measure the newest commits of main that have no results yet."""
    ensure_main()
    newest = git("rev-list", "--first-parent", f"--max-count={LOOK_BACK}", "main").split()
    wanted = newest[: COMMITS.get(tier(), 1)]
    place.folder.mkdir(parents=True, exist_ok=True)
    listed = place.folder / "commits.txt"
    listed.write_text("".join(f"{commit}\n" for commit in wanted))
    with configured(place, branches=["main"]) as asv:
        run(*asv, "machine", "--yes", "--machine", MACHINE)
        measured = run(
            *(*asv, "run", "--skip-existing-successful", "--record-samples", "--machine", MACHINE),
            *(*own_options(), f"HASHFILE:{listed}"),
        )
        before = next((commit for commit in newest[1:] if has_results(place, commit)), "")
        table = compare_by_asv(asv, before, newest[0]) if before else Ended(GOOD)
        pages = make_pages(asv, place)
    # Two commits of main were measured on different machines, so that nothing is judged here.
    summarise(
        place,
        f"## Gradient compilation of main, {newest[0][:8]}",
        f"Tier {tier()}. {told(needed(measured))} says asv.",
        *(
            [f"### Against {before[:8]}, perhaps of another machine", fenced(table.output) or "Nothing changed."]
            * bool(before)
        ),
        *troubles(pages),
    )
    return needed(measured, *pages.values())


def site(folder: Path) -> int:
    """Join the pages of all tiers that are there into one folder, to be put on the web."""
    shutil.rmtree(folder, ignore_errors=True)
    links = []
    for html in sorted(BENCHMARKS.glob("*/html")):
        tier_place = Place(html.parent)
        name = tier_place.folder.name
        shutil.copytree(html, folder / name)
        links.append(f'<li><a href="{name}/">{name}: each metric over all commits</a></li>')
        if tier_place.report.exists():
            shutil.copy(tier_place.report, folder / name / "report.html")
            links.append(f'<li><a href="{name}/report.html">{name}: report</a></li>')
    if not links:
        raise CannotRunError(f"{BENCHMARKS}: no pages are there. Run first: scripts/ci_benchmarks.py main")
    (folder / "index.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>firstgrad benchmarks</title>'
        f"<h1>firstgrad benchmarks</h1><ul>{''.join(links)}</ul></html>\n"
    )
    say(f"{folder}: {len(links)} links")
    return GOOD


def tier() -> str:
    """Find the tier that the environment asks for, as the suite does."""
    return os.environ.get("FIRSTGRAD_TIER") or "quick"


def own_options() -> list[str]:
    """Split the options that are to be added to asv's command."""
    return shlex.split(os.environ.get("FIRSTGRAD_ASV_OPTIONS", ""))


def firstgrad() -> list[str]:
    """Begin a command of firstgrad's."""
    return [str(Path(sys.executable).with_name("firstgrad"))]


@contextmanager
def configured(place: Place, *, branches: Sequence[str]) -> Iterator[list[str]]:
    """Begin a command of asv's that keeps everything in the run's folder.

    asv takes branches from its configuration, and shows only commits that are on one of them.
    """
    from asv.util import load_json

    ensure_main()
    known = load_json(str(ROOT / "asv.conf.json"), js_comments=True)
    known |= {"branches": list(branches), "results_dir": str(place.results), "html_dir": str(place.html)}
    place.folder.mkdir(parents=True, exist_ok=True)
    file = ROOT / f".asv-ci-{os.getpid()}.json"  # asv goes to the folder of its configuration
    file.write_text(json.dumps(known))
    os.environ["FIRSTGRAD_STORE"] = str(place.store)
    try:
        yield [sys.executable, "-m", "asv", "--config", str(file)]
    finally:
        file.unlink()


def compare_by_asv(asv: Sequence[str], base: str, head: str) -> Ended:
    """Make asv's table of what changed; `asv continuous` makes none where a case failed."""
    options = ["--only-changed", "--sort", "ratio", "--factor", FACTOR, "--machine", MACHINE]
    return catch(*asv, "compare", *options, base, head)


def make_pages(asv: Sequence[str], place: Place) -> dict[str, Ended]:
    """Make asv's pages and firstgrad's report."""
    report = ["report", "--axis", "commit", "--store", str(place.store), "--output", str(place.report)]
    return {"asv publish": catch(*asv, "publish"), "firstgrad report": catch(*firstgrad(), *report)}


def has_results(place: Place, commit: str) -> bool:
    """Whether asv has results of a commit."""
    return any((place.results / MACHINE).glob(f"{commit[:8]}-*.json"))


def summarise(place: Place, *sections: str) -> None:
    """Write the summary, where CI shows it too."""
    text = "\n\n".join(section.strip() for section in sections if section.strip()) + "\n"
    place.summary.write_text(text)
    if shown := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(shown).open("a") as file:
            file.write(text)
    say(text)


def needed(*ended: Ended) -> int:
    """Judge commands that compare nothing: all of them have to end well."""
    return FAILED if any(each.code for each in ended) else GOOD


def troubles(pages: dict[str, Ended]) -> list[str]:
    """Say which pages could not be made, and why."""
    return [f"**`{name}` failed:**\n\n{fenced(ended.output)}" for name, ended in pages.items() if ended.code]


def told(verdict: int) -> str:
    """Put a verdict into words."""
    return {GOOD: "**Good**", WORSE: "**Worse**"}.get(verdict, "**Failed**")


def fenced(text: str) -> str:
    """Quote what a program printed."""
    text = text.strip("\n")
    if len(text) > LONGEST_SECTION:
        text = f"{text[:LONGEST_SECTION]}\n… and more"
    return f"~~~~text\n{text}\n~~~~" if text.strip() else ""


def ensure_main() -> None:
    """Make a local ``main``, which asv asks for: CI's checkout of a pull request has none."""
    if not git("branch", "--list", "main"):
        git("branch", "main", "origin/main")


def commit_of(name: str) -> str:
    """Find the commit that a name stands for."""
    return git("rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}")


def git(*arguments: str) -> str:
    """Ask git."""
    command = [shutil.which("git") or "git", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        why = done.stderr.strip() or "no answer"
        raise CannotRunError(f"{shlex.join(command)}: {why}. Are all commits here? git fetch --unshallow origin")
    return done.stdout.strip()


def run(*command: str) -> Ended:
    """Run a command whose output goes into the log."""
    say(f"+ {shlex.join(command)}")
    return Ended(subprocess.run(command, cwd=ROOT, check=False).returncode)


def catch(*command: str) -> Ended:
    """Run a command, catching what it prints."""
    say(f"+ {shlex.join(command)}")
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        say(done.stderr)
    return Ended(done.returncode, done.stdout if not done.returncode else done.stdout + done.stderr)


def say(text: str) -> None:
    """Print at once, so that the log has everything in its order."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run_command_line() -> int:
    """Read the command line and run what it asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    compared = verbs.add_parser("pull-request")
    compared.add_argument("base", metavar="BASE")
    compared.add_argument("head", metavar="HEAD")
    verbs.add_parser("main")
    verbs.add_parser("site")
    asked = parser.parse_args()
    try:
        if asked.verb == "pull-request":
            return pull_request(asked.base, asked.head, Place(BENCHMARKS / "pull-request"))
        if asked.verb == "main":
            return main_branch(Place(BENCHMARKS / tier()))
        return site(BUILD / "site")
    except CannotRunError as error:
        sys.stderr.write(f"ci_benchmarks: {error}\n")
        return FAILED


if __name__ == "__main__":
    sys.exit(run_command_line())
