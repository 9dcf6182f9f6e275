"""What the page opens with, in sentences: what is wrong, what changed, what takes longest and why, what to do next.

They come in the order of their importance, with their numbers, and say of how much they are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from firstgrad.case import BackendName, Scenario, Target
from firstgrad.columns import Unit, first_metric, metric_named
from firstgrad.comparing.judge import ComparisonVerdict
from firstgrad.estimates import estimate_median
from firstgrad.phase import Phase
from firstgrad.record import Doubt, Status, Verdict
from firstgrad.show.comparison import short_sides
from firstgrad.show.lines import CASE, CONTRADICTED, FAILED, FIRST, WRONG, case_of, longest_phase
from firstgrad.show.result import Span
from firstgrad.show.suites import mean_over_models
from firstgrad.show.words import capitalised, listed, shown, write_command, write_estimate, write_value
from firstgrad.units import format_bytes, format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd

    from firstgrad.case import Case
    from firstgrad.comparing.comparison import CaseComparison, Comparison
    from firstgrad.comparing.judge import MetricComparison
    from firstgrad.estimates import Estimate
    from firstgrad.show.result import Inline

MOST_SENTENCES = 8
_MOST_NAMED, _LEAST_SHARED = 3, 2
_LONGEST_NAME, _LONGEST_REASON = 100, 160
_VERDICTS = {
    Verdict.AGREES: "agree with the oracle",
    Verdict.NO_ORACLE: "are of models that have no oracle, and were found finite",
    Verdict.DREW: "drew finite values",
    Verdict.UNCHECKED: "were not checked",
}
_ONE = "The one case that both have"
_BETTER = (ComparisonVerdict.FASTER, ComparisonVerdict.SMALLER, ComparisonVerdict.REPAIRED)
_FAILURES, _DOUBTS = Span("Failures", link="#failures"), Span("Doubts", link="#doubts")


def answers(
    samples: pd.DataFrame, rows: pd.DataFrame, comparison: Comparison | None, words: Mapping[str, str]
) -> list[Inline]:
    """Say what a reader needs first, of prepared samples, the table's rows, and what changed between two sides.

    `words` has of conditions what tells them apart, as `firstgrad.show.cases.tell_conditions`.
    """
    rows = rows.assign(measured_with=rows["conditions"].map(lambda conditions: words.get(conditions, "")))
    timed = [*rows[rows[FIRST] > 0].sort_values(FIRST, ascending=False, kind="stable").itertuples()]
    sentences: list[Inline] = [*_tell_wrong(samples, rows)]
    if comparison is not None:
        sentences += _tell_changes(comparison)
    if timed:
        slowest = timed[0]
        sentences.append(_tell_slowest(slowest, len(timed)))
        sentences += _tell_caches(timed)
        sentences += _tell_means(timed)
        sentences += _tell_next(timed, slowest)
    sentences += _tell_doubts(samples)
    return sentences[:MOST_SENTENCES]


def _name(line: Any) -> Span:
    """Name a row's case in one line, with its conditions where others are there."""
    return _code(", ".join(filter(None, (_name_case(case_of(line)), line.measured_with))))


def _name_case(case: Case) -> str:
    wanted = "" if case.target is Target.DLOGP else case.wanted
    return shown(", ".join(filter(None, (str(case.model), case.compiled_by, wanted, case.scenario))), _LONGEST_NAME)


def _code(text: str) -> Span:
    return Span(text, is_verbatim=True)


# --- what is wrong --------------------------------------------------------------------------------------------------


