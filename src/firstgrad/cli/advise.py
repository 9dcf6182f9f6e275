"""``firstgrad advise``: which backend and formulation cost least for what is planned, and what else would help."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstgrad.advise.workload import CHAINS, DRAWS, LEAPFROG, TUNE, Workload
from firstgrad.case import MOST_SAMPLES, BackendName, Target
from firstgrad.cli.console import PICTURES, ExitCode, OutputOptions, open_store, say, show
from firstgrad.cli.options import ModelOptions, declare, spread
from firstgrad.errors import SpecError
from firstgrad.units import parse_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from firstgrad.advise.samples import AdviceSamples
    from firstgrad.case import Case
    from firstgrad.model import Model

EPILOG = """\b
Examples:
  firstgrad advise pose --evaluations 20000
      measures what is not stored yet: every installed backend, both formulations, cold and warm
  firstgrad advise mymodel.py:build --chains 4 --tune 1000 --draws 1000 --leapfrog 15 --cores 4
      your own model, and the number of evaluations as sampling makes it
  firstgrad advise pose --evaluations 20000 --from docs/data/growth.jsonl --output advice.png
      from an export; the chart as a file

\b
Exit codes: 0 good; 1 a choice gives wrong or infinite gradients; 2 wrong use; 3 no choice has numbers; 4 broke off;
130 interrupted.
"""
_SAMPLING = ("chains", "tune", "draws", "leapfrog", "cores")


_plan = functools.partial(declare, panel="What is planned")
_samples = functools.partial(declare, panel="The samples")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviseOptions:
    """How many gradient evaluations are planned, and from which samples."""

    evaluations: Annotated[int | None, _plan("--evaluations", "Gradient evaluations that you plan.", min=1)] = None
    chains: Annotated[int | None, _plan("--chains", f"Or: chains [{CHAINS}].", min=1)] = None
    tune: Annotated[int | None, _plan("--tune", f"Tuning draws of each [{TUNE}].", min=0)] = None
    draws: Annotated[int | None, _plan("--draws", f"Draws of each after tuning [{DRAWS}].", min=0)] = None
    leapfrog: Annotated[
        float | None,
        _plan(
            "--leapfrog",
            text=f"Leapfrog steps a draw, on average [{LEAPFROG:g}: the pose model's]; firstgrad sample counts them.",
        ),
    ] = None
    cores: Annotated[int | None, _plan("--cores", "Chains at a time [1: one after the other].", min=1)] = None
    backend: Annotated[str | None, _samples("--backend", "Only these [all installed].", metavar="A,B,...")] = None
    target: Annotated[Target | None, _samples("--target", "[dlogp with --evaluations, else logp_dlogp, as NUTS.]")] = (
        None
    )
    samples: Annotated[int, _samples("--samples", "Of each choice.", min=1, max=MOST_SAMPLES)] = 3
    no_measure: Annotated[bool, _samples("--no-measure", "Only what is stored.")] = False
    time_budget: Annotated[str | None, _samples("--time-budget", "For measuring what is missing, such as 30m.")] = None
    time_limit: Annotated[float, _samples("--time-limit", "Seconds after which a sample is stopped.")] = 3600.0
    store: Annotated[str | None, _samples("--store", "File or database URL [.firstgrad/results.sqlite].")] = None
    source: Annotated[str | None, _samples("--from", "An export, instead of measuring.", metavar="FILE.jsonl")] = None
    output: Annotated[str | None, declare("--output", text="The chart goes there: .png or .svg.", metavar="FILE")] = (
        None
    )

    def to_workload(self) -> Workload:
        """Make what is planned; raises SpecError naming the options that don't fit together."""
        given = {name: value for name in _SAMPLING if (value := getattr(self, name)) is not None}
        if self.evaluations is None:
            return Workload.of_sampling(**given)
        if given:
            listed = ", ".join(f"--{name}" for name in given)
            raise SpecError(listed, "says what --evaluations says: give one of them")
        return Workload(evaluations=self.evaluations)

    def to_backends(self, installed: Sequence[BackendName]) -> tuple[BackendName, ...]:
        """Choose the backends, of those that can be measured or are in the export; raises SpecError."""
        if self.backend is None:
            if not installed:
                raise SpecError("--backend", "none is available here. See: firstgrad doctor")
            return tuple(installed)
        try:
            return tuple(dict.fromkeys(BackendName(part.strip()) for part in self.backend.split(",")))
        except ValueError:
            raise SpecError("--backend", f"expected some of {', '.join(BackendName)}, got {self.backend!r}") from None

    def check(self) -> None:
        """Refuse what doesn't go together, before anything is measured; raises SpecError naming the options."""
        if self.source is not None and self.store is not None:
            raise SpecError("--store, --from", "give one of them")
        if self.store == "none":
            raise SpecError("--store", "what is measured is kept, so that the next advice needs no time: give a file")
        self.budget_seconds  # noqa: B018 - refuses what is no duration
        if self.output is not None and Path(self.output).suffix not in PICTURES:
            raise SpecError("--output", f"expected a file that ends in {' or '.join(PICTURES)}, got {self.output!r}")

    @property
    def chosen_target(self) -> Target:
        """What is compiled: the gradient for a number of them, value and gradient for a sampling run."""
        return self.target or (Target.DLOGP if self.evaluations is not None else Target.LOGP_DLOGP)

    @property
    def budget_seconds(self) -> float | None:
        """The time budget; none where none was given. Raises SpecError where it is no duration."""
        if self.time_budget is None:
            return None
        try:
            return parse_seconds(self.time_budget)
        except SpecError as error:
            raise SpecError("--time-budget", str(error)) from error

    def wanted(self, model: Model, installed: Sequence[BackendName], target: Target | None = None) -> tuple[Case, ...]:
        """List what may be chosen."""
        from firstgrad.advise.samples import list_wanted

        limit = min(self.time_limit, self.budget_seconds or self.time_limit)
        return list_wanted(
            model, self.to_backends(installed), target=target or self.chosen_target, time_limit_seconds=limit
        )


