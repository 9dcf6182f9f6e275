"""The words in which firstgrad tells of a compile."""

from __future__ import annotations

from enum import StrEnum


class UnitKind(StrEnum):
    """What a backend compiles one by one."""

    C_MODULE = "c_module"
    JITTED_FUNCTION = "jitted_function"
    XLA_MODULE = "xla_module"


class Stage(StrEnum):
    """What a thread is doing. Wider than `firstgrad.record.Phase`: users also import, sample and wait."""

    IMPORT = "import"
    BUILD = "build"
    INITIAL_POINT = "initial_point"
    LOGP_GRAPH = "logp_graph"
    GRAD_GRAPH = "grad_graph"
    REWRITE = "rewrite"
    LINK = "link"
    FIRST_CALL = "first_call"
    CALL = "call"
    SAMPLE = "sample"
    OTHER = "other"

    @property
    def is_compile(self) -> bool:
        """Whether something is on its way to a compiled function."""
        return self in _COMPILE


_COMPILE = frozenset(
    (Stage.INITIAL_POINT, Stage.LOGP_GRAPH, Stage.GRAD_GRAPH, Stage.REWRITE, Stage.LINK, Stage.FIRST_CALL)
)
