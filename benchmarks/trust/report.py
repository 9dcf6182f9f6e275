"""What the trials of all judges said: as data, as plain text, and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.markers import table_lines
from benchmarks.trust.proportion import Proportion
from benchmarks.trust.trials import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """One judge, at the default number of rounds.

    Attributes
    ----------
    name : str
        Of the tool and its rule.
    windows, disjoint, drawn : Tally
        Nothing changed: all windows of consecutive rounds, those that share nothing, rounds drawn again.
    slower_5, slower_10 : Tally
        Planted: HEAD's seconds times 1.05 and 1.10, rounds drawn again.
    really_slower : Tally, optional
        HEAD did more work.
    """

    name: str
    windows: Tally
    disjoint: Tally
    drawn: Tally
    slower_5: Tally
    slower_10: Tally
    really_slower: Tally | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UntilDecided:
    """``--until-decided`` with one planted factor (1: nothing changed)."""

    factor: float
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """How often a planted factor is found with so many rounds."""

    tool: str
    factor: float
    rounds: int
    found: Proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustReport:
    """All of it.

    Attributes
    ----------
    where : str
        Machine, date, versions and case, in a sentence.
    rounds, default_rounds : int
        How many were measured, and how many a comparison takes.
    drift : float
        Correlation of the logarithms of a round's mean CPU time with the next one's: 0 for a quiet machine.
    noise, paired_noise : float
        Robust standard deviation of the logarithms of single CPU times, and of the differences within rounds.
    real_factor : tuple of float, optional
        How much costlier the slower side is, by all its rounds: value, low, high.
    tools : tuple of ToolResult
        firstgrad first.
    until_decided : tuple of UntilDecided
        firstgrad's.
    curve : tuple of CurvePoint
        By tool, factor and rounds.
    """

    where: str
    rounds: int
    default_rounds: int
    drift: float
    noise: float
    paired_noise: float
    real_factor: tuple[float, float, float] | None
    tools: tuple[ToolResult, ...]
    until_decided: tuple[UntilDecided, ...]
    curve: tuple[CurvePoint, ...]


def to_markdown(report: TrustReport) -> str:
    """Write what was measured, and a table each of the tools, of ``--until-decided`` and of power by rounds."""
    return "\n\n".join(("\n".join(part) if not isinstance(part, str) else part) for part in _parts(report))


def to_text(report: TrustReport) -> str:
    """Write the same for a terminal: tables with columns as wide as they need to be."""
    return "\n\n".join(part if isinstance(part, str) else "\n".join(_aligned(part)) for part in _parts(report))


def _parts(report: TrustReport) -> Iterator[str | list[str]]:
    yield (
        f"{report.where} {report.rounds} rounds. A CPU time scatters by {report.noise:.1%}, its ratio within a round "
        f"by {report.paired_noise:.1%}; rounds are correlated with the next ones by {report.drift:+.2f}. A comparison "
        f"takes {report.default_rounds} rounds where nothing else is said. Brackets are exact 95% intervals (Clopper "
        "and Pearson); windows that share rounds aren't independent, so theirs are too narrow."
    )
    yield _tools(report.tools)
    if report.real_factor is not None:
        value, low, high = report.real_factor
        yield (
            f"*Really slower*: HEAD's factory does more work; by all its rounds together its CPU time is {value:.3f} "
            f"times BASE's [{low:.3f}, {high:.3f}]."
        )
    yield _until(report.until_decided)
    yield _curve(report.curve)


def _tools(tools: Sequence[ToolResult]) -> list[str]:
    has_real = any(each.really_slower is not None for each in tools)
    first = tools[0]
    head = [
        "alarm on the CPU time",
        f"A against A, measured ({first.windows.time.trials})",
        f"of these, disjoint ({first.disjoint.time.trials})",
        f"A against A, drawn ({first.drawn.time.trials:,})",
        "the same, any gating metric",
        f"found: +5% ({first.slower_5.time.trials:,})",
        f"found: +10% ({first.slower_10.time.trials:,})",
        *(["found: really slower"] if has_real else []),
    ]
    rows = [
        [
            each.name,
            *map(str, (each.windows.time, each.disjoint.time, each.drawn.time, each.drawn.any_metric)),
            *map(str, (each.slower_5.time, each.slower_10.time)),
            *([str(each.really_slower.time) if each.really_slower else ""] if has_real else []),
        ]
        for each in tools
    ]
    return table_lines(head, rows)


def _until(found: Sequence[UntilDecided]) -> list[str]:
    head = ["firstgrad compare --until-decided", "trials", "alarm on the CPU time", "rounds, median", "rounds, 90%"]
    rows = [
        [
            "nothing changed" if each.factor == 1 else f"+{each.factor - 1:.0%}",
            f"{each.tally.time.trials:,}",
            str(each.tally.time),
            _rounds(each.tally.rounds_median),
            _rounds(each.tally.rounds_90),
        ]
        for each in found
    ]
    return table_lines(head, rows)


def _curve(points: Sequence[CurvePoint]) -> list[str]:
    lengths = sorted({each.rounds for each in points})
    found = {(each.tool, each.factor, each.rounds): each.found.value for each in points}
    keys = dict.fromkeys((each.factor, each.tool) for each in points)
    rows = [
        [
            "nothing" if factor == 1 else f"+{factor - 1:.0%}",
            tool,
            *(f"{found[tool, factor, length]:.1%}" if (tool, factor, length) in found else "" for length in lengths),
        ]
        for factor, tool in keys
    ]
    return table_lines(["planted", "alarms with so many rounds", *map(str, lengths)], rows)


def _rounds(number: float | None) -> str:
    return "" if number is None else f"{number:g}"


def _aligned(table: Sequence[str]) -> Iterator[str]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    widths = [max(len(row[place]) for row in cells if row[place] != "---") for place in range(len(cells[0]))]
    for row in cells:
        filled = ("-" * width if cell == "---" else cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(filled).rstrip()
