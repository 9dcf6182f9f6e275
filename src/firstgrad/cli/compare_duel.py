"""Judges sides that are measured now: at each look, and at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from firstgrad.cli.compare_measure import describe_ending, measure_sides
from firstgrad.cli.console import make_console

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from firstgrad.analysis.compare import Comparison
    from firstgrad.case import Case
    from firstgrad.cli.compare_measure import Sides
    from firstgrad.cli.compare_options import DuelOptions
    from firstgrad.cli.options import CaseOptions, ModelOptions
    from firstgrad.record import Record
    from firstgrad.row import Row


class Judge(Protocol):
    """`firstgrad.analysis.compare.compare`, with all that the user chose given already."""

    def __call__(
        self,
        records: Sequence[Record],
        base: str,
        head: str,
        *,
        across: Collection[str],
        history: Sequence[Row],
        looks: int,
        key: Callable[[Case], str],
    ) -> Comparison:
        """Compare the records of two labels."""
        ...


def measure_and_judge(
    base: str,
    head: str,
    model: ModelOptions,
    case: CaseOptions,
    duel: DuelOptions,
    *,
    store: str | None,
    across: Collection[str],
    judge: Judge,
) -> Comparison:
    """Measure both sides in rounds, and compare them.

    The cases of the sides may differ, since that may be what is compared; whatever differs between their environments
    is declared as compared, too.

    Parameters
    ----------
    base, head, model, case, duel, store
        As `firstgrad.cli.compare_measure.measure_sides` takes them.
    across : collection of str
        What else may differ.
    judge : Judge
        Compares.

    Raises
    ------
    SpecError, PythonEnvironmentError
        As `measure_sides` does.
    """
    from firstgrad.cli.compare_read import read_history
    from firstgrad.cli.rows import open_store

    rounds, looks = duel.plan()

    def compare(records: Sequence[Record], sides: Sides) -> Comparison:
        with open_store(store) as opened:
            history = read_history(opened, records)
        return judge(
            records,
            sides.base,
            sides.head,
            across=frozenset(across) | sides.across,
            history=history,
            looks=len(looks),
            key=_one_question,
        )

    measured = measure_sides(
        base,
        head,
        model,
        case,
        duel,
        store=store,
        rounds=rounds,
        looks=looks if duel.until_decided else (),
        is_decided=lambda records, sides: compare(records, sides).is_decided,
    )
    make_console(stderr=True).print(f"firstgrad: {describe_ending(measured.summary, duel)}", soft_wrap=True)
    return compare(measured.records, measured.sides)


def choose_key(records: Sequence[Record], base: str, head: str) -> Callable[[Case], str]:
    """Choose by what the cases of two stored sides are matched.

    Returns
    -------
    callable
        Equal cases are; but the labels of sides that were measured together are one question, whatever it is.
    """
    names = {label.partition("@")[2] for label in (base, head)}
    if len(names) == 1 and names != {""}:
        sides = ([each.case.question for each in records if each.environment.label == label] for label in (base, head))
        if all(len(set(questions)) == 1 for questions in sides):
            return _one_question
    return lambda case: case.id


def _one_question(_: Case) -> str:
    return ""
