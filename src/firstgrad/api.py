"""Python's own door to the verbs: a live model (or a reference, or a case) in, what the verb prints out, as an object.

A live model goes to fresh processes as a pickle. While they run, a terminal or a notebook's cell shows where they are;
Ctrl-C, or a notebook's interrupt, leaves nothing of them alive. Imports no PyMC: whoever has a model has imported it.
"""

from __future__ import annotations

import functools
import logging
import sys
import tempfile
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from firstgrad.backends.live import explain_wrapped, held, is_model
from firstgrad.case import BackendName, Case, Counting, GradientBackend, Sampler, Scenario, Target
from firstgrad.errors import SpecError
from firstgrad.model import Model, as_model, make_model
from firstgrad.pose.spec import PoseSpec
from firstgrad.results import (
    AdviseResult,
    BisectResult,
    CheckResult,
    CompareResult,
    LintResult,
    MeasureResult,
    PrecompileResult,
    ProfileResult,
    SuiteResult,
)
from firstgrad.sources import LIVE, check_reference
from firstgrad.units import parse_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from firstgrad.comparing.places import SideRequest
    from firstgrad.record import Record
    from firstgrad.store import Keeper, Store
    from firstgrad.suite import Suite
    from firstgrad.sweep.grid import Grid, OmittedModel
    from firstgrad.sweep.plan import Durations, Plan
    from firstgrad.sweep.rounds import SweepEvent

_LOG = logging.getLogger(__name__)
_CHOICES = {
    "backend": BackendName,
    "target": Target,
    "scenario": Scenario,
    "sampler": Sampler,
    "gradient_backend": GradientBackend,
    "counting": Counting,
}
_DEFAULT_BACKEND = BackendName.NUMBA
_TIME_LIMIT_SECONDS = 3600.0
_TIMED_DRAWS = 100
_BETWEEN = frozenset({"firstgrad", "contextlib"})
"""Packages whose frames stand between a verb and who called it."""


class CaseArguments(TypedDict, total=False):
    """What is asked of a model, by the names of `Case`; choices may be written as texts."""

    backend: BackendName | str
    target: Target | str
    scenario: Scenario | str
    evaluations: int
    time_limit_seconds: float | None
    memory_limit_bytes: int | None
    sampler: Sampler | str
    gradient_backend: GradientBackend | str | None
    chains: int
    timed_draws: int
    counting: Counting | str


# --- the verbs ----------------------------------------------------------------------------------------------------


def measure(
    model: Any,
    *,
    samples: int | None = None,
    tier: str | None = None,
    label: str = "",
    store: str | None = None,
    progress: bool = True,
    **options: Unpack[CaseArguments],
) -> MeasureResult:
    """Measure a model, or several: time to first gradient (or draw) phase by phase, evaluation time, memory, verdict.

    Each sample is a fresh process with private caches. A sample that fails is a record with its reason, no exception.

    Parameters
    ----------
    model : pm.Model, Model, PoseSpec, Case, str or list of str
        A live model, or what names one: ``"pose"``, ``"file.py:function"``, ``"script.py:variable"``. A pattern
        (``"models/*.py"``), a folder, a list of names, or a suite file (``"firstgrad.toml"``, ``"suite"``) names
        several, and the result is a `SuiteResult`.
    samples : int, optional
        How many processes measure it, one after the other; where left out 1, or as many as the suite file says.
    tier : str, optional
        A tier of the suite file.
    label : str
        Your name for this run.
    store : str, optional
        File or URL of a store that keeps the records; not kept where left out.
    progress : bool
        Whether to show it while it runs.
    **options
        What is asked of the model: ``backend`` (``"numba"`` where left out), ``target``, ``scenario``, ``evaluations``
        and the others of `Case`. They go before those of a suite file.

    Returns
    -------
    MeasureResult
        The records, one for each sample; times in seconds, sizes in bytes.

    Raises
    ------
    SpecError
        Where the model is none, does not exist or cannot be sent to a process, or where an option is wrong.
    StoreError
        Where a record cannot be stored; the message says where it is kept instead.
    """
    records: list[Record] = []
    if words := _several(model, tier):
        suite = _suite(words, tier, options, samples)
        grid = suite.grid()
        show = functools.partial(_show_sweep, progress=progress)
        take_suite(suite, grid, records, label=label, keeper=_keeper(store), show=show)
        return SuiteResult(tuple(records), omitted=grid.omitted, metrics=suite.metrics)
    with _case(model, options) as case:
        take_samples(case, records, samples=samples or 1, label=label, keeper=_keeper(store), progress=progress)
    return MeasureResult(tuple(records))


