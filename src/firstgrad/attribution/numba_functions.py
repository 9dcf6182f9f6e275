"""Which PyTensor operation and which nodes a function that Numba compiles was made for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

_DISPATCH = "numba_funcify"
_LOCALS = ".<locals>."


@dataclass(slots=True, eq=False)
class MadeFor:
    """What a function was made for.

    Attributes
    ----------
    function : object
        Held, so that its id stays its own.
    name : str
        Of PyTensor's implementation, also where `function` is the wrapper that PyTensor caches in its place.
    op : object
        The operation; the whole graph is one as well.
    chains : list of tuple of nodes
        The nodes it serves, each followed by those around it, innermost first.
    is_keyed : bool
        Whether PyTensor gave it a cache key.
    """

    function: Any
    name: str
    op: Any
    chains: list[tuple[Any, ...]] = field(default_factory=list)
    is_keyed: bool = True


class FunctionBook:
    """Notes what PyTensor makes functions for, as its ``numba_funcify_ensure_cache`` starts and returns."""

    def __init__(self) -> None:
        self._made: dict[int, MadeFor] = {}
        self._around: list[tuple[FrameType, Any]] = []

    def started(self, frame: FrameType) -> None:
        """Note which node's function is being made; those made within belong to its inner graph."""
        # Those whose making raised never returned.
        alive = _frames_around(frame)
        self._around = [each for each in self._around if id(each[0]) in alive]
        self._around.append((frame, _node_of(frame)))

    def returned(self, frame: FrameType, value: Any) -> None:
        """Note the function, and the one that it wraps."""
        known = frame.f_locals
        while self._around and self._around[-1][0] is not frame:
            self._around.pop()
        # Noted at the start: PyTensor 3.3.8 gives its variable `node` another value on the way.
        is_whole_graph = not self._around or self._around[-1][1] is None
        nodes = tuple(node for _, node in reversed(self._around) if node is not None)
        del self._around[-1:]
        function, key = value
        inner = plain_function(known["jitable_func"])
        for each in (plain_function(function), inner):
            made = self._made.setdefault(id(each), MadeFor(each, short_name(inner), known["op"]))
            made.is_keyed = key is not None
            if not is_whole_graph:
                made.chains.append(nodes)

    def find(self, function: Any) -> MadeFor | None:
        """Look up what a function was made for; none where PyTensor did not make it for an operation."""
        return self._made.get(id(function))

    def unkeyed_operations(self) -> list[Any]:
        """Operations without a cache key, each once, in the order in which they came; not whole graphs."""
        ops = [made.op for made in self._made.values() if not made.is_keyed and not hasattr(made.op, "apply_nodes")]
        return list({str(op): op for op in ops}.values())


def plain_function(function: Any) -> Any:
    """Return the Python function that a dispatcher compiles."""
    return getattr(function, "py_func", function)


def short_name(function: Any) -> str:
    """Name a function as its source does.

    A closure is named after the function around it, ``_gemm_impl`` and not ``impl``, unless that is one of PyTensor's
    ``numba_funcify_…``, whose closures have names of their own.
    """
    outer, _, inner = str(getattr(function, "__qualname__", function)).partition(_LOCALS)
    return inner.rpartition(_LOCALS)[2] if inner and outer.startswith(_DISPATCH) else outer


def is_helper(function: Any) -> bool:
    """Whether a function is a part of what pulled it in: it is Numba's own, or a closure of a ``numba_funcify_…``."""
    package = str(getattr(function, "__module__", None) or "").partition(".")[0]
    name = str(getattr(function, "__qualname__", ""))
    return package == "numba" or (name.startswith(_DISPATCH) and _LOCALS in name)


def _node_of(frame: FrameType) -> Any:
    """Return the node that a function is made for: a parameter of its own from PyTensor 3.3.8 on."""
    known = frame.f_locals
    return known["node"] if "node" in known else known["kwargs"].get("node")


def _frames_around(frame: FrameType) -> set[int]:
    found, each = set[int](), frame.f_back
    while each is not None:
        found.add(id(each))
        each = each.f_back
    return found