def _tell_wrong(samples: pd.DataFrame, rows: pd.DataFrame) -> Iterator[Inline]:
    cases, statuses = format_count(len(rows), "case"), Counter(samples["status"])
    failed, wrong = (rows[rows["gravity"] == gravity] for gravity in (FAILED, WRONG))
    if len(failed):
        what = f"Samples of {len(failed):,} of {cases} failed: "
        yield what, *_name_worst(failed, samples), ". The last lines of their output are under ", _FAILURES, "."
    if len(wrong):
        what = f"The gradient of {len(wrong):,} of {cases} is wrong or not finite: "
        yield what, *_name_worst(wrong, samples), *_offer(wrong, "check", ". In which line it goes wrong, ", " says")
    stopped = statuses[Status.TIMEOUT] + statuses[Status.OUT_OF_MEMORY]
    spoilt = [
        f"a limit of time or memory stopped {format_count(stopped, 'sample')}",
        f"the caches of {format_count(statuses[CONTRADICTED], 'sample')} contradict the scenario",
    ]
    spoilt = [text for text in spoilt if " 0 samples" not in text]
    if spoilt:
        yield f"{capitalised(listed(spoilt))}: see ", _FAILURES, "."
    if not (len(failed) or len(wrong) or spoilt):
        verdicts = Counter(samples["verdict"])
        checks = [f"{verdicts[verdict]:,} {words}" for verdict, words in _VERDICTS.items() if verdicts[verdict]]
        looked_at = f"{format_count(len(samples), 'sample')} of {cases}"
        yield f"Nothing failed and no gradient is wrong in {looked_at}: {listed(checks)}."


def _name_worst(bad: pd.DataFrame, samples: pd.DataFrame) -> Iterator[str | Span]:
    """Name the first few cases, each with the reason of its newest sample that has one."""
    spoilt = samples[samples["reason"] != ""].sort_values("started_at", kind="stable")
    reasons = spoilt.groupby(CASE)["reason"].last().to_dict()
    for place, line in enumerate(bad[:_MOST_NAMED].itertuples()):
        reason = reasons.get((line.case, line.conditions), line.doubts.replace("_", " "))
        pieces: list[str | Span] = [", "] * bool(place)
        yield from (*pieces, _name(line), " (", _code(shown(reason, _LONGEST_REASON)), ")")
    if len(bad) > _MOST_NAMED:
        yield f" and {len(bad) - _MOST_NAMED:,} more"


def _offer(rows: pd.DataFrame, verb: str, before: str, after: str) -> tuple[str | Span, ...]:
    """Name the command that tells more of the first of these rows, and end the sentence."""
    command = write_command(verb, case_of(next(rows.itertuples())))
    return (before, _code(command), f"{after}.") if command else (".",)


def _tell_doubts(samples: pd.DataFrame) -> Iterator[Inline]:
    doubts = samples["doubts"].str.replace(Doubt.COUNTED, "").str.split()
    if doubted := int(doubts.map(bool).sum()):
        most, _ = Counter(name for names in doubts for name in names).most_common(1)[0]
        have = "has" if doubted == 1 else "have"
        what = f"{doubted:,} of {format_count(len(samples), 'sample')} {have} a doubt, most often {most}"
        yield f"{what}: what to do stands under ", _DOUBTS, "."


# --- what changed ---------------------------------------------------------------------------------------------------


def _tell_changes(comparison: Comparison) -> Iterator[Inline]:
    """Say which cases are worse on HEAD than on BASE, the worst first, or that none is."""
    at, *names = short_sides(comparison)
    base, head = (_code(shown(name)) for name in names)
    compared = [case for case in comparison.cases if case.is_compared]
    if not compared:
        return
    worse = [case for case in compared if case.verdict is ComparisonVerdict.FAILED or _grown(case)]
    worse.sort(key=lambda case: not case.is_alarm)  # else as they come, the worst first
    sides = (f" {at} ", head, f" than {at} ", base)
    link = Span("what changed", link="#comparison")
    of = format_count(len(compared), "case")
    if not worse:
        better = sum(case.verdict in _BETTER for case in compared)
        more = f"; {better:,} {'is' if better == 1 else 'are'} better" if better else ""
        undecided = sum(not case.is_decided for case in compared)
        of_them = f"the times of {undecided:,}" if len(compared) > 1 else "its times"
        more += f"; {of_them} are undecided" if undecided else ""
        none = f"None of {of} is worse beyond its threshold" if len(compared) > 1 else f"{_ONE} is no worse"
        yield none, *sides, f"{more}: see ", link, f".{_tell_mean(comparison)}"
        return
    how_many = f"{len(worse):,} of {of} {'is' if len(worse) == 1 else 'are'}" if len(compared) > 1 else f"{_ONE} is"
    pieces: list[str | Span] = [f"{how_many} worse", *sides, ": "]
    for place, case in enumerate(worse[:_MOST_NAMED]):
        pieces += (*["; "] * bool(place), _code(_name_case(case.case)), " ", _tell_worst(case))
    more = f"; and {len(worse) - _MOST_NAMED:,} more" if len(worse) > _MOST_NAMED else ""
    yield *pieces, f"{more}. See ", link, f".{_tell_mean(comparison)}"


