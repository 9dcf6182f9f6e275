"""The headline's tables: every way's medians, and the ratios that the goals are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.headline.sides import GOALS, TURNS, Goal, Quantity, Size, Way
from benchmarks.limit.variants import Measured
from firstgrad.codec import from_json, to_json
from firstgrad.comparing.ratio import estimate_ratio
from firstgrad.doubts import why_unusable
from firstgrad.estimates import estimate_median
from firstgrad.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from benchmarks.headline.sides import Turn
    from firstgrad.record import Record

LABEL = "headline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What firstgrad has no case for: a density by hand, or a bare function as NUTS calls it."""

    way: Way
    size: Size
    quantity: Quantity
    round: int
    started_at: str
    measured: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One number of one process; of an evaluation there are no processor seconds."""

    way: Way
    size: Size
    quantity: Quantity
    round: int
    wall: float
    cpu: float | None = None
    peak_bytes: int = 0


def read_called(path: Path) -> list[Called]:
    """Read what is by hand, one a line; nothing where there is no file."""
    return [from_json(line, Called) for line in path.read_text().splitlines()] if path.exists() else []


def turn_of(record: Record) -> tuple[Turn, Size]:
    """Find what a record is a sample of; raises ValueError where no turn measures it."""
    case = record.case
    pose = case.model.pose
    if pose is not None:
        states = pose.hmm.n_states if pose.hmm else 0
        size = Size(timesteps=pose.n_timesteps, directions=pose.n_directions, states=states)
        for turn in TURNS:
            if not (turn.variant or turn.is_called) and turn.case(size, case.scenario) == case:
                return turn, size
    raise ValueError(f"{case}: no turn of the headline")


def round_of(record: Record) -> int:
    """Read the number of a record's round from its label."""
    return int(record.environment.label.removeprefix(LABEL))


def collect(records: Iterable[Record], called: Iterable[Called]) -> tuple[list[Sample], list[str]]:
    """Take the numbers out of what was measured; with them a line on each sample whose numbers don't count."""
    samples, failures = [], []
    for record in records:
        turn, size = turn_of(record)
        quantity, number = turn.quantity(record.case.scenario), round_of(record)
        if reason := why_unusable(record):
            failures.append(f"{size}, {turn.way}: {quantity}: {' '.join(reason.split())}")
            continue
        if record.window_seconds is None or record.memory is None:
            failures.append(f"{size}, {turn.way}: {quantity}: no time, or no memory")
            continue
        numbers = {"way": turn.way, "size": size, "round": number}
        samples.append(
            Sample(
                **numbers,
                quantity=quantity,
                wall=record.window_seconds,
                cpu=record.window_cpu_seconds,
                peak_bytes=record.memory.peak_rss_bytes,
            )
        )
        if record.evaluation_seconds and quantity is Quantity.FIRST_GRADIENT:
            wall = estimate_median(record.evaluation_seconds).value
            samples.append(Sample(**numbers, quantity=Quantity.EVALUATION, wall=wall))
    for one in called:
        numbers, measured = {"way": one.way, "size": one.size, "round": one.round}, one.measured
        if one.quantity is not Quantity.EVALUATION:
            samples.append(
                Sample(
                    **numbers,
                    quantity=one.quantity,
                    wall=measured.first_gradient_wall_seconds,
                    cpu=measured.first_gradient_cpu_seconds,
                    peak_bytes=measured.peak_rss_bytes,
                )
            )
        if one.quantity is not Quantity.SECOND_GRADIENT:
            samples.append(Sample(**numbers, quantity=Quantity.EVALUATION, wall=measured.evaluation_seconds))
    return samples, failures


def select(samples: Iterable[Sample], way: Way, size: Size, quantity: Quantity) -> list[Sample]:
    """List the samples of a cell, by round."""
    wanted = (one for one in samples if (one.way, one.size, one.quantity) == (way, size, quantity))
    return sorted(wanted, key=lambda one: one.round)


def markdown(samples: Sequence[Sample], failures: Sequence[str], where: str) -> str:
    """Write everything as Markdown."""
    parts = [where]
    for size in sorted({one.size for one in samples}):
        parts += [f"**{size}**", _table(_MEDIANS, _medians(samples, size)), _table(_RATIOS, _ratios(samples, size))]
    if failures:
        parts.append("Not counted:\n\n" + "\n".join(f"- {line}" for line in failures))
    return "\n\n".join(parts)


def summary(samples: Sequence[Sample]) -> str:
    """Write the smallest model's quantities in a table for a first page: without an HMM, then with one."""
    sizes = sorted(
        {one.size for one in samples if one.size.directions == min(each.size.directions for each in samples)}
    )
    rows = []
    for quantity in Quantity:
        of_ways = [[select(samples, way, size, quantity) for size in sizes] for way in _SUMMED]
        sooner = [_ratio(of, over, "wall") if of and over else "" for of, over in zip(*of_ways[:2], strict=True)]
        if any(sooner):
            medians = (" / ".join(map(_bare_median, cells)) if any(cells) else "" for cells in of_ways)
            rows.append((quantity, *medians, " / ".join(sooner)))
    title = f"T={sizes[0].timesteps}, {' / '.join(map(str, sizes))}"
    return _table((title, *(way.partition(" (")[0] for way in _SUMMED), "default over firstgrad"), rows)


