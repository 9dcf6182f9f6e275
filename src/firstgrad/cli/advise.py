"""``firstgrad advise``: within its time budget, which sampler and backend cost least for what is planned."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstgrad.advising.workload import DRAWS, TUNE, Counted, Workload
from firstgrad.case import MOST_SAMPLES, BackendName, Sampler, Target
from firstgrad.cli.console import PICTURES, ExitCode, OutputOptions, open_store, say, show, shown
from firstgrad.cli.options import ModelOptions, declare, spread
from firstgrad.errors import SpecError
from firstgrad.units import require_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.advising.answer import AdviceAnswer, AdvicePlan
    from firstgrad.linting.finding import LintReport
    from firstgrad.model import Model

EPILOG = """\b
Examples:
  firstgrad advise mymodel.py:build --draws 2000
      within three minutes: which sampler has its first draw and all of its draws soonest, and what to type
  firstgrad advise mymodel.py:build --time-budget none
      every sampler and backend to the end, three samples each, cold and warm
  firstgrad advise pose --evaluations 20000
      gradients alone: every installed backend, both formulations, cold and warm
  firstgrad advise pose --evaluations 20000 --from docs/data/growth.jsonl --output advice.png
      from an export; the chart as a file

\b
Exit codes: 0 good; 1 a choice gives wrong or infinite gradients or draws; 2 wrong use; 3 no choice has numbers; 4 broke
off; 130 interrupted.
"""
_SAMPLING = ("draws", "tune", "chains", "cores", "leapfrog")


_plan = functools.partial(declare, panel="What is planned")
_samples = functools.partial(declare, panel="The samples")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviseOptions:
    """What is planned, and from which samples."""

    draws: Annotated[int | None, _plan("--draws", f"Draws of each chain after tuning [{DRAWS}].", min=0)] = None
    tune: Annotated[int | None, _plan("--tune", f"Tuning draws of each chain [{TUNE}].", min=0)] = None
    chains: Annotated[int | None, _plan("--chains", "Number of chains [--cores, at least 2].", min=1)] = None
    cores: Annotated[int | None, _plan("--cores", "Chains at a time [this machine's, at most 4].", min=1)] = None
    leapfrog: Annotated[float | None, _plan("--leapfrog", "Leapfrog steps a draw [those that a short run takes].")] = (
        None
    )
    evaluations: Annotated[int | None, _plan("--evaluations", "Plan gradient evaluations instead of draws.", min=1)] = (
        None
    )
    sampler: Annotated[str | None, _samples("--sampler", "Only these [all installed].", metavar="A,B,...")] = None
    backend: Annotated[str | None, _samples("--backend", "Only these [all installed].", metavar="A,B,...")] = None
    target: Annotated[Target | None, _samples("--target", "[first_draw; dlogp with --evaluations.]")] = None
    timed: Annotated[
        int, _samples("--timed", "Draws of the short run after the first draw, half of them tuning.", min=0)
    ] = 100
    samples: Annotated[int, _samples("--samples", "Samples of each choice.", min=1, max=MOST_SAMPLES)] = 3
    no_measure: Annotated[bool, _samples("--no-measure", "Measure nothing; use stored samples.")] = False
    time_budget: Annotated[
        str, _samples("--time-budget", "Time limit for everything, such as 90s; 0: use stored samples; none: no limit.")
    ] = "3m"
    time_limit: Annotated[float, _samples("--time-limit", "Seconds after which a sample is stopped.")] = 3600.0
    store: Annotated[str | None, _samples("--store", "File or database URL [.firstgrad/results.sqlite].")] = None
    source: Annotated[str | None, _samples("--from", "An export, instead of measuring.", metavar="FILE.jsonl")] = None
    output: Annotated[
        str | None, declare("--output", text="Draw the chart into this file, .png or .svg.", metavar="FILE")
    ] = None

    def to_workload(self) -> Workload:
        """Make what is planned; raises SpecError naming the options that don't fit together."""
        from firstgrad.measuring.environment import host_fingerprint

        given = {name: value for name in _SAMPLING if (value := getattr(self, name)) is not None}
        if self.evaluations is None:
            planned = Workload.of_sampling(here=host_fingerprint().cores, **given)
            return planned if self.chosen_target is Target.FIRST_DRAW else planned.in_evaluations()
        if given:
            listed = ", ".join(f"--{name}" for name in given)
            raise SpecError(listed, "says what --evaluations says: give one of them")
        if self.chosen_target is Target.FIRST_DRAW:
            raise SpecError("--target", "first_draw is for draws: leave --evaluations out")
        return Workload(evaluations=self.evaluations)

    def check(self) -> None:
        """Refuse what doesn't go together, before anything is measured; raises SpecError naming the options."""
        if self.source is not None and self.store is not None:
            raise SpecError("--store, --from", "give one of them")
        if self.store == "none":
            raise SpecError(
                "--store", "what is measured is kept, so that the next advice need not measure it: give a file"
            )
        self.budget_seconds  # noqa: B018 - refuses what is no duration
        require_count("--timed", self.timed, least=0)
        if self.output is not None and Path(self.output).suffix not in PICTURES:
            raise SpecError("--output", f"expected a file that ends in {' or '.join(PICTURES)}, got {self.output!r}")

    @property
    def chosen_target(self) -> Target:
        """What is waited for: the gradient for a number of them, else the first draw."""
        return self.target or (Target.DLOGP if self.evaluations is not None else Target.FIRST_DRAW)

    @property
    def budget_seconds(self) -> float | None:
        """The time budget; none where there is to be no end. Raises SpecError where it is no duration."""
        from firstgrad.advising.answer import parse_budget

        return parse_budget(self.time_budget)

    def to_plan(
        self,
        model: Model,
        workload: Workload,
        *,
        backends: Sequence[BackendName],
        samplers: Sequence[Sampler],
        target: Target,
    ) -> AdvicePlan:
        """List what may be chosen; raises SpecError where a name is none, or nothing is left."""
        from firstgrad.advising.answer import AdvicePlan
        from firstgrad.advising.samples import list_wanted, list_wanted_draws

        limit = min(self.time_limit, self.budget_seconds or self.time_limit)
        backends = _chosen("--backend", self.backend, BackendName, backends)
        if target is not Target.FIRST_DRAW:
            ways = list_wanted(model, backends, target=target, time_limit_seconds=limit)
        else:
            samplers = _chosen("--sampler", self.sampler, Sampler, samplers)
            ways = list_wanted_draws(
                model, backends, samplers, workload=workload, timed=self.timed, time_limit_seconds=limit
            )
        if not ways:
            raise SpecError("--sampler, --backend", "none of these samplers takes one of these backends")
        return AdvicePlan(workload=workload, ways=ways, samples=self.samples, budget_seconds=self.budget_seconds)