def _grown(case: CaseComparison) -> list[MetricComparison]:
    """List what grew beyond its threshold, and the times that grew, which are no gate."""
    whole = [metric for metric in case.metrics if not metric.is_explaining and metric.ratio is not None]
    return [one for one in whole if one.is_alarm or (one.verdict.is_growth and one.unit is Unit.SECONDS)]


def _tell_mean(comparison: Comparison) -> str:
    """Say how the time to the target changed over all models."""
    firsts = {first_metric(target).name for target in Target}
    means = [mean for mean in comparison.means if mean.metric in firsts]
    if not means:
        return ""
    mean = max(means, key=lambda one: one.ratio.samples)
    about = f" ({mean.asked})" if len(means) > 1 else ""
    what = f"The {metric_named(mean.metric).title} of {mean.ratio.samples:,} models{about}"
    return f" {what} is {_write_mean(mean.ratio)} times that before (geometric mean)."


def _tell_worst(case: CaseComparison) -> str:
    """Say what grew most of a case: of alarms, where there are any."""
    if case.verdict is ComparisonVerdict.FAILED:
        return f"fails ({shown(case.reason, _LONGEST_REASON)})"
    metric = max(_grown(case), key=lambda one: (one.is_alarm, one.ratio.value if one.ratio else 0.0))
    growth = f"takes {metric.ratio.value:.3g} times the {metric_named(metric.metric).title}" if metric.ratio else ""
    if metric.base is None or metric.head is None:
        return growth
    base, head = (write_value(metric.unit, side.median) for side in (metric.base, metric.head))
    return f"{growth} ({base} before, {head} now)"


# --- what takes longest ---------------------------------------------------------------------------------------------


def _tell_slowest(line: Any, of: int) -> Inline:
    """Say which case takes longest, in which phase, and what that works on."""
    name = first_metric(Target(line.target)).title
    time = write_estimate(Unit.SECONDS, estimate_median(line.first_gradients))
    what = f"The longest {name} of {format_count(of, 'case')} is {time}: " if of > 1 else f"The {name} is {time}: "
    longest = longest_phase(line)
    if longest is None:
        return what, _name(line), "."
    phase, seconds = longest
    share = min(seconds / getattr(line, FIRST), 1.0)
    return (
        what,
        _name(line),
        f". {share:.0%} of it ({format_seconds(seconds)}) is the phase {phase}{_tell_work(line, phase)}.",
    )


def _tell_work(line: Any, phase: Phase) -> str:
    """Say how much a phase had to do, as far as that is known."""
    work = []
    if phase in (Phase.LINK, Phase.FIRST_CALL, Phase.WRAPPERS, Phase.OTHER_FUNCTIONS):
        if line.compiled_units > 0:
            work.append(f"{format_count(round(line.compiled_units), 'unit')} to compile")
        if line.code_bytes > 0:
            work.append(f"{format_bytes(line.code_bytes)} of machine code")
    if phase is Phase.REWRITE and line.nodes_before > 0:
        work.append(f"{line.nodes_before:,.0f} nodes, of which rewriting makes {line.nodes:,.0f}")
    elif line.nodes > 0:
        work.append(f"a graph of {line.nodes:,.0f} nodes")
    return f", with {listed(work)}" if work else ""


