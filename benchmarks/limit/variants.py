"""What is measured: each way of writing the density, with each way of compiling it, and the sample that comes of it."""

from __future__ import annotations

from dataclasses import dataclass

PLAIN = "JAX, plain"
"""The yardstick: `benchmarks.limit.plain`, value and gradient, no options."""
LEVEL_0 = (("xla_backend_optimization_level", 0),)
ONE_THREAD = (("xla_cpu_multi_thread_eigen", False),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way.

    Attributes
    ----------
    name : str
        As the table writes it.
    source : str
        ``plain``, ``lean`` or ``loops``: a module of this folder; ``loops`` is Numba's.
    form : str
        How ``plain`` sums the hidden states out.
    options : tuple of (str, int)
        For XLA, in force for this compile alone.
    without_hmm : bool
        Whether it differs from others where there is no HMM.
    is_cached : bool
        Whether it is measured warm, too.
    """

    name: str
    source: str = "plain"
    form: str = "scan"
    options: tuple[tuple[str, int], ...] = ()
    without_hmm: bool = True
    is_cached: bool = False


VARIANTS = (
    Variant(name=PLAIN, is_cached=True),
    Variant(name="JAX, plain, level 0", options=LEVEL_0),
    Variant(name="JAX, plain, tree", form="tree", without_hmm=False),
    Variant(name="JAX, plain, associative scan", form="associative", without_hmm=False),
    Variant(name="JAX, lean", source="lean", is_cached=True),
    Variant(name="JAX, lean, level 0", source="lean", options=LEVEL_0, is_cached=True),
    Variant(name="JAX, lean, one thread", source="lean", options=ONE_THREAD),
    Variant(name="Numba, loops", source="loops"),
)


def variant_named(name: str) -> Variant:
    """Find one by its name; StopIteration where there is none."""
    return next(each for each in VARIANTS if each.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What one sample measures: a variant, HMM off (0 states) or on, cold or from a filled cache."""

    variant: str
    n_states: int
    is_warm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a stage took: ``import``, ``trace``, ``lower``, ``compile``, ``first call``."""

    name: str
    wall_seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One sample: a process of its own, checked against the oracle.

    Attributes
    ----------
    stages : tuple of Stage
        In order. Numba has no ``trace`` and ``lower`` apart from ``compile``.
    evaluation_seconds : float
        Median of many calls at nearby points.
    peak_rss_bytes : int
        The kernel's high-water mark after the first call.
    executable_bytes : int or None
        Of XLA's serialised executable, machine code and what describes it; its own count of the code is 0 on a
        processor. None for Numba.
    program_characters, compiled_characters : int
        StableHLO before and HLO after XLA's passes; LLVM and assembly for Numba.
    flops, temporary_bytes : float or None
        By XLA's count of costs, and what it allocates for a call.
    cache_hits : int
        Programs that JAX took from its persistent cache.
    """

    stages: tuple[Stage, ...]
    evaluation_seconds: float
    peak_rss_bytes: int
    executable_bytes: int | None
    program_characters: int
    compiled_characters: int
    flops: float | None
    temporary_bytes: float | None
    cache_hits: int

    @property
    def first_gradient_wall_seconds(self) -> float:
        """All stages but the import."""
        return sum(stage.wall_seconds for stage in self.stages if stage.name != "import")

    @property
    def first_gradient_cpu_seconds(self) -> float:
        """All stages but the import, processor time."""
        return sum(stage.cpu_seconds for stage in self.stages if stage.name != "import")


def read_measured(document: dict[str, object]) -> Measured:
    """Read what a sample printed as JSON."""
    stages = tuple(Stage(**stage) for stage in document["stages"])  # type: ignore[attr-defined]
    return Measured(**{**document, "stages": stages})  # type: ignore[arg-type]
