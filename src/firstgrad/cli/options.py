"""Options that verbs share: two frozen dataclasses, and the decorator that spreads them over a command."""

from __future__ import annotations

import functools
import inspect
import json
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from firstgrad.case import BackendName, Case, ExternalModel, Scenario, Target
from firstgrad.errors import SpecError
from firstgrad.spec import (
    Formulation,
    HmmAlgorithm,
    HmmSpec,
    Likelihood,
    Missing,
    PoseSpec,
    Skeleton,
    WalkAxis,
)
from firstgrad.units import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from firstgrad.case import Scalar

POSE, MEASURE = "The pose model", "The measurement"

_Model = Annotated[
    str,
    typer.Argument(help="pose, or your own: path/file.py:function or package.module:function.", metavar="[MODEL]"),
]


def _option(*names: str, panel: str, text: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Which model. Fields left at none keep the pose model's own default."""

    model: _Model = "pose"
    timesteps: Annotated[int | None, _option("--timesteps", panel=POSE, text="Timesteps T [100].")] = None
    directions: Annotated[int | None, _option("--directions", panel=POSE, text="Directions K [5].")] = None
    cameras: Annotated[int | None, _option("--cameras", panel=POSE, text="Cameras C [3].")] = None
    hmm: Annotated[bool, _option("--hmm/--no-hmm", panel=POSE, text="HMM over the directions.")] = False
    states: Annotated[int | None, _option("--states", panel=POSE, text="Hidden states S [2]; with --hmm.")] = None
    hmm_algorithm: Annotated[
        HmmAlgorithm | None,
        _option("--hmm-algorithm", panel=POSE, text="How states are summed out [scan]; with --hmm."),
    ] = None
    formulation: Annotated[
        Formulation | None, _option("--formulation", panel=POSE, text="How the graph is written [per_joint].")
    ] = None
    likelihood: Annotated[
        Likelihood | None, _option("--likelihood", panel=POSE, text="With outliers or without [mixture].")
    ] = None
    missing: Annotated[
        Missing | None,
        _option("--missing", panel=POSE, text="[safe], or naive: the mistake that makes gradients NaN."),
    ] = None
    skeleton: Annotated[
        Skeleton | None, _option("--skeleton", panel=POSE, text="Which joint each bone hangs from [chain].")
    ] = None
    parents: Annotated[
        str | None, _option("--parents", panel=POSE, text="For --skeleton custom, such as -1,0,1,1.")
    ] = None
    walk_axis: Annotated[
        WalkAxis | None, _option("--walk-axis", panel=POSE, text="Axis along which the root walks [time].")
    ] = None
    seed: Annotated[int | None, _option("--seed", panel=POSE, text="Of the generated data [42].")] = None
    force_unrolled: Annotated[
        bool, _option("--force-unrolled", panel=POSE, text="Allow unrolled above 200 timesteps.")
    ] = False
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="Keyword argument for your own model's function."),
    ] = None

    def to_model(self) -> PoseSpec | ExternalModel:
        """Make the model's description.

        Raises
        ------
        SpecError
            Naming the option that doesn't fit.
        """
        if self.model != "pose":
            self._refuse_pose_options()
            return ExternalModel(reference=self.model, parameters=_parameters(self.param or []))
        if self.param:
            raise SpecError("--param", "is for your own model; the pose model has options of its own")
        if not self.hmm and (self.states is not None or self.hmm_algorithm is not None):
            raise SpecError("--states, --hmm-algorithm", "need --hmm")
        hmm = None
        if self.hmm:
            hmm = HmmSpec(
                n_states=2 if self.states is None else self.states,
                algorithm=self.hmm_algorithm or HmmAlgorithm.SCAN,
            )
        given = {
            "n_timesteps": self.timesteps,
            "n_directions": self.directions,
            "n_cameras": self.cameras,
            "formulation": self.formulation,
            "likelihood": self.likelihood,
            "missing": self.missing,
            "skeleton": self.skeleton,
            "parents": _parents(self.parents),
            "walk_axis": self.walk_axis,
            "seed": self.seed,
        }
        chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        return PoseSpec(hmm=hmm, force_unrolled=self.force_unrolled, **chosen)

    def _refuse_pose_options(self) -> None:
        for each in fields(self):
            if each.name not in ("model", "param") and getattr(self, each.name) != each.default:
                name = f"--{each.name.replace('_', '-')}"
                raise SpecError(name, "belongs to the pose model; give your own model's arguments with --param")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOptions:
    """What is asked of the model."""

    backend: Annotated[BackendName, _option("--backend", panel=MEASURE, text="What the graph is compiled to.")] = (
        BackendName.NUMBA
    )
    target: Annotated[
        Target, _option("--target", panel=MEASURE, text="Gradient alone, or value and gradient as NUTS uses.")
    ] = Target.DLOGP
    scenario: Annotated[
        Scenario,
        _option("--scenario", panel=MEASURE, text="cold: empty caches; warm: filled; hot: compiled twice."),
    ] = Scenario.COLD
    evaluations: Annotated[
        int, typer.Option("--evaluations", min=0, help="Timed steady-state calls.", rich_help_panel=MEASURE)
    ] = 200
    time_limit: Annotated[
        float, _option("--time-limit", panel=MEASURE, text="Seconds after which a sample is stopped.")
    ] = 3600.0
    memory_limit: Annotated[
        str | None, _option("--memory-limit", panel=MEASURE, text="Of the process tree, such as 4GiB.")
    ] = None
    label: Annotated[str, _option("--label", panel=MEASURE, text="Your name for this run.")] = ""

    def to_case(self, model: PoseSpec | ExternalModel) -> Case:
        """Make the case that these options ask for.

        Raises
        ------
        SpecError
            Naming the option that doesn't fit.
        """
        return Case(
            model=model,
            backend=self.backend,
            target=self.target,
            scenario=self.scenario,
            evaluations=self.evaluations,
            time_limit_seconds=self.time_limit,
            memory_limit_bytes=memory_limit_bytes(self.memory_limit),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions(CaseOptions):
    """How to measure, and where records go."""

    samples: Annotated[int, typer.Option("--samples", min=1, help="Measured processes.", rich_help_panel=MEASURE)] = 1
    store: Annotated[
        str | None,
        _option("--store", panel=MEASURE, text="File, database URL, or none [.firstgrad/results.sqlite]."),
    ] = None


def memory_limit_bytes(text: str | None) -> int | None:
    """Read ``--memory-limit``.

    Raises
    ------
    SpecError
        Naming the option, where the text is no size.
    """
    if text is None:
        return None
    try:
        return parse_bytes(text)
    except SpecError as error:
        raise SpecError("--memory-limit", error.problem) from None


def spread(function: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's dataclass parameters by their fields, so that Typer sees plain options.

    Parameters
    ----------
    function : callable
        Its parameters annotated with a dataclass get an instance made of the fields' options.

    Returns
    -------
    callable
        With a signature that Typer understands.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, type[Any]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        kind = hints[name]
        if not (isinstance(kind, type) and is_dataclass(kind)):
            parameters.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[name] = kind
        annotations = get_type_hints(kind, include_extras=True)
        parameters += [
            inspect.Parameter(
                each.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if each.default is MISSING else each.default,
                annotation=annotations[each.name],
            )
            for each in fields(kind)
        ]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        made = {
            name: kind(**{each.name: given.pop(each.name) for each in fields(kind)}) for name, kind in groups.items()
        }
        function(**made, **given)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by Typer
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def _parameters(given: list[str]) -> tuple[tuple[str, Scalar], ...]:
    found: dict[str, Scalar] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            raise SpecError("--param", f"expected NAME=VALUE, got {text!r}")
        if name in found:
            raise SpecError("--param", f"{name!r} is given twice")
        found[name] = read_scalar(value)
    return tuple(sorted(found.items()))


def read_scalar(text: str) -> Scalar:
    """Read a number, true or false; anything else is a text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float | str) else text


def _parents(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SpecError("--parents", f"expected whole numbers such as -1,0,1, got {text!r}") from None