def _tell_caches(timed: Sequence[Any]) -> Iterator[Inline]:
    """Say how much sooner the slowest case is with filled caches, of those that were measured both ways."""
    by_scenario = _side_by_side(timed, lambda case: (replace(case, scenario=Scenario.COLD), case.scenario))
    pairs = [known for known in by_scenario.values() if {Scenario.COLD, Scenario.WARM} <= known.keys()]
    if not pairs:
        return
    slowest = pairs[0]
    which = "it" if timed[0] in slowest.values() else _name(slowest[Scenario.COLD])
    warm, cold = (format_seconds(_seconds(slowest[scenario])) for scenario in (Scenario.WARM, Scenario.COLD))
    both = [[known[scenario] for scenario in (Scenario.COLD, Scenario.WARM)] for known in pairs]
    ratios = [(cold.reference, _seconds(cold) / _seconds(warm)) for cold, warm in both]
    mean = f"{_write_mean(mean_over_models(ratios))} times sooner (geometric mean)"
    of_all = f"; of the {len(pairs):,} cases that were measured with both, {mean}" if len(pairs) > 1 else ""
    yield "With filled caches ", which, f" is {warm} instead of {cold}{of_all}."


def _write_mean(mean: Estimate, write: Callable[[float], str] = "{:.3g}".format) -> str:
    interval = f" [{write(mean.low)}, {write(mean.high)}]" if mean.low < mean.high else ""
    return f"{write(mean.value)}{interval}"


def _tell_means(timed: Sequence[Any]) -> Iterator[Inline]:
    """Put backends beside each other by geometric means over the cases that all of them have; or tell that of a suite.

    Of several sets of conditions the newest is taken, of scenarios cold where there is that.
    """
    newest = max(timed, key=lambda line: line.newest)
    timed = [line for line in timed if line.target == timed[0].target]
    scenario = next(scenario for scenario in Scenario if scenario in {line.scenario for line in timed})
    by_backend = _side_by_side(
        [line for line in timed if line.scenario == scenario and line.conditions == newest.conditions],
        lambda case: (replace(case, backend=BackendName.FAKE, device="", gradient_backend=None), case.compiled_by),
    )
    names = [name for name, _ in Counter(name for known in by_backend.values() for name in known).most_common()]
    named = [(key[0].model.reference, known) for key, known in by_backend.items()]
    for most in range(len(names), 0, -1):  # all of them, else without the rarest
        names = names[:most]
        shared = [(model, known) for model, known in named if {*names} <= known.keys()]
        if len(shared) >= _LEAST_SHARED:
            break
    if len(shared) < _LEAST_SHARED or (len(names) == 1 and len({model for model, _ in shared}) == 1):
        return
    means = {name: mean_over_models((model, _seconds(known[name])) for model, known in shared) for name in names}
    ordered = sorted(means.items(), key=lambda one: one[1].value)
    by_name = listed([f"{_write_mean(mean, format_seconds)} by {name}" for name, mean in ordered])
    at, title = f" ({newest.measured_with})" if newest.measured_with else "", first_metric(Target(newest.target)).title
    yield f"The geometric mean of the {title} of {len(shared):,} {scenario} cases{at} is {by_name}."


def _side_by_side[K](
    timed: Sequence[Any], split: Callable[[Case], tuple[Case, K]]
) -> dict[tuple[Case, str], dict[K, Any]]:
    """Sort lines by what they have in common and their conditions, then by what `split` tells apart."""
    sides: dict[tuple[Case, str], dict[K, Any]] = {}
    for line in timed:
        common, side = split(case_of(line))
        sides.setdefault((common, line.conditions), {}).setdefault(side, line)
    return sides


def _seconds(line: Any) -> float:
    return float(getattr(line, FIRST))


def _tell_next(timed: Sequence[Any], slowest: Any) -> Iterator[Inline]:
    """Say what to type next about the slowest case, and what was not measured yet."""
    case = case_of(slowest)
    offers = [("profile", case, "tells line by line where that time goes")]
    offers.append(("lint", case, "names the lines to write differently"))
    if not any(line.scenario == Scenario.WARM for line in timed):
        offers.append(("measure", replace(case, scenario=Scenario.WARM), "tells what a second process still waits for"))
    elif len({line.backend for line in timed}) == 1:
        offers.append(("advise", case, "tells which sampler and backend is done first"))
    commands = [(write_command(verb, asked), what) for verb, asked, what in offers]
    if commands[0][0]:
        pieces = [piece for command, what in commands for piece in ("; ", _code(command), f" {what}")][1:]
        yield "Next: ", *pieces, "."
