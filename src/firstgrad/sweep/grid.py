"""A grid: the cases that a sweep measures, made from its axes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from firstgrad.case import BackendName, Case, ExternalModel, Scenario, Target
from firstgrad.errors import SpecError
from firstgrad.spec import Formulation, HmmAlgorithm, HmmSpec, Likelihood, Missing, PoseSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from firstgrad.case import Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseAxes:
    """The axes of the pose model; the first value of each is the base where they vary one at a time.

    Attributes
    ----------
    timesteps, directions, cameras : tuple of int
        T, K and C.
    hmm : tuple of bool
        Without and with an HMM.
    states : tuple of int
        S; where there is an HMM.
    hmm_algorithm : tuple of HmmAlgorithm
        Where there is an HMM.
    formulation, likelihood, missing
        See their types.
    base : PoseSpec
        Everything else.
    """

    timesteps: tuple[int, ...] = (100,)
    directions: tuple[int, ...] = (5,)
    cameras: tuple[int, ...] = (3,)
    hmm: tuple[bool, ...] = (False,)
    states: tuple[int, ...] = (2,)
    hmm_algorithm: tuple[HmmAlgorithm, ...] = (HmmAlgorithm.SCAN,)
    formulation: tuple[Formulation, ...] = (Formulation.PER_JOINT,)
    likelihood: tuple[Likelihood, ...] = (Likelihood.MIXTURE,)
    missing: tuple[Missing, ...] = (Missing.SAFE,)
    base: PoseSpec = field(default_factory=PoseSpec)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each combination, as arguments of `PoseSpec`; without an HMM its own axes don't multiply."""
        names = ("formulation", "likelihood", "missing")
        for hmm, *kinds in itertools.product(self.hmm, *(getattr(self, name) for name in names)):
            for algorithm in self.hmm_algorithm if hmm else (None,):
                for sizes in itertools.product(
                    self.timesteps, self.directions, self.cameras, self.states if hmm else (self.states[0],)
                ):
                    timesteps, directions, cameras, states = sizes
                    yield {
                        "n_timesteps": timesteps,
                        "n_directions": directions,
                        "n_cameras": cameras,
                        "hmm": (states, algorithm) if algorithm else None,
                    } | dict(zip(names, kinds, strict=True))

    def moved(self, arguments: dict[str, Any]) -> int:
        """In how many of its sizes a combination differs from the base."""
        hmm = arguments["hmm"]
        return sum(
            (
                arguments["n_timesteps"] != self.timesteps[0],
                arguments["n_directions"] != self.directions[0],
                arguments["n_cameras"] != self.cameras[0],
                hmm is not None and hmm[0] != self.states[0],
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A combination of axes that is no model: which, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The cases of a sweep.

    Attributes
    ----------
    cases : tuple of Case
        Each once, in the order of the axes.
    left_out : tuple of LeftOut
        Combinations that cannot be; never passed over in silence.
    """

    cases: tuple[Case, ...]
    left_out: tuple[LeftOut, ...] = ()


def pose_models(axes: PoseAxes, *, one_at_a_time: bool = False) -> tuple[tuple[PoseSpec, ...], tuple[LeftOut, ...]]:
    """List the pose models of some axes.

    Parameters
    ----------
    axes : PoseAxes
        What varies.
    one_at_a_time : bool
        Of the sizes (T, K, C, S) only one differs from the base in each model: what growth laws need, and a
        fraction of the whole grid. The other axes are crossed all the same.

    Returns
    -------
    tuple of PoseSpec, tuple of LeftOut
    """
    from dataclasses import replace

    models: dict[PoseSpec, None] = {}
    left_out: list[LeftOut] = []
    for arguments in axes:
        if one_at_a_time and axes.moved(arguments) > 1:
            continue
        hmm = arguments.pop("hmm")
        try:
            spec = HmmSpec(n_states=hmm[0], algorithm=hmm[1]) if hmm else None
            models[replace(axes.base, hmm=spec, **arguments)] = None
        except SpecError as error:
            sizes = f"T={arguments['n_timesteps']} K={arguments['n_directions']}"
            left_out.append(LeftOut(what=f"{sizes} {hmm[1] if hmm else 'no HMM'}", reason=error.problem))
    return tuple(models), tuple(left_out)


def external_models(reference: str, parameters: Sequence[tuple[str, tuple[Scalar, ...]]]) -> tuple[ExternalModel, ...]:
    """List a user's models, one a combination of its parameters' values."""
    names = [name for name, _ in parameters]
    combinations = itertools.product(*(values for _, values in parameters))
    return tuple(
        ExternalModel(reference=reference, parameters=tuple(sorted(zip(names, values, strict=True))))
        for values in combinations
    )


def make_grid(
    models: Sequence[PoseSpec | ExternalModel],
    *,
    backends: Sequence[BackendName],
    scenarios: Sequence[Scenario] = (Scenario.COLD,),
    targets: Sequence[Target] = (Target.DLOGP,),
    left_out: Sequence[LeftOut] = (),
    evaluations: int = 200,
    time_limit_seconds: float | None = 3600.0,
    memory_limit_bytes: int | None = None,
) -> Grid:
    """Cross models with backends, targets and scenarios.

    Returns
    -------
    Grid

    Raises
    ------
    SpecError
        Where a limit or the number of evaluations is wrong, or an axis is empty.
    """
    for name, values in (("--backend", backends), ("--scenario", scenarios), ("--target", targets)):
        if not values:
            raise SpecError(name, "give at least one value")
    cases = {
        Case(
            model=model,
            backend=backend,
            target=target,
            scenario=scenario,
            evaluations=evaluations,
            time_limit_seconds=time_limit_seconds,
            memory_limit_bytes=memory_limit_bytes,
        ): None
        for model, backend, target, scenario in itertools.product(models, backends, targets, scenarios)
    }
    if not cases:
        raise SpecError("grid", "it has no case: every combination was left out")
    return Grid(cases=tuple(cases), left_out=tuple(left_out))