def profile(
    model: Any,
    *,
    label: str = "",
    allocations: str | Path | None = None,
    progress: bool = True,
    **options: Unpack[CaseArguments],
) -> ProfileResult:
    """Profile a model: what each phase spends its time on.

    Parameters
    ----------
    model : pm.Model, Model, PoseSpec, Case or str
        As for `measure`.
    label : str
        Your name for this run.
    allocations : str or Path, optional
        A folder for a flame graph of the memory, by memray, from a further run.
    progress : bool
        Whether to show it while it runs.
    **options
        As for `measure`.

    Returns
    -------
    ProfileResult
        The record and where its seconds and its memory went. Instruments take time: do not compare these seconds with
        those of `measure`.

    Raises
    ------
    SpecError
        Where the model is none, does not exist or cannot be sent to a process, or where an option is wrong.
    """
    from firstgrad.profiling.make import profile_case

    folder = None if allocations is None else Path(allocations)
    with _case(model, options) as case, _display(f"profile, {case}", progress=progress) as display:
        return ProfileResult(profile_case(case, label=label, on_event=display, allocations=folder))


def check(
    model: Any,
    *,
    backend: BackendName | str | None = None,
    time_limit_seconds: float = 3600.0,
    progress: bool = True,
) -> CheckResult:
    """Check a model's log-density and gradient: against an oracle or finite differences, and for NaN and infinity.

    Parameters
    ----------
    model : pm.Model, Model, PoseSpec, Case or str
        As for `measure`.
    backend : str, optional
        Who compiles it. Where left out, the first that works, beginning with jax.
    time_limit_seconds : float
        Limit for each backend that is tried.
    progress : bool
        Whether to show it while it runs.

    Returns
    -------
    CheckResult
        The record with its verdict, and which groups and operations are wrong or not finite.

    Raises
    ------
    SpecError
        Where the model is none, does not exist or cannot be sent to a process, or where an option is wrong.
    """
    from firstgrad.measuring.ways import check_gradient_of

    def ask(case: Case) -> Record:
        records: list[Record] = []
        take_samples(case, records, samples=1, progress=progress)
        return records[0]

    chosen = None if backend is None else _choice("backend", BackendName, backend)
    with asked_model(model) as asked:
        return CheckResult(check_gradient_of(asked, ask, backend=chosen, time_limit_seconds=time_limit_seconds))


def lint(
    model: Any, *, time_limit_seconds: float = 300.0, memory_limit_bytes: int | None = None, progress: bool = True
) -> LintResult:
    """Find lines of a model that cost time or give wrong numbers, and say what to write instead.

    Nothing is compiled.

    Parameters
    ----------
    model : pm.Model, Model, PoseSpec, Case or str
        As for `measure`.
    time_limit_seconds : float
        Limit for the process that looks at the model.
    memory_limit_bytes : int, optional
        Limit for its memory.
    progress : bool
        Whether to show it while it runs.

    Returns
    -------
    LintResult
        The findings, the worst first, with estimated seconds. Where the model cannot be built or a limit was passed,
        `report.failure` says why.

    Raises
    ------
    SpecError
        Where the model is none, does not exist or cannot be sent to a process.
    """
    from firstgrad.linting.launch import lint as lint_apart

    with asked_model(model) as asked, _display(f"lint, {asked}", progress=progress) as display:
        report = lint_apart(
            asked, time_limit_seconds=time_limit_seconds, memory_limit_bytes=memory_limit_bytes, on_event=display
        )
    return LintResult(report)


