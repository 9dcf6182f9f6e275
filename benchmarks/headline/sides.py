"""What the headline compares: ways to a gradient and a draw of the same model, and how each is measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from benchmarks.limit.variants import PLAIN
from firstgrad.case import BackendName, Case, Sampler, Scenario, Target
from firstgrad.pose.spec import Formulation, HmmAlgorithm, HmmSpec, PoseSpec

STATES = 2
TIME_LIMIT_SECONDS = 1500.0
LARGEST_OFTEN = 5


class Quantity(StrEnum):
    """What a sample tells, in the order of the table's columns."""

    FIRST_GRADIENT = "first gradient"
    SECOND_GRADIENT = "first gradient, second process"
    FIRST_DRAW = "first draw"
    SECOND_DRAW = "first draw, second process"
    EVALUATION = "evaluation"


class Way(StrEnum):
    """A way to gradients and draws: a row of the table."""

    DEFAULT = "PyMC's default (Numba; draws by nutpie)"
    DEFAULT_BOTH = "PyMC's default, log-density and gradient"
    NUTPIE_JAX = "nutpie with JAX"
    FIRSTGRAD = "firstgrad"
    VECTORISED = "firstgrad, written as arrays"
    NUMBA = "Numba, written as arrays (HMM as a tree), as NUTS calls it"
    NUMBA_BATCHED = "Numba, batched, as NUTS calls it"
    BY_HAND = "JAX, by hand"
    LOOPS = "Numba, loops by hand"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Size:
    """A size of the pose model; without an HMM it has 0 states."""

    timesteps: int = 100
    directions: int
    states: int

    def spec(self, formulation: Formulation, algorithm: HmmAlgorithm = HmmAlgorithm.SCAN) -> PoseSpec:
        """Write the model's spec."""
        hmm = HmmSpec(n_states=self.states, algorithm=algorithm) if self.states else None
        return PoseSpec(n_timesteps=self.timesteps, n_directions=self.directions, hmm=hmm, formulation=formulation)

    def __str__(self) -> str:
        return f"K={self.directions}, {f'HMM on, S={self.states}' if self.states else 'no HMM'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What is measured at one go: a sample in an empty cache, and one more by a second process.

    Attributes
    ----------
    way : Way
        Whose.
    formulation, backend, target, sampler
        Of the case that firstgrad measures; of one by hand or as NUTS calls it they are the defaults.
    variant : str
        Of `benchmarks.limit`, where the density is by hand.
    is_called : bool
        Whether only evaluations count, of the bare function as NUTS calls it (`benchmarks.headline.as_nuts`).
    has_second : bool
        Whether a second process is measured, with what the first one left.
    is_dear : bool
        Whether it takes minutes where the model is large, so that it is measured once.
    is_once : bool
        Whether it is measured once, whatever the size.
    """

    way: Way
    formulation: Formulation = Formulation.PER_JOINT
    backend: BackendName = BackendName.JAX_DIRECT
    target: Target = Target.LOGP_DLOGP
    sampler: Sampler = Sampler.AUTO
    variant: str = ""
    is_called: bool = False
    has_second: bool = False
    is_dear: bool = False
    is_once: bool = False

    def is_rare(self, size: Size) -> bool:
        """Whether it is measured once, after all rounds."""
        return self.is_once or (self.is_dear and size.directions > LARGEST_OFTEN)

    @property
    def name(self) -> str:
        """As it is told and chosen by."""
        what = Quantity.EVALUATION if self.is_called else Quantity.FIRST_GRADIENT
        return f"{self.way}: {Quantity.FIRST_DRAW if self.target is Target.FIRST_DRAW else what}"

    def case(self, size: Size, scenario: Scenario) -> Case:
        """Make the case of a size."""
        return Case(
            model=size.spec(self.formulation),
            backend=self.backend,
            target=self.target,
            sampler=self.sampler,
            scenario=scenario,
            # firstgrad's own are timed as NUTS calls them.
            evaluations=0 if self.sampler is not Sampler.AUTO or self.way is Way.FIRSTGRAD else 200,
            time_limit_seconds=TIME_LIMIT_SECONDS,
        )

    def quantity(self, scenario: Scenario) -> Quantity:
        """Say what a case of a scenario tells."""
        if self.target is Target.FIRST_DRAW:
            return Quantity.FIRST_DRAW if scenario is Scenario.COLD else Quantity.SECOND_DRAW
        return Quantity.FIRST_GRADIENT if scenario is Scenario.COLD else Quantity.SECOND_GRADIENT


_DRAW = Turn(way=Way.DEFAULT, target=Target.FIRST_DRAW, has_second=True)
TURNS = (
    # What the report that started this called, and the goals' numbers were: `compile_dlogp()`, the gradient alone.
    Turn(way=Way.DEFAULT, backend=BackendName.NUMBA, target=Target.DLOGP, has_second=True, is_dear=True),
    Turn(way=Way.DEFAULT_BOTH, backend=BackendName.NUMBA, is_once=True),
    replace(_DRAW, backend=BackendName.NUMBA, is_dear=True),
    replace(_DRAW, way=Way.NUTPIE_JAX, backend=BackendName.JAX, sampler=Sampler.NUTPIE),
    Turn(way=Way.FIRSTGRAD, has_second=True),
    replace(_DRAW, way=Way.FIRSTGRAD, sampler=Sampler.FIRSTGRAD),
    Turn(way=Way.FIRSTGRAD, is_called=True),
    Turn(way=Way.VECTORISED, formulation=Formulation.VECTORISED, has_second=True),
    Turn(way=Way.NUMBA, formulation=Formulation.VECTORISED, backend=BackendName.NUMBA, is_called=True, is_dear=True),
    Turn(way=Way.NUMBA_BATCHED, backend=BackendName.NUMBA, is_called=True, is_once=True),
    Turn(way=Way.BY_HAND, variant=PLAIN, has_second=True),
    Turn(way=Way.LOOPS, variant="Numba, loops"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A ratio of two ways, and what it was to be.

    Attributes
    ----------
    quantity : Quantity
        Of what.
    of, over : Way
        The ratio is that of the first to the second.
    most, least : dict of (int, int) to float
        The goal, by directions and states; a size without one is told all the same.
    """

    quantity: Quantity
    of: Way
    over: Way
    most: dict[tuple[int, int], float] | None = None
    least: dict[tuple[int, int], float] | None = None