@spread
def advise(model: ModelOptions, options: AdviseOptions, out: OutputOptions) -> None:
    """Say which backend and formulation take the least time for N gradient evaluations, and what else would help."""
    from firstgrad.advise.advice import find_offers, make_advice
    from firstgrad.advise.remedies import find_remedies
    from firstgrad.advise.situation import Situation, load_evidence, look_around
    from firstgrad.show.advice import advice_document, advice_parts
    from firstgrad.show.result import Result

    out.refuse_both()
    options.check()
    workload, described = options.to_workload(), model.to_model()
    wanted, samples = _from_export(described, options) if options.source else _from_store(described, options)
    advice = make_advice(find_offers(samples.records, wanted, workload), workload)
    situation = Situation(
        model=described,
        records=samples.records,
        advice=advice,
        surroundings=look_around(),
        evidence=load_evidence(),
    )
    told = described, samples, advice, find_remedies(situation)
    code = ExitCode.GOOD if advice.scenarios else ExitCode.CASE_FAILED
    result = Result(
        parts=list(advice_parts(*told)),
        document=advice_document(*told),
        exit_code=ExitCode.DIFFERENT if advice.alarms else code,
    )
    show(result, out)
    if options.output is not None and advice.scenarios:
        from firstgrad.show.style import write_picture
        from firstgrad.show.totals import advice_picture

        write_picture(advice_picture(advice), options.output)
        say(options.output, out=not (out.json or out.markdown))
    raise typer.Exit(result.exit_code)


def installed_backends() -> tuple[BackendName, ...]:
    """List the backends that can be measured here: their package, or the compiler, is there."""
    from firstgrad.measure.environment import backend_version

    return tuple(name for name in BackendName if backend_version(name))


def _from_export(model: Model, options: AdviseOptions) -> tuple[tuple[Case, ...], AdviceSamples]:

    from firstgrad.advise.samples import from_export
    from firstgrad.store import import_jsonl

    source = str(options.source)
    records = list(import_jsonl(source))
    wanted = options.wanted(model, tuple(BackendName))
    samples = from_export(records, wanted, source)
    if not samples.records and options.target is None and options.chosen_target is Target.LOGP_DLOGP:
        # Better the gradient alone than nothing; its samples say which they are.
        wanted = options.wanted(model, tuple(BackendName), Target.DLOGP)
        samples = from_export(records, wanted, source)
        note = "These samples are of the gradient alone (dlogp); NUTS compiles value and gradient (logp_dlogp)."
        samples = replace(samples, notes=(*samples.notes, note))
    if not samples.records:
        raise SpecError("--from", f"{source} has no samples of this model, target {options.chosen_target}")
    there = {record.case.backend for record in samples.records}
    return tuple(case for case in wanted if options.backend or case.backend in there), samples


def _from_store(model: Model, options: AdviseOptions) -> tuple[tuple[Case, ...], AdviceSamples]:
    from firstgrad.advise.samples import from_store, measure_missing
    from firstgrad.cli.display import SweepState, describe_plan, show_sweep
    from firstgrad.store import Keeper

    wanted = options.wanted(model, installed_backends())
    if options.no_measure:
        with open_store(options.store) as store:
            return wanted, from_store(store, wanted)
    try:
        with Keeper(options.store) as keeper:
            notes = measure_missing(
                keeper,
                wanted,
                samples=options.samples,
                budget_seconds=options.budget_seconds,
                show=lambda grid, plan, known: show_sweep(SweepState(plan, known), describe_plan(grid, plan)),
            )
            return wanted, from_store(keeper.store, wanted, notes)
    except KeyboardInterrupt:
        say(
            "firstgrad: interrupted. What was measured is kept: the same command goes on from there, and with "
            "--no-measure it advises from what is there"
        )
        raise typer.Exit(ExitCode.INTERRUPTED) from None
