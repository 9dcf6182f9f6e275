"""The samples of an advice: the ways that may be chosen, and what a store or an export has of them."""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from firstgrad.advising.advice import question_of
from firstgrad.case import TELL_AT_ONCE, BackendName, Case, GradientBackend, Sampler, Scenario, Target, draws_with
from firstgrad.columns import cells_of, values_of
from firstgrad.grouping import grouped
from firstgrad.model import as_model
from firstgrad.pose.spec import Formulation
from firstgrad.units import format_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from firstgrad.advising.workload import Workload
    from firstgrad.columns import Cell
    from firstgrad.model import Model
    from firstgrad.record import Record
    from firstgrad.store import Store

_PROCESSOR = "cpu"
SCENARIOS = (Scenario.COLD, Scenario.WARM)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceSamples:
    """Records that an advice is made of, under equal conditions."""

    records: tuple[Record, ...]  # good and bad ones
    place: str  # where they are kept
    notes: tuple[str, ...] = ()  # what the reader has to know of them


def installed_backends() -> tuple[BackendName, ...]:
    """List the backends that can be measured here: their package, or the compiler, is there."""
    from firstgrad.measuring.environment import backend_version

    return tuple(name for name in BackendName if backend_version(name))


def installed_samplers() -> tuple[Sampler, ...]:
    """List the samplers whose package is here; ``auto`` is one of them."""
    names = (name for name in Sampler if name is not Sampler.AUTO)
    return tuple(name for name in names if find_spec(name.package) is not None)


def list_wanted(
    model: Model, backends: Sequence[BackendName], *, target: Target, time_limit_seconds: float
) -> tuple[Case, ...]:
    """List what may be chosen: of the pose model both formulations, the given one first."""
    models = [model]
    if (pose := model.pose) is not None:
        others = (formulation for formulation in Formulation if formulation is not pose.formulation)
        models += [as_model(replace(pose, formulation=formulation)) for formulation in others]
    return tuple(
        Case(model=one, backend=backend, target=target, scenario=scenario, time_limit_seconds=time_limit_seconds)
        for one in models
        for backend in backends
        for scenario in SCENARIOS
    )


def list_wanted_draws(
    model: Model,
    backends: Sequence[BackendName],
    samplers: Sequence[Sampler],
    *,
    workload: Workload,
    timed: int,
    time_limit_seconds: float,
) -> tuple[Case, ...]:
    """List the samplers that may be chosen, each with what it compiles to; `timed` draws are made after the first."""
    choices: list[tuple[Sampler, BackendName, GradientBackend | None]] = []
    for sampler, backend in itertools.product(samplers, backends):
        if not draws_with(sampler, backend):
            continue
        has_own = sampler is Sampler.NUTPIE and backend is BackendName.JAX
        choices += [(sampler, backend, own) for own in (None, GradientBackend.JAX)[: 1 + has_own]]
    return tuple(
        Case(
            model=model,
            backend=backend,
            target=Target.FIRST_DRAW,
            scenario=scenario,
            sampler=sampler,
            gradient_backend=own,
            chains=workload.cores,
            timed_draws=0 if sampler in TELL_AT_ONCE else timed,
            time_limit_seconds=time_limit_seconds,
        )
        for sampler, backend, own in choices
        for scenario in SCENARIOS
    )


def with_frozen(wanted: Sequence[Case]) -> tuple[Case, ...]:
    """Add those of JAX's ways with constants for data, which may take the place of what JAX refuses."""
    jax = (case for case in wanted if str(case.backend).startswith("jax") and case.model.pose is None)
    frozen = (replace(case, model=case.model.frozen()) for case in jax)
    return tuple({case.question: case for case in (*wanted, *frozen)}.values())


def _questions(wanted: Iterable[Case]) -> set[str]:
    """List what may answer: a sample of ``auto`` does, where it says that the wanted sampler was taken."""
    drawn = (case for case in wanted if case.is_draw and draws_with(Sampler.AUTO, case.backend))
    autos = (replace(case, sampler=Sampler.AUTO) for case in drawn)
    return {case.question for case in (*wanted, *autos)}