def compare(
    base: Any,
    head: Any,
    model: str | Sequence[str] | None = None,
    *,
    tier: str | None = None,
    rounds: int = 10,
    until_decided: bool = False,
    gate: str = "counts",
    time_budget: str | None = None,
    store: str | None = None,
    progress: bool = True,
    **options: Unpack[CaseArguments],
) -> CompareResult:
    """Compare two models, commits or releases, measured now in turn, and say whether HEAD takes more than BASE.

    Parameters
    ----------
    base, head : pm.Model, Model, PoseSpec, Case or str
        The two sides. With `model`, commits, releases (``"pymc==6.2.0"``), environments (``"env:PATH"``) or ``"."``, as
        on the command line.
    model : str or list of str, optional
        What both sides are measured with: a model's name, or several as for `measure`.
    tier : str, optional
        A tier of the suite file.
    rounds : int
        How many samples each side gets; with `until_decided` at most so many.
    until_decided : bool
        Whether to end as soon as every verdict is certain.
    gate : str
        What can raise an alarm: ``"counts"``, that is exact counts and memory; ``"seconds"``, times as well.
    time_budget : str, optional
        Begin no round that ends later, such as ``"10m"``.
    store : str, optional
        File or URL of a store that keeps the records; not kept where left out.
    progress : bool
        Whether to show it while it runs.
    **options
        As for `measure`, for both sides.

    Returns
    -------
    CompareResult
        Ratios HEAD by BASE with their intervals and verdicts.

    Raises
    ------
    SpecError
        Where the model is none, does not exist or cannot be sent to a process, or where an option is wrong.
    """
    from firstgrad.comparing.comparison import compare as compare_records
    from firstgrad.comparing.judge import Gate, Thresholds, plan_looks
    from firstgrad.comparing.measuring import compare_measured
    from firstgrad.comparing.places import SidePlace, SideRequest

    if gate not in Gate:
        raise SpecError("gate", f"expected {' or '.join(Gate)}, got {gate!r}")
    looks = (*(look for look in plan_looks() if look < rounds), rounds) if until_decided else (rounds,)
    with ExitStack() as stack:
        devices_from = "device"
        left_out: tuple[OmittedModel, ...] = ()
        if model is not None:
            one, other = map(_plain_side, (base, head))
            suite = _suite([model] if isinstance(model, str) else list(model), tier, options)
            grid = suite.grid()
            pairs = [(case, case) for case in grid.cases]
            devices_from, left_out = suite.devices_from, grid.omitted
        else:
            cases = stack.enter_context(_case(base, options)), stack.enter_context(_case(head, options))
            one, other = (SideRequest(text=str(case.model).removeprefix(LIVE), place=SidePlace.HERE) for case in cases)
            pairs = [cases]
        comparison = compare_measured(
            (one, other),
            pairs,
            judge=functools.partial(compare_records, thresholds=Thresholds(gate=Gate(gate))),
            until_decided=until_decided,
            label="",
            store=store or _temporary_store(stack),
            rounds=rounds,
            looks=looks,
            time_budget=None if time_budget is None else (time_budget, parse_seconds(time_budget)),
            order_seed=0,
            show=functools.partial(_show_sweep, progress=progress),
            tell=_LOG.info,
            left_out=left_out,
            devices_from=devices_from,
        )
    return CompareResult(comparison)


def bisect(
    good: str,
    bad: str,
    model: Model | PoseSpec | Case | str,
    *,
    repository: str | None = None,
    metric: str | None = None,
    predicate: str | None = None,
    first: bool = False,
    samples: int = 42,
    skips: int = 10,
    build_limit: str = "60m",
    retry_failed: bool = False,
    label: str = "",
    store: str | None = None,
    progress: bool = True,
    **options: Unpack[CaseArguments],
) -> BisectResult:
    """Find the commit or release between two that changed counts, seconds or verdict of a model's gradient.

    Parameters
    ----------
    good, bad : str
        The older end and the newer one: commits, or releases (``"pytensor==3.2.0"``).
    model : Model, PoseSpec, Case or str
        What names a model; not a live one, which other commits can't measure.
    repository : str, optional
        The clone whose commits are searched; here where left out.
    metric, predicate : str, optional
        Judge by this metric, or by a state of the sample, such as ``"mismatch"``; by exact counts, then seconds, where
        both are left out.
    first : bool
        Find the earliest change, not the largest.
    samples : int
        Largest number of rounds, where seconds decide.
    skips : int
        Give up a range after so many skipped commits in it.
    build_limit : str
        Time limit of one build.
    retry_failed : bool
        Try again what failed in an earlier run.
    store : str, optional
        File or URL of the store that keeps what was measured; ``.firstgrad/results.sqlite`` where left out. The same
        call goes on from there.
    label, progress, **options
        As for `measure`.

    Returns
    -------
    BisectResult
        The commit or release, and what changed there.

    Raises
    ------
    SpecError
        Where the two ends are no line, no commit has the model, or an option is wrong.
    """
    from firstgrad.bisecting.bench import bisect as bisect_case

    if is_model(model):
        raise SpecError("model", "a live model can't be measured by other commits: name it, as 'file.py:function'")
    if not isinstance(model, Case):
        named = make_model(model) if isinstance(model, str) else as_model(model)
        model = Case(model=named, backend=_DEFAULT_BACKEND)
    return BisectResult(
        bisect_case(
            good,
            bad,
            replace(model, **_chosen(options)),
            repository=repository,
            metric=metric,
            predicate=predicate,
            first=first,
            samples=samples,
            skips=skips,
            build_limit_seconds=parse_seconds(build_limit),
            retry_failed=retry_failed,
            label=label,
            store=store,
            show=functools.partial(_display, progress=progress),
            tell=_LOG.info,
            warn=_LOG.warning,
        )
    )


