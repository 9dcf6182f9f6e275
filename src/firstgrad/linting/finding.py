"""What lint finds. Imports nothing heavy: the parent's side reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from firstgrad.observe.events import CodeLine
from firstgrad.record import Environment, Failure


class FindingName(StrEnum):
    """The closed list of findings; each has a page of this name in ``docs/lint/``."""

    VARIABLE_PER_ELEMENT = "variable-per-element"  # one line of a loop makes a free variable for each element
    GROWS_WITH_DATA = "grows-with-data"  # one line of a loop makes an observed variable or a potential for each datum
    SAME_SUBGRAPH = "same-subgraph"  # one line stands many times in the graph, as in an unrolled integral
    SCALAR_LOOP = "scalar-loop"  # a Python loop writes a recursion step by step
    SCAN_CLOSED_FORM = "scan-closed-form"  # a scan that a cumulative sum or one array operation does
    NO_STATIC_SHAPE = "no-static-shape"  # a size that JAX must know depends on data that may change
    LARGE_CONSTANT = "large-constant"  # a constant that Numba's cache doesn't take
    MANY_OPERANDS = "many-operands"  # a sum of more operands than a backend takes
    UNKNOWN_TO_JAX = "unknown-to-jax"  # an operation that PyTensor's JAX backend doesn't have
    PYTHON_IN_NUMBA = "python-in-numba"  # an operation that Numba leaves to Python
    GRADIENT_PER_VARIABLE = "gradient-per-variable"  # `compile_dlogp` walks backwards once for each variable
    SINGULAR_AT_DATA = "singular-at-data"  # a power, log, root or division meets its singular point at the data
    MASK_AFTER_ARITHMETIC = (
        "mask-after-arithmetic"  # `where` picks the good values after they were computed with the bad
    )
    UNSTABLE_FORMULA = "unstable-formula"  # softplus, logsumexp, erfc written by hand
    NARROW_TYPE = "narrow-type"  # float32 or int where it matters

    @property
    def page(self) -> str:
        """Its page, from the project's root."""
        return f"docs/lint/{self}.md"


class Harm(StrEnum):
    """What a finding costs."""

    WRONG = "wrong"
    UNSUPPORTED = "unsupported"
    COMPILE = "compile"
    MEMORY = "memory"
    EVALUATION = "evaluation"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """Seconds that a finding costs here, from what was measured elsewhere."""

    low_seconds: float
    high_seconds: float
    of_what: str  # "first gradient with numba, cold"
    evidence: str  # where it was measured

    @property
    def middle_seconds(self) -> float:
        """Geometric middle of both ends."""
        return float((max(self.low_seconds, 0.0) * max(self.high_seconds, 0.0)) ** 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a model that its author would want to know."""

    name: FindingName
    harm: Harm
    fact: str  # one sentence, without its full stop
    lines: tuple[CodeLine, ...] = ()  # the user's, the one that matters most first
    variables: tuple[str, ...] = ()  # of the model; many numbered ones are one, with # for the number
    count: int = 1  # how many times
    nodes: int = 0  # of the log-density's graph
    work: int = 0  # those of them that a gradient goes through; estimates go by these,
    arrays: int = 0  # and by the different arrays that they take
    instead: str = ""  # what to write, on the user's own names; lines of code, comments begin with #
    estimates: tuple[CostEstimate, ...] = ()  # worst backend first
    backends: tuple[str, ...] = ()  # that it concerns; empty for all
    is_hint: bool = False  # worth knowing, nothing to mend

    @property
    def seconds(self) -> float:
        """What it is estimated to cost at most among the backends that it concerns."""
        return max((estimate.middle_seconds for estimate in self.estimates), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedRule:
    """A rule that could not look."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LintReport:
    """What was found in one model, the worst first."""

    model: str
    findings: tuple[Finding, ...] = ()
    terms: int = 0  # of the log-density
    nodes: int = 0
    seconds: float = 0.0  # of looking, without building the model
    skipped: tuple[SkippedRule, ...] = ()
    environment: Environment | None = None  # none where it was looked at in the caller's process
    failure: Failure | None = None  # why nothing could be looked at
    notes: tuple[str, ...] = field(default=())

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing to mend."""
        return self.failure is None and all(finding.is_hint for finding in self.findings)


_ORDER = tuple(Harm)


def worst_first(findings: list[Finding]) -> tuple[Finding, ...]:
    """Order findings: what is wrong or doesn't run, then by seconds, then by size; hints last."""
    return tuple(
        sorted(
            findings,
            key=lambda one: (
                one.is_hint,
                _ORDER.index(one.harm) if one.harm in (Harm.WRONG, Harm.UNSUPPORTED) else len(_ORDER),
                -one.seconds,
                -one.nodes,
                str(one.name),
            ),
        )
    )
