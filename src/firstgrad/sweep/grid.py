"""A grid: the cases that a sweep measures, made from its axes."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firstgrad.case import MOST_SAMPLES, BackendName, Case, GradientBackend, Sampler, Scenario, Target, check_sampler
from firstgrad.errors import SpecError
from firstgrad.model import POSE, Model, make_model
from firstgrad.pose.spec import PARAMETERS, Scalar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class OmittedModel:
    """A combination of axes that is no model: which, and why."""

    what: str
    reason: str
    is_failure: bool = False  # a model was meant, and can't be measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The cases of a sweep."""

    cases: tuple[Case, ...]  # each once, in the order of the axes
    omitted: tuple[OmittedModel, ...] = ()  # combinations that cannot be; never passed over in silence


type Axes = Mapping[str, Sequence[Scalar]]
"""A parameter's values by its name; the first of each is the base where they vary one at a time."""


def models_of(
    reference: str, axes: Axes, *, one_at_a_time: bool = False
) -> tuple[tuple[Model, ...], tuple[OmittedModel, ...]]:
    """Return the models of some axes, and the combinations that are none.

    Without an HMM its own axes don't multiply. With `one_at_a_time` only one of the sizes differs from the base in each
    model: what growth laws need, and a fraction of the whole grid; the other axes are crossed all the same.
    """
    if (count := math.prod(map(len, axes.values()))) > MOST_SAMPLES:
        raise SpecError(
            "grid", f"its axes have {count:,} combinations, and {MOST_SAMPLES:,} is the most. Give fewer values"
        )
    names = sorted(axes, key=lambda name: _order(reference, axes, name))
    sizes = {name for name in names if _is_size(reference, axes[name], name)}
    models: dict[Model, None] = {}
    omitted: list[OmittedModel] = []
    for values in itertools.product(*(axes[name] for name in names)):
        parameters = _meaningful(reference, dict(zip(names, values, strict=True)))
        if one_at_a_time and sum(parameters[name] != axes[name][0] for name in sizes & parameters.keys()) > 1:
            continue
        try:
            models[make_model(reference, parameters)] = None
        except SpecError as error:
            what = ", ".join(f"{name}={value}" for name, value in parameters.items() if len(axes[name]) > 1)
            omitted.append(OmittedModel(what=what or reference, reason=error.problem))
    return tuple(models), tuple(dict.fromkeys(omitted))


def _meaningful(reference: str, parameters: dict[str, Scalar]) -> dict[str, Scalar]:
    """Leave out what means nothing without a switch that is off."""
    if reference != POSE:
        return parameters
    return {
        name: value
        for name, value in parameters.items()
        if not (needs := PARAMETERS[name].needs) or parameters.get(needs, PARAMETERS[needs].default)
    }


def _is_size(reference: str, values: Sequence[Scalar], name: str) -> bool:
    if reference == POSE:
        return PARAMETERS[name].is_size
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _order(reference: str, axes: Axes, name: str) -> tuple[bool, int]:
    """Switches and kinds outside, sizes inside."""
    place = list(PARAMETERS).index(name) if reference == POSE else list(axes).index(name)
    return _is_size(reference, axes[name], name), place


def make_grid(
    models: Sequence[Model],
    *,
    backends: Sequence[BackendName],
    scenarios: Sequence[Scenario] = (Scenario.COLD,),
    targets: Sequence[Target] = (Target.DLOGP,),
    samplers: Sequence[Sampler] = (Sampler.AUTO,),
    devices: Sequence[str] = ("",),
    gradient_backend: GradientBackend | None = None,
    chains: int = 1,
    omitted: Sequence[OmittedModel] = (),
    **asked: Any,
) -> Grid:
    """Cross models with backends, targets and scenarios, JAX's with devices, and samplers where they draw.

    `asked` is of every case.

    Raises SpecError where a limit or the number of evaluations is wrong, or an axis is empty.
    """
    axes = {"--backend": backends, "--scenario": scenarios, "--target": targets, "--sampler": samplers}
    for name, values in (axes | {"--device": devices}).items():
        if not values:
            raise SpecError(name, "give at least one value")
    if Target.FIRST_DRAW not in targets and (tuple(samplers) != (Sampler.AUTO,) or gradient_backend or chains != 1):
        raise SpecError("--sampler, --gradient-backend, --chains", "are for --target first_draw")
    cases: dict[Case, None] = {}
    left_out = list(omitted)
    if any(devices) and not any(backend.takes_device for backend in backends):
        raise SpecError("--device", f"is for JAX's backends; {', '.join(backends)} run on the processor")
    places = [(backend, device) for backend in backends for device in (devices if backend.takes_device else ("",))]
    for model, (backend, device), target, sampler, scenario in itertools.product(
        models, places, targets, samplers, scenarios
    ):
        draw: dict[str, Any] = {}
        if target is Target.FIRST_DRAW:
            takes = backend is BackendName.JAX and sampler in (Sampler.AUTO, Sampler.NUTPIE)
            gradient = gradient_backend if takes else None
            draw = {"sampler": sampler, "gradient_backend": gradient, "chains": chains}
            try:
                check_sampler(sampler, backend)
            except SpecError as error:
                left_out.append(OmittedModel(what=f"{sampler} on {backend}", reason=error.problem))
                continue
        given = asked | draw
        cases[Case(model=model, backend=backend, device=device, target=target, scenario=scenario, **given)] = None
    if not cases:
        raise SpecError("grid", "it has no case: every combination was left out")
    return Grid(cases=tuple(cases), omitted=tuple(dict.fromkeys(left_out)))