def advise(
    model: Any,
    *,
    time_budget: str | None = "3m",
    evaluations: int | None = None,
    backends: Sequence[BackendName | str] = (),
    samplers: Sequence[Sampler | str] = (),
    store: str | None = None,
    progress: bool = True,
    **planned: Any,
) -> AdviseResult:
    """Advise within a time budget which sampler and backend are done first, and what to type.

    What `lint` finds in the model comes first.

    Parameters
    ----------
    model : pm.Model, Model, PoseSpec, Case or str
        As for `measure`.
    time_budget : str, optional
        For everything, such as ``"90s"``. With None every way is measured to its end, with ``"0"`` only the store is
        asked.
    evaluations : int, optional
        Plan so many evaluations of the gradient, and no draws.
    backends, samplers : sequence of str
        Only these; all that are installed where left out.
    store : str, optional
        File or URL of a store that has samples and keeps new ones, which the next advice need not measure.
    progress : bool
        Whether to show it while it runs.
    **planned
        Draws that are planned: ``draws``, ``tune``, ``chains``, ``cores``, ``leapfrog``.

    Returns
    -------
    AdviseResult
        The choices with their seconds, the best first, and the lines to type.

    Raises
    ------
    SpecError
        Where the model is none, does not exist or cannot be sent to a process, or where an option is wrong.
    """
    from firstgrad.advising.answer import AdvicePlan, make_answer, parse_budget
    from firstgrad.advising.samples import installed_backends, installed_samplers, list_wanted, list_wanted_draws
    from firstgrad.advising.workload import Workload
    from firstgrad.measuring.environment import host_fingerprint
    from firstgrad.show.display import show_race
    from firstgrad.store import Keeper

    seconds = None if time_budget is None else parse_budget(time_budget)
    limit = min(seconds or _TIME_LIMIT_SECONDS, _TIME_LIMIT_SECONDS)
    compiled = [_choice("backend", BackendName, one) for one in backends] or installed_backends()
    with ExitStack() as stack:
        asked = stack.enter_context(asked_model(model))
        if evaluations is None:
            workload = Workload.of_sampling(here=host_fingerprint().cores, **planned)
            drawing = [_choice("sampler", Sampler, one) for one in samplers] or installed_samplers()
            ways = list_wanted_draws(
                asked, compiled, drawing, workload=workload, timed=_TIMED_DRAWS, time_limit_seconds=limit
            )
        else:
            workload = Workload(evaluations=evaluations)
            ways = list_wanted(asked, compiled, target=Target.DLOGP, time_limit_seconds=limit)
        if not ways:
            raise SpecError("samplers, backends", "none of these samplers takes one of these backends")
        keeper = stack.enter_context(Keeper(store or _temporary_store(stack)))
        show = functools.partial(show_race, seconds) if progress else (lambda *_: nullcontext(lambda _: None))
        plan = AdvicePlan(workload=workload, ways=ways, budget_seconds=seconds)
        return AdviseResult(make_answer(plan, keeper, show=show))