def from_export(records: Iterable[Record], wanted: Sequence[Case], place: str) -> AdviceSamples:
    """Take the samples of an export; of unlike conditions those that answer most of what was asked."""
    records, questions = list(records), _questions(wanted)
    wanted_ones = (record for record in records if record.case.question in questions)
    groups = grouped((replace(record.environment, device="").conditions, record) for record in wanted_ones)
    if not groups:
        return AdviceSamples(records=(), place=place)
    # Backends that know no devices stand beside JAX's on each of its own.
    alike = [
        [record for record in group if not _knows_devices(record) or record.environment.device == device]
        for group in groups.values()
        for device in dict.fromkeys(one.environment.device for one in group if _knows_devices(one)) or ("",)
    ]

    def answers(group: Sequence[Record]) -> tuple[int, str]:
        """Rank by how much it answers; the newest of those that tell equally much."""
        return len({question_of(record) for record in group}), max(record.started_at for record in group)

    best = max(alike, key=answers)
    environment = best[-1].environment
    packages = ", ".join(f"{name} {version}" for name, version in environment.versions if name != "firstgrad")
    where = f"{environment.host.cores} cores of {environment.host.processor}"
    notes = [f"Measured on {where}, Python {environment.python}, {packages}."]
    if unlike := sum(map(len, groups.values())) - len(best):
        notes.append(f"{unlike} samples of unlike conditions are left out.")
    notes += devices_that_pay(map(cells_of, records), wanted[0].model.reference)
    return AdviceSamples(records=tuple(best), place=place, notes=tuple(notes))


def devices_that_pay(samples: Iterable[Mapping[str, Cell]], reference: str) -> Iterator[str]:
    """Say of each device but the processor from which size of a model on its calls take less, and when that pays.

    Of samples of one host, Python and set of packages, at two sizes or more that both were measured at; else nothing.
    """
    lines: dict[tuple[str, str, object], dict[tuple[float, str], list[tuple[float, float]]]] = {}
    for one in samples:
        first, call = one["time_to_first_gradient"], one["evaluation"]
        if one["reference"] != reference or one["reason"] or first is None or call is None:
            continue
        alike = [one[name] for name in ("target", "scenario", "host", "python", "packages")]
        values = values_of(reference, str(one["parameters"]))
        for axis, size in values.items():
            if isinstance(size, int | float) and not isinstance(size, bool):
                rest = (*alike, *((name, value) for name, value in values.items() if name != axis))
                line = lines.setdefault((str(one["backend"]), axis, rest), {})
                line.setdefault((size, str(one["device"])), []).append((float(first), float(call)))
    for (backend, axis, _), line in lines.items():
        firsts = {place: statistics.median(first for first, _ in costs) for place, costs in line.items()}
        calls = {place: statistics.median(call for _, call in costs) for place, costs in line.items()}
        for device in sorted({device for _, device in line} - {_PROCESSOR}):
            sizes = sorted(size for size, where in line if where == device and (size, _PROCESSOR) in line)
            if len(sizes) > 1:
                here, there = [[(size, where) for size in sizes] for where in (_PROCESSOR, device)]
                longer = [
                    (one[0], firsts[two] - firsts[one], calls[two] - calls[one])
                    for one, two in zip(here, there, strict=True)
                ]
                yield f"{backend} on {device}: {_pays(axis, longer)}"


def _pays(axis: str, longer: Sequence[tuple[float, float, float]]) -> str:
    """Say from which size on calls take less at all that were measured, and after how many of them that pays.

    `longer` has sizes, and how much longer first gradient and call take on the device.
    """
    measured = f"(measured: {axis}={', '.join(f'{size:g}' for size, *_ in longer)})"
    paying = list(itertools.takewhile(lambda one: one[2] < 0, reversed(longer)))
    if not paying:
        return f"at the largest size a call takes no less than on the processor {measured}."
    size, first, call = paying[-1]
    when = f"after {math.ceil(first / -call):,} evaluations" if first > 0 else "from the first gradient on"
    return f"a call takes less than on the processor from {axis}={size:g} on, which pays there {when} {measured}."


def _knows_devices(record: Record) -> bool:
    return str(record.case.backend).startswith("jax")


def from_store(store: Store, wanted: Sequence[Case], notes: tuple[str, ...] = ()) -> AdviceSamples:
    """Take what a store has of this host, these conditions, and the model's files as they are now."""
    from firstgrad.sweep.plan import current_samples, samples_here

    questions, cells = _questions(wanted), store.cells()
    here = samples_here(sample for sample in cells if sample["question"] in questions)
    ids = [sample["record_id"] for sample in current_samples(here)]
    if older := len(here) - len(ids):
        notes = (*notes, f"Left out: {format_count(older, 'sample')} from before the model's file was last changed.")
    lacking = [str(name) for name in (Sampler.NUTPIE, Sampler.FIRSTGRAD) if name not in installed_samplers()]
    if lacking and wanted[0].target is Target.FIRST_DRAW:
        notes = (*notes, f"Not tried, since nutpie isn't installed: {', '.join(lacking)}. pip install nutpie")
    records = tuple(store.records(record_ids=ids)) if ids else ()
    notes = (*notes, *devices_that_pay(cells, wanted[0].model.reference))
    return AdviceSamples(records=records, place=str(store.address), notes=notes)
