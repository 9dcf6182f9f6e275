"""An advice on the terminal: what is wrong first, then the advice, the table, the remedies."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from firstgrad.analysis.advice_words import advice_sentences, alarm_sentences, interval_text
from firstgrad.units import format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from firstgrad.analysis.advice import Advice, ScenarioAdvice
    from firstgrad.analysis.advice_offers import Offer
    from firstgrad.analysis.remedies.base import Finding, Saving
    from firstgrad.cli.advise_samples import Found
    from firstgrad.model import Model


def show_advice(
    console: Console,
    model: Model,
    found: Found,
    advice: Advice,
    findings: Sequence[Finding],
) -> None:
    """Print an advice."""
    for sentence in alarm_sentences(advice):
        console.print(Text(sentence, style="bold red"), soft_wrap=True)
    console.print(Text(str(str(model)), style="bold"), soft_wrap=True)
    workload = advice.workload
    console.print(f"Planned: {workload.evaluations:,} gradient evaluations ({workload.origin}).", soft_wrap=True)
    for line in (*workload.assumptions(), *found.notes):
        console.print(line, soft_wrap=True)
    console.print()
    for sentence in advice_sentences(advice):
        console.print(sentence, soft_wrap=True)
    for each in advice.scenarios:
        console.print(_table(each))
    _show_left_out(console, advice)
    _show_remedies(console, findings)


def _table(advice: ScenarioAdvice) -> Table:
    table = Table(title=f"{advice.scenario} caches, least total first", title_justify="left")
    table.add_column("choice")
    columns = ("samples", "first gradient", "an evaluation", "total, import not", "import beside", "against the first")
    for name in columns:
        table.add_column(name, justify="right")
    ratios = {each.offer.choice: each for each in advice.rivals}
    for offer in advice.offers:
        rival = ratios.get(offer.choice)
        told = "" if rival is None else f"{_times(rival.ratio.value)}{'' if rival.is_beaten else ', undecided'}"
        table.add_row(offer.choice.name, *_cells(offer), told)
    return table


def _cells(offer: Offer) -> tuple[str, ...]:
    option = offer.option
    imports = offer.import_seconds
    return (
        str(len(offer.totals)),
        interval_text(option.first_gradient),
        interval_text(option.evaluation),
        interval_text(offer.total),
        format_seconds(imports.value) if imports else "",
    )


def _times(ratio_of_leader: float) -> str:
    return f"x{1 / ratio_of_leader:.2f}"


def _show_left_out(console: Console, advice: Advice) -> None:
    for each in advice.left_out:
        if not each.is_loud and each.reason != "no samples":
            console.print(f"No numbers: {each.choice.name}, {each.scenario}: {each.reason}", soft_wrap=True)


def _show_remedies(console: Console, findings: Sequence[Finding]) -> None:
    if not findings:
        return
    console.print()
    console.print(Text(f"{format_count(len(findings), 'remedy').replace('remedys', 'remedies')}:", style="bold"))
    for each in findings:
        console.print(Text(f"{each.remedy}: {each.because}", style="bold"), soft_wrap=True)
        if each.instead:
            console.print(f"  gains {each.instead}", soft_wrap=True)
        for saving in each.savings:
            console.print(f"  {saving_sentence(saving)}", soft_wrap=True)
        console.print(f"  how: {each.how}", soft_wrap=True)


def saving_sentence(saving: Saving) -> str:
    """Say what a remedy saves, and how that is known."""
    told = f"{saving.basis}: leaves {saving.ratio} of the {saving.of_what}"
    if not saving.is_sure:
        return f"{told}; these samples do not tell whether that saves anything"
    if saving.seconds is None:
        return told
    value, least, most = saving.seconds
    verb = "saves" if value > 0 else "costs"
    ends = sorted((abs(least), abs(most)))
    return f"{told}, {verb} {format_seconds(abs(value))} [{format_seconds(ends[0])}, {_most(ends[1])}] here"


def _most(seconds: float) -> str:
    return "?" if math.isinf(seconds) else format_seconds(seconds)