def sentences(samples: Sequence[Sample]) -> str:
    """Say of the summary's sizes how firstgrad compares with the default, with JAX by hand and with loops by hand."""
    sizes = sorted(
        {one.size for one in samples if one.size.directions == min(each.size.directions for each in samples)}
    )

    def by_size(quantity: Quantity, of: Way, over: Way) -> str:
        return " and ".join(
            _bare_ratio(select(samples, of, size, quantity), select(samples, over, size, quantity)) for size in sizes
        )

    default, ours = Way.DEFAULT, Way.FIRSTGRAD
    first, second = (by_size(one, default, ours) for one in (Quantity.FIRST_GRADIENT, Quantity.SECOND_GRADIENT))
    draw, next_draw = (by_size(one, default, ours) for one in (Quantity.FIRST_DRAW, Quantity.SECOND_DRAW))
    return (
        f"Without and with the HMM, the first gradient is there {first} times as soon as PyMC's default has it, in a "
        f"second process {second} times; the first draw {draw} times as soon, in a second process {next_draw} times. "
        f"The first gradient takes {by_size(Quantity.FIRST_GRADIENT, ours, Way.BY_HAND)} times as long as the same "
        "density written by hand in JAX. An evaluation takes "
        f"{by_size(Quantity.EVALUATION, ours, default)} times as long as the default's."
    )


def _bare_ratio(of: Sequence[Sample], over: Sequence[Sample]) -> str:
    medians = [estimate_median([one.wall for one in side]).value for side in (of, over)]
    ratio = medians[0] / medians[1]
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}"  # noqa: PLR2004 - two digits say enough


_SUMMED = (Way.DEFAULT, Way.FIRSTGRAD, Way.BY_HAND)


def _bare_median(samples: Sequence[Sample]) -> str:
    return format_seconds(estimate_median([one.wall for one in samples]).value) if samples else ""


_MEDIANS = ("", *Quantity, "peak memory: gradient", "draw")
_RATIOS = ("ratio", "wall", "CPU", "samples", "goal")


def _medians(samples: Sequence[Sample], size: Size) -> list[tuple[str, ...]]:
    """Write a row a way: the median of each quantity, and the peak of those in an empty cache."""
    rows = []
    for way in Way:
        cells = [select(samples, way, size, quantity) for quantity in Quantity]
        if any(cells):
            peaks = (select(samples, way, size, one) for one in (Quantity.FIRST_GRADIENT, Quantity.FIRST_DRAW))
            rows.append((way, *map(_median, cells), *map(_peak, peaks)))
    return rows


def _median(samples: Sequence[Sample]) -> str:
    if not samples:
        return ""
    median = estimate_median([one.wall for one in samples])
    spread = f"{format_seconds(median.low)}, {format_seconds(median.high)}"
    return (
        f"{format_seconds(median.value)} [{spread}]" if len(samples) > 1 else f"{format_seconds(median.value)} (once)"
    )


def _peak(samples: Sequence[Sample]) -> str:
    return format_bytes(round(estimate_median([one.peak_bytes for one in samples]).value)) if samples else ""


def _ratios(samples: Sequence[Sample], size: Size) -> list[tuple[str, ...]]:
    rows = []
    for goal in GOALS:
        of, over = (select(samples, way, size, goal.quantity) for way in (goal.of, goal.over))
        if of and over:
            counts = " / ".join(str(len(one)) for one in (of, over))
            name = f"{goal.quantity}: {goal.of} over {goal.over}"
            cpu = _ratio(of, over, "cpu") if goal.quantity is not Quantity.EVALUATION else ""
            rows.append((name, _ratio(of, over, "wall"), cpu, counts, _bound(goal, size)))
    return rows


def _ratio(of: Sequence[Sample], over: Sequence[Sample], kind: str) -> str:
    """Write the ratio of two ways: paired by round where both have the same rounds."""
    rounds = {one.round for one in of} & {one.round for one in over}
    is_paired = len(rounds) == len(of) == len(over)
    head, base = ([getattr(one, kind) for one in side] for side in (of, over))
    if not is_paired and min(len(of), len(over)) == 1:
        return f"{estimate_median(head).value / estimate_median(base).value:.3g}"
    ratio = estimate_ratio(base, head, paired=is_paired)
    return f"{ratio.value:.3g} [{ratio.low:.3g}, {ratio.high:.3g}]" if ratio.confidence else f"{ratio.value:.3g}"


def _bound(goal: Goal, size: Size) -> str:
    place = size.directions, size.states
    for word, bounds in (("at most", goal.most), ("at least", goal.least)):
        if bounds and place in bounds:
            return f"{word} {bounds[place]:g}"
    return ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_called(called: Iterable[Called]) -> str:
    """Write what `read_called` reads."""
    return "".join(f"{to_json(one)}\n" for one in called)


def describe(records: Sequence[Record]) -> str:
    """Say in a paragraph what was measured, and where."""
    environment = records[0].environment
    host = environment.host
    sizes = sorted({turn_of(record)[1] for record in records})
    days = sorted({record.started_at[:10] for record in records})
    names = ("PyMC", "PyTensor", "Numba", "JAX", "nutpie")
    installed = ", ".join(f"{name} {_version(records, name.lower())}" for name in names)
    return (
        f"Pose model, T={sizes[0].timesteps}, C=3, as loops write it (`per_joint`, unchanged) unless a row says "
        f"otherwise; all ways in turn, every second round backwards, each sample a process of its own. {installed}, "
        f"Python {environment.python}, {host.cores} cores of {host.processor}, {' to '.join(dict.fromkeys(days))}. "
        "Medians with the whole range; ratios with 95% intervals, paired by round where both ways have the same "
        "rounds (*samples*: how many of each). Gradients are with the log-density, from the start of `build` to the "
        "end of the first call; draws from the built model to the first draw of one chain; imports are left out "
        "everywhere. A second process starts with what one like it left, and is proven to have read it. Every gradient "
        "agrees with the oracle. Made by `make headline`."
    )


def _version(records: Sequence[Record], package: str) -> str:
    known = (dict(record.environment.versions).get(package) for record in records)
    return next(filter(None, known), "(not installed)")