def _chosen[Name: (BackendName, Sampler)](
    option: str, given: str | None, kind: type[Name], installed: Sequence[Name]
) -> tuple[Name, ...]:
    """Choose among those that can be measured, or are in the export."""
    if given is None:
        if not installed:
            raise SpecError(option, "none is available here. See: firstgrad doctor")
        return tuple(installed)
    known = {str(name): name for name in kind if str(name) != Sampler.AUTO}
    try:
        return tuple(dict.fromkeys(known[part.strip()] for part in given.split(",")))
    except KeyError:
        raise SpecError(option, f"expected some of {', '.join(known)}, got {given!r}") from None


@spread
def advise(model: ModelOptions, options: AdviseOptions, out: OutputOptions) -> None:
    """Say, within a time budget, what is slow in the model, which sampler is first, and what to type."""
    from firstgrad.show.advice import advice_result

    out.refuse_both()
    options.check()
    workload, described = options.to_workload(), model.to_model()
    answer = (_from_export if options.source else _from_store)(described, options, workload)
    result = advice_result(answer)
    show(result, out)
    if options.output is not None and answer.advice.scenarios:
        from firstgrad.show.style import write_picture
        from firstgrad.show.totals import advice_picture

        write_picture(advice_picture(answer.advice), options.output)
        say(options.output, out=not (out.json or out.markdown))
    raise typer.Exit(result.exit_code)


def _from_export(model: Model, options: AdviseOptions, workload: Workload) -> AdviceAnswer:
    """Take the samples of an export: first draws, else those of one chain, else those of gradients, and say which."""
    from firstgrad.advising.answer import conclude
    from firstgrad.advising.samples import from_export, with_frozen
    from firstgrad.store import import_jsonl

    source = str(options.source)
    records = list(import_jsonl(source))
    tries = [(workload, options.chosen_target, "")]
    if workload.counted is Counted.DRAWS:
        alone = f"These samples are of one chain; {workload.cores} at a time may wait for each other."
        tries.append((replace(workload, cores=1, chains=1), Target.FIRST_DRAW, alone))
        if options.target is None and workload.leapfrog is not None:
            missing = (
                "No first draws are among these samples, so this is about gradients ({target}): what a sampler "
                "compiles in addition, and its own time, are missing."
            )
            targets = (Target.LOGP_DLOGP, Target.DLOGP)
            tries += [(workload.in_evaluations(), target, missing.format(target=target)) for target in targets]
    for planned, target, note in tries:
        plan = options.to_plan(model, planned, backends=tuple(BackendName), samplers=tuple(Sampler)[1:], target=target)
        samples = from_export(records, with_frozen(plan.ways), source)
        if samples.records:
            known = {record.case.backend for record in samples.records}
            there = tuple(case for case in plan.ways if options.backend or case.backend in known)
            workload = workload if planned.counted is Counted.DRAWS else planned
            notes = (*samples.notes, note) if note else samples.notes
            return conclude(replace(plan, ways=there, workload=workload), replace(samples, notes=notes))
    others = sorted({str(record.case.target) for record in records if record.case.model == model})
    hint = f". It has {', '.join(others)}: ask with --target, or --evaluations" if others else ""
    raise SpecError("--from", f"{source} has no samples of this model, target {options.chosen_target}{hint}")


def _from_store(model: Model, options: AdviseOptions, workload: Workload) -> AdviceAnswer:
    from firstgrad.advising.answer import conclude, make_answer
    from firstgrad.advising.samples import from_store, installed_backends, installed_samplers, with_frozen
    from firstgrad.show.display import show_race
    from firstgrad.store import Keeper

    plan = options.to_plan(
        model, workload, backends=installed_backends(), samplers=installed_samplers(), target=options.chosen_target
    )
    if options.no_measure:
        with open_store(options.store) as store:
            return conclude(plan, from_store(store, with_frozen(plan.ways)))

    def display(*race: Any) -> Any:
        return shown(show_race(options.budget_seconds, *race))

    try:
        with Keeper(options.store) as keeper:
            return make_answer(plan, keeper, show=display, look=_look)
    except KeyboardInterrupt:
        say(
            "firstgrad: interrupted. What was measured is kept: the same command goes on from there, and with "
            "--no-measure it advises from what is there"
        )
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _look(plan: AdvicePlan) -> LintReport | None:
    from firstgrad.advising.answer import look_at_graph
    from firstgrad.show.display import show_progress

    with shown(show_progress(f"{plan.model}, lint")) as display:
        return look_at_graph(plan, display)
