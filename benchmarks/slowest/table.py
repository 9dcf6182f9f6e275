"""Write the findings' averages of the ten slowest example models over PyTensor releases, from stored records."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from firstgrad.case import Counting
from firstgrad.comparing.comparison import compare
from firstgrad.show.comparison import count_verdicts, overview_parts, sum_up
from firstgrad.show.result import Form, Items, Result, Text, render

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firstgrad.record import Record
    from firstgrad.show.result import Part


def text(records: Sequence[Record]) -> str:
    """Write where it was measured, and for each release and the next one a row a model and the averages."""
    labels = sorted({record.environment.label for record in records})
    parts: list[Part] = [Text(_where(records))]
    for base, head in pairwise(labels):
        parts += _compared(records, base, head)
    return render(Result(parts=parts), Form.MARKDOWN).rstrip("\n")


def _compared(records: Sequence[Record], base: str, head: str) -> Iterator[Part]:
    comparison = compare(records, base, head, across={"pytensor", "numba", "llvmlite"})
    changed = [f"{one.name} {one.base} to {one.head}" for one in comparison.versions if one.base != one.head]
    yield Text((", ".join(changed), ". ", *sum_up(comparison)))
    yield from list(overview_parts(comparison))[1:]  # the averages, without a row a case
    yield Items([f"{line}." for line in count_verdicts(comparison)])


def _where(records: Sequence[Record]) -> str:
    environment = records[0].environment
    plain = sum(record.case.counting is Counting.PLAIN for record in records)
    names = ", ".join(f"{name} {one}" for name, one in environment.packages if name in ("pymc", "jax", "numpy"))
    return (
        f"{plain} samples and {len(records) - plain} that count calls, each a process of its own, on "
        f"{environment.host.cores} cores of {environment.host.processor} with other work on them, "
        f"{min(one.started_at for one in records)[:10]}; Python {environment.python}, {names}."
    )
