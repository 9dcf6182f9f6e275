"""A grid: the cases that a sweep measures, made from its axes or from a named tier."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from enum import StrEnum
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

    `states` and `hmm_algorithm` hold where there is an HMM; everything else is as in `base`.
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
class OmittedModel:
    """A combination of axes that is no model: which, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The cases of a sweep."""

    cases: tuple[Case, ...]
    """Each once, in the order of the axes."""
    omitted: tuple[OmittedModel, ...] = ()
    """Combinations that cannot be; never passed over in silence."""


def pose_models(
    axes: PoseAxes, *, one_at_a_time: bool = False
) -> tuple[tuple[PoseSpec, ...], tuple[OmittedModel, ...]]:
    """List the pose models of some axes, and the combinations that are none.

    One at a time: of the sizes (T, K, C, S) only one differs from the base in each model, which is what growth laws
    need, and a fraction of the whole grid. The other axes are crossed all the same.
    """
    models: dict[PoseSpec, None] = {}
    omitted: list[OmittedModel] = []
    for arguments in axes:
        if one_at_a_time and axes.moved(arguments) > 1:
            continue
        hmm = arguments.pop("hmm")
        try:
            spec = HmmSpec(n_states=hmm[0], algorithm=hmm[1]) if hmm else None
            models[replace(axes.base, hmm=spec, **arguments)] = None
        except SpecError as error:
            sizes = f"T={arguments['n_timesteps']} K={arguments['n_directions']}"
            omitted.append(OmittedModel(what=f"{sizes} {hmm[1] if hmm else 'no HMM'}", reason=error.problem))
    return tuple(models), tuple(omitted)


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
    omitted: Sequence[OmittedModel] = (),
    evaluations: int = 200,
    time_limit_seconds: float | None = 3600.0,
    memory_limit_bytes: int | None = None,
) -> Grid:
    """Cross models with backends, targets and scenarios.

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
    return Grid(cases=tuple(cases), omitted=tuple(omitted))


class TierName(StrEnum):
    """``quick``: minutes. ``standard``: an hour or more. ``full``: the whole grid, days."""

    QUICK = "quick"
    STANDARD = "standard"
    FULL = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """What a sweep measures where its options don't say otherwise."""

    axes: PoseAxes
    backends: tuple[BackendName, ...]
    scenarios: tuple[Scenario, ...]
    samples: int
    one_at_a_time: bool


_ALL_BACKENDS = (BackendName.JAX, BackendName.C, BackendName.NUMBA)

TIERS = {
    TierName.QUICK: Tier(
        axes=PoseAxes(timesteps=(30, 10, 100), directions=(2, 1, 5), hmm=(False, True)),
        backends=(BackendName.JAX,),
        scenarios=(Scenario.COLD,),
        samples=2,
        one_at_a_time=True,
    ),
    TierName.STANDARD: Tier(
        axes=PoseAxes(
            timesteps=(100, 10, 30, 300, 1000), directions=(5, 1, 2, 10, 20), hmm=(False, True), states=(2, 4, 8)
        ),
        backends=_ALL_BACKENDS,
        scenarios=(Scenario.COLD, Scenario.WARM),
        samples=1,
        one_at_a_time=True,
    ),
    TierName.FULL: Tier(
        axes=PoseAxes(
            timesteps=(10, 30, 100, 300, 1000),
            directions=(1, 2, 5, 10, 20),
            hmm=(False, True),
            states=(2, 4, 8),
            hmm_algorithm=tuple(HmmAlgorithm),
            formulation=tuple(Formulation),
        ),
        backends=_ALL_BACKENDS,
        scenarios=tuple(Scenario),
        samples=3,
        one_at_a_time=False,
    ),
}
"""Each tier; options of the command line replace single axes."""