def precompile(
    model: Any,
    *,
    backend: BackendName | str = BackendName.NUMBA,
    jobs: int | None = None,
    sampler: Sampler | str = Sampler.PYMC,
    time_limit_seconds: float = 3600.0,
    progress: bool = True,
) -> PrecompileResult:
    """Fill PyTensor's cache for a model's log-density and gradient, its units compiled by several processes at once.

    The next compile of this process, or of any other with the same packages, flags and processor, finds them there.

    Parameters
    ----------
    model : pm.Model, Model, PoseSpec, Case or str
        As for `measure`.
    backend : str
        ``"numba"`` or ``"c"``.
    jobs : int, optional
        How many processes; where left out, one for each processor core. Each takes memory as a compile does.
    sampler : str
        ``"pymc"``: the function that PyMC's NUTS asks for, ``model.logp_dlogp_function(ravel_inputs=True)``;
        ``"nutpie"``: what nutpie asks Numba for, as far as a cache keeps it.
    time_limit_seconds : float
        Limit for everything. Where it is passed, the cache is as it was before.
    progress : bool
        Whether to show it while it runs.

    Returns
    -------
    PrecompileResult
        The units, who compiled each in how many seconds, and what the cache does not keep.

    Raises
    ------
    SpecError
        Where the model is none, does not exist or cannot be sent to a process, or where an option is wrong.
    """
    from firstgrad.measuring.environment import host_fingerprint
    from firstgrad.precompiling.launch import precompile as precompile_apart

    compiled, drawing = _choice("backend", BackendName, backend), _choice("sampler", Sampler, sampler)
    with asked_model(model) as asked, _display(f"precompile, {asked}", progress=progress) as display:
        return PrecompileResult(
            precompile_apart(
                asked,
                backend=compiled,
                jobs=host_fingerprint().cores if jobs is None else jobs,
                sampler=drawing,
                time_limit_seconds=time_limit_seconds,
                on_event=display,
            )
        )


# --- what the verbs of the command line do, too -------------------------------------------------------------------


def take_samples(
    case: Case,
    records: list[Record],
    *,
    samples: int,
    label: str = "",
    keeper: Keeper | None = None,
    progress: bool = True,
) -> None:
    """Measure a case with live progress; each record is in the store before the next sample starts.

    `records` takes them as they come: they are there, too, where this is interrupted, or one can't be stored.
    """
    from firstgrad.measuring import launch

    with keeper or nullcontext():
        expected = _expect(case, keeper.store if keeper else None)
        with _display(str(case), progress=progress, expected_seconds=expected) as display:
            for record in launch.measure(case, samples=samples, label=label, on_event=display):
                records.append(record)
                if keeper is not None:
                    keeper.keep(record)


def take_suite(
    suite: Suite,
    grid: Grid,
    records: list[Record],
    *,
    label: str = "",
    keeper: Keeper | None = None,
    show: Callable[[Plan, Durations, Iterable[str]], AbstractContextManager[Callable[[SweepEvent], None]]],
) -> None:
    """Measure each case of a suite's grid, in rounds; `records` takes them as for `take_samples`.

    `show` opens the display of a plan, with what samples take and the lines to begin with.
    """
    from firstgrad.measuring.environment import check_devices
    from firstgrad.show.display import describe_plan
    from firstgrad.sweep.local import LocalExecutor
    from firstgrad.sweep.plan import Durations, plan_sweep
    from firstgrad.sweep.rounds import Notice, run_sweep

    check_devices(grid.cases, field=suite.devices_from)
    plan = plan_sweep(grid.cases, samples=suite.samples, done={})

    def keep(record: Record) -> None:
        records.append(record)
        if keeper is not None:
            keeper.keep(record)

    with keeper or nullcontext():
        durations = Durations(keeper.store.cells() if keeper else ())
        with show(plan, durations, describe_plan(grid, plan)) as display:
            if keeper is not None:
                keeper.tell = lambda line: display(Notice(message=line))
            run_sweep(plan, LocalExecutor(label=label), keep=keep, tell=display)


def _expect(case: Case, store: Store | None) -> list[float | None]:
    """Expect so many seconds of each process that measures a case, from former samples in a store.

    For ``warm`` the process that fills the cache comes first; None where no sample is known.
    """
    from firstgrad.sweep.plan import Durations

    cold = replace(case, scenario=Scenario.COLD)
    cases = [cold, case] if case.scenario is Scenario.WARM else [case]
    if store is None:
        return [None for _ in cases]
    durations = Durations(sample for process in cases for sample in store.cells(question=process.question))
    # A case of another kind is no promise: only samples of the very same question count.
    return [durations.of_same(process) for process in cases]


# --- what is asked ------------------------------------------------------------------------------------------------


