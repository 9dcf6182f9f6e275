"""Remake all that README and the pages of docs take from docs/data, without measuring: ``python -m benchmarks.pages``.

What stands between the markers of a page is a block. A page's numbers are made here, and nowhere else; a test asks
that running this changes nothing, and that no block names an older release than the pinned one without saying why.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import growth, nan_sampling
from benchmarks.attack import run as attack
from benchmarks.batching import compare as batching
from benchmarks.batching import other_backends
from benchmarks.bundles import run as bundles
from benchmarks.compile_memory import table as compile_memory
from benchmarks.contamination import run as contamination
from benchmarks.figures import finiteness
from benchmarks.first_draw import table as first_draw
from benchmarks.first_gradient import table as first_gradient
from benchmarks.headline import table as headline
from benchmarks.headline.table import Called, read_called
from benchmarks.limit import table as limit
from benchmarks.limit.variants import Setup, read_measured
from benchmarks.lint_precision import cures, gradients
from benchmarks.lint_precision import run as lint_precision
from benchmarks.markers import write_between_markers
from benchmarks.needless import run as needless
from benchmarks.overhead import kept as overhead
from benchmarks.precompile import run as precompile
from benchmarks.releases import table as releases
from benchmarks.sampling import run as sampling
from benchmarks.side_by_side import run as side_by_side
from benchmarks.slowest import table as slowest
from benchmarks.spread import run as spread
from benchmarks.trust import counts
from benchmarks.trust.report import TrustReport
from benchmarks.trust.report import to_markdown as trust_text
from benchmarks.ways import run as ways
from firstgrad.codec import from_json
from firstgrad.show.records import record_parts
from firstgrad.show.result import Form, Result, render
from firstgrad.store import import_jsonl

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.record import Record

ROOT = Path(__file__).parents[1]
DATA = ROOT / "docs" / "data"


class Releases(StrEnum):
    """Which package releases a block may name."""

    NEWEST = "newest"  # none older than the pinned ones
    COMPARED = "compared"  # it compares releases, or is of an old report
    OLDER = "older"  # it takes too long to measure again with each release, and names the one it is of


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two markers of a page."""

    page: str
    name: str
    make: Callable[[], str]
    releases: Releases = Releases.NEWEST

    @property
    def path(self) -> Path:
        """The page's file."""
        return ROOT / self.page


@cache
def _records(name: str) -> tuple[Record, ...]:
    return tuple(import_jsonl(DATA / f"{name}.jsonl"))


def _json(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text())


@cache
def _headline() -> tuple[list[headline.Sample], list[str]]:
    return headline.collect(_records("headline"), _called())


def _called() -> list[Called]:
    return read_called(DATA / "headline-called.ndjson")


def _limit() -> str:
    stored = _json("limit")
    keys = ("variant", "n_states", "is_warm")
    found = {
        Setup(**{key: one[key] for key in keys}): list(map(read_measured, one["samples"])) for one in stored["setups"]
    }
    return limit.markdown(found, stored["where"])


def _ways() -> str:
    stored = _json("ways")
    return ways.markdown([ways.Called(**one) for one in stored["samples"]], stored["about"])


def _origin() -> str:
    of = "The report's model (16 groups, 2313 values; the last row: missed points masked after the arithmetic)"
    return first_gradient.table(list(_records("origin")), of, "benchmarks/origin/run.py")


def _memory() -> str:
    samples = compile_memory.read_samples(DATA / "compile-memory.json")
    return compile_memory.markdown(samples, compile_memory.describe(samples))


def _tutorial() -> str:
    (record,) = _records("tutorial")
    return f"```\n{render(Result(parts=tuple(record_parts(record))), Form.TERMINAL, width=118).strip()}\n```"


def _slowest() -> str:
    return slowest.text(sorted(_records("slowest"), key=lambda record: record.started_at))


FINDINGS, POSE, HOW_TO, METHOD, SECURITY = (
    f"docs/{name}.md" for name in ("findings", "pose-model", "how-to", "method", "security")
)
BLOCKS = (
    Block("README.md", "headline", lambda: headline.summary(_headline()[0])),
    Block("README.md", "overhead", lambda: overhead.sentence(_json("overhead"))),
    Block(FINDINGS, "headline", lambda: f"{headline.sentences(_headline()[0])}\n\n{headline.summary(_headline()[0])}"),
    Block(FINDINGS, "first-gradient", lambda: first_gradient.table(list(_records("first-gradient")))),
    Block(FINDINGS, "batching", lambda: batching.table(_json("batching"))),
    Block(FINDINGS, "batching-backends", lambda: other_backends.table(_json("batching-backends"))),
    Block(FINDINGS, "fast-gradients", gradients.page),
    Block(FINDINGS, "precompile", lambda: precompile.table(_json("precompile"))),
    Block(FINDINGS, "first-draw-summary", lambda: first_draw.sentences(_records("first-draw"))),
    Block(FINDINGS, "first-draw", lambda: first_draw.markdown(_records("first-draw")), Releases.COMPARED),
    Block(FINDINGS, "ways", _ways),
    Block(FINDINGS, "sampling", lambda: sampling.sentences(_json("sampling"))),
    Block(FINDINGS, "nan-sampling", lambda: nan_sampling.table(_json("nan-sampling"))),
    Block(FINDINGS, "side-by-side", lambda: side_by_side.markdown(_json("side-by-side"))),
    Block(FINDINGS, "bundles", lambda: bundles.table([bundles.Row(**row) for row in _json("bundles")])),
    Block(FINDINGS, "writers", lambda: bundles.shared_table([bundles.Shared(**row) for row in _json("writers")])),
    Block(
        FINDINGS,
        "contamination",
        lambda: contamination.table(contamination.read(DATA / "contamination.ndjson")),
        Releases.COMPARED,
    ),
    Block(FINDINGS, "compile-memory", _memory, Releases.COMPARED),
    Block(FINDINGS, "lint-cures", cures.page),
    Block(FINDINGS, "lint-precision", lint_precision.page),
    Block(
        FINDINGS,
        "releases",
        lambda: f"{releases.sentences(_records('releases'))}\n\n{releases.text(_records('releases'))}",
        Releases.COMPARED,
    ),
    Block(FINDINGS, "slowest", _slowest, Releases.COMPARED),
    Block(POSE, "origin", _origin, Releases.COMPARED),
    Block(POSE, "finiteness", lambda: finiteness.sentence(_records("finiteness"))),
    Block(POSE, "headline-whole", lambda: headline.markdown(*_headline(), headline.describe(_records("headline")))),
    Block(POSE, "growth", lambda: growth.text(_records("growth")), Releases.OLDER),
    Block("docs/tutorial.md", "tutorial", _tutorial),
    Block(HOW_TO, "trace-loop", lambda: needless.page_blocks()["trace-loop"]),
    Block(FINDINGS, "needless", lambda: needless.page_blocks()["needless"]),
    Block(METHOD, "overhead", lambda: overhead.table(_json("overhead"))),
    Block(METHOD, "trust-counts", lambda: counts.to_markdown(counts.judge(r := _records("trust-counts")), r)),
    Block(METHOD, "trust", lambda: trust_text(from_json((DATA / "trust-report.json").read_text(), TrustReport))),
    Block(METHOD, "spread", lambda: spread.make_table(_json("spread"))),
    Block(POSE, "limit", _limit),
    Block(SECURITY, "attack", lambda: attack.to_markdown(_json("attack"))),
)


def main() -> None:
    """Write every block into its page."""
    for block in BLOCKS:
        write_between_markers(block.path, block.name, block.make())


if __name__ == "__main__":
    main()