GOALS = (
    Goal(quantity=Quantity.FIRST_GRADIENT, of=Way.FIRSTGRAD, over=Way.BY_HAND, most={(5, 0): 1.5, (5, STATES): 1.7}),
    Goal(quantity=Quantity.FIRST_GRADIENT, of=Way.FIRSTGRAD, over=Way.VECTORISED, most={(20, STATES): 1.3}),
    Goal(quantity=Quantity.FIRST_GRADIENT, of=Way.DEFAULT, over=Way.FIRSTGRAD, least={(5, 0): 45, (5, STATES): 50}),
    Goal(quantity=Quantity.FIRST_GRADIENT, of=Way.DEFAULT_BOTH, over=Way.FIRSTGRAD),
    Goal(quantity=Quantity.SECOND_GRADIENT, of=Way.FIRSTGRAD, over=Way.BY_HAND, most={(5, 0): 2, (5, STATES): 2}),
    Goal(quantity=Quantity.FIRST_DRAW, of=Way.DEFAULT, over=Way.FIRSTGRAD, least={(5, 0): 25, (5, STATES): 20}),
    Goal(quantity=Quantity.SECOND_DRAW, of=Way.DEFAULT, over=Way.FIRSTGRAD, least={(5, 0): 10, (5, STATES): 10}),
    Goal(quantity=Quantity.FIRST_DRAW, of=Way.NUTPIE_JAX, over=Way.FIRSTGRAD),
    Goal(quantity=Quantity.SECOND_DRAW, of=Way.NUTPIE_JAX, over=Way.FIRSTGRAD),
    Goal(quantity=Quantity.EVALUATION, of=Way.FIRSTGRAD, over=Way.LOOPS, most={(5, 0): 1.6, (5, STATES): 2.2}),
    Goal(quantity=Quantity.EVALUATION, of=Way.NUMBA, over=Way.LOOPS, most={(5, 0): 1.6, (5, STATES): 2.2}),
    Goal(quantity=Quantity.EVALUATION, of=Way.NUMBA_BATCHED, over=Way.LOOPS, most={(5, 0): 1.6, (5, STATES): 2.2}),
)