@contextmanager
def asked_model(given: Any) -> Iterator[Model]:
    """Make a model of what somebody has; a live one can be measured while the block runs.

    Raises SpecError where it is none, isn't there, or can't be sent to a worker.
    """
    if is_model(given):
        with held(given, _find_name(given)) as model:
            yield model
        return
    if isinstance(given, str):
        given = make_model(given)
    if not isinstance(given, Model | PoseSpec):
        raise SpecError(
            "model",
            f"expected a pm.Model, or what names one ('file.py:function', firstgrad.Model), got a "
            f"{type(given).__name__}{explain_wrapped(given)}",
        )
    model = as_model(given)
    check_reference(model.reference)
    yield model


def _find_name(model: Any) -> str:
    """Find what the caller calls a model: the first variable outside of firstgrad that holds it, else its own name."""
    frame = sys._getframe()  # noqa: SLF001 - documented for such uses
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in _BETWEEN:
        frame = frame.f_back
    for scope in (frame.f_locals, frame.f_globals):
        for name, value in scope.items():
            if value is model and not name.startswith("_"):
                return name
    name = str(getattr(model, "name", ""))
    return name if name.isidentifier() else "model"


@contextmanager
def _case(given: Any, options: CaseArguments) -> Iterator[Case]:
    """Make a case of a model and options, which replace those of a case that is given."""
    chosen = _chosen(options)
    if isinstance(given, Case):
        check_reference(given.model.reference)
        yield replace(given, **chosen)
        return
    with asked_model(given) as model:
        yield Case(model=model, **{"backend": _DEFAULT_BACKEND, **chosen})


def _several(given: Any, tier: str | None) -> list[str]:
    """Return the words that name several models; none where it is one."""
    from firstgrad.suite import is_several, is_suite_file

    words = [given] if isinstance(given, str) else list(given) if isinstance(given, list | tuple) else []
    if tier is not None and not (words and is_suite_file(words[0])):
        raise SpecError("tier", "is of a suite file")
    if any(not isinstance(word, str) for word in words) or words == []:
        return []
    return words if is_several(words) else []


def _suite(words: Sequence[str], tier: str | None, options: CaseArguments, samples: int | None = None) -> Suite:
    """Make the suite that words name, with options in place of its own."""
    from firstgrad.suite import suite_of

    made: dict[str, Any] = {} if samples is None else {"samples": samples}
    for name, value in _chosen(options).items():
        if name == "timed_draws":
            raise SpecError(name, "is of one model")
        axis = f"{name}s"
        made |= {axis: (value,)} if axis in ("backends", "targets", "scenarios", "samplers") else {name: value}
    return replace(suite_of(words).tier(tier), **made)


def _plain_side(text: str) -> SideRequest:
    from firstgrad.comparing.places import read_side

    request = read_side(text)
    if request.options:
        raise SpecError(request.field, "has options, which are for the command line. In Python compare two cases")
    return request


def _chosen(options: CaseArguments) -> dict[str, Any]:
    """Read options of a case; raises SpecError naming one that is none."""
    chosen: dict[str, Any] = dict(options)
    for name, kind in _CHOICES.items():
        if chosen.get(name) is not None:
            chosen[name] = _choice(name, kind, chosen[name])
    if unknown := chosen.keys() - {entry.name for entry in fields(Case)}:
        raise SpecError(min(unknown), f"is no option. There are {', '.join(CaseArguments.__annotations__)}")
    return chosen


def _choice[Kind: StrEnum](name: str, kind: type[Kind], given: object) -> Kind:
    try:
        return kind(str(given))
    except ValueError:
        raise SpecError(name, f"expected one of {', '.join(kind)}, got {given!r}") from None


def _temporary_store(stack: ExitStack) -> str:
    """Return the place of a store that is gone after a block."""
    return str(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="firstgrad-store-"))) / "samples.sqlite")


def _keeper(store: str | None) -> Keeper | None:
    from firstgrad.store import Keeper

    return None if store is None else Keeper(store)


def _display(title: str, *, progress: bool, expected_seconds: Sequence[float | None] = ()) -> Any:
    from firstgrad.show.display import show_progress

    return show_progress(title, expected_seconds=expected_seconds) if progress else nullcontext(lambda _: None)


def _show_sweep(plan: Any, durations: Any, opening: Any, *, progress: bool) -> Any:
    from firstgrad.show.display import SweepState, show_sweep

    return show_sweep(SweepState(plan, durations), opening) if progress else nullcontext(lambda _: None)
