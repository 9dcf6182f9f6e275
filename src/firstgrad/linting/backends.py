"""What backends make of a graph: operations they lack or leave to Python, sizes that JAX must know, large constants.

Backends are asked by their own registries, one small graph for each kind of operation, rewritten as the backend would;
nothing is compiled.
"""

from __future__ import annotations

import functools
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from firstgrad.errors import UnavailableError
from firstgrad.grouping import grouped
from firstgrad.linting.engine import NotLookedError, TermKind, number_names
from firstgrad.linting.finding import Extent, Finding, FindingName, Harm, Pattern, estimate
from firstgrad.linting.numerical import point_beside
from firstgrad.observe import probes
from firstgrad.observe.lines import walk
from firstgrad.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from firstgrad.linting.engine import LogpGraph, Term

_MOST_NODES_TRACED = 1000
"""Of the log-density: to rewrite and trace more for JAX takes longer than looking may."""
_SHAPED = frozenset(
    {"Reshape", "ARange", "Alloc", "Split", "Eye", "Shape", "Shape_i", "MakeVector", "Subtensor", "Join"}
)
EVERYWHERE = _SHAPED | {
    *("CAReduce", "DimShuffle", "IncSubtensor", "AdvancedSubtensor", "AdvancedIncSubtensor", "CheckAndRaise", "Dot"),
    *("Cholesky", "SolveTriangular", "TensorFromScalar", "ScalarFromTensor", "SpecifyShape", "CumOp", "ExtractDiag"),
}
"""Operations, or what they are kinds of, that both backends have: neither need be imported to say so."""
_SMALL_BYTES = 10**5  # a constant that any release of Numba's cache takes
_FUNCTIONS = {
    "GammaInc": "the lower incomplete gamma function (pt.gammainc)",
    "GammaIncC": "the upper incomplete gamma function (pt.gammaincc)",
    "GammaIncInv": "the inverse of the incomplete gamma function (pt.gammaincinv)",
    "GammaIncCInv": "the inverse of the incomplete gamma function (pt.gammainccinv)",
    "BetaInc": "the incomplete beta function (pt.betainc)",
    "BetaIncInv": "the inverse of the incomplete beta function (pt.betaincinv)",
    "Hyp2F1": "the Gauss hypergeometric function (pt.hyp2f1)",
    "Owens_t": "Owen's T function (pt.owens_t)",
    "Jv": "the Bessel function of the first kind (pt.jv)",
    "J0": "the Bessel function of the first kind of order 0 (pt.j0)",
    "J1": "the Bessel function of the first kind of order 1 (pt.j1)",
    "I1": "the modified Bessel function of order 1 (pt.i1)",
    "Ive": "the modified Bessel function of the first kind (pt.ive)",
    "Kve": "the modified Bessel function of the second kind (pt.kve)",
    "Kv": "the modified Bessel function of the second kind (pt.kv)",
    "TriGamma": "the trigamma function (pt.tri_gamma)",
    "PolyGamma": "the polygamma function (pt.polygamma)",
    "SplineWrapper": "the spline of pm.Interpolated (SplineWrapper)",
}

_CACHED = "register_funcify_default_op_cache_key"  # `numba_funcify.register` leaves it uncached
_BY_JAX = (
    "# let JAX differentiate, or stay with Numba:\n"
    'compiled = nutpie.compile_pymc_model(model, backend="jax", gradient_backend="jax")\n'
    "gradient = firstgrad.fast_gradient(model)  # for your own sampler; firstgrad measure --backend jax_direct"
)


def function_name(op: Any) -> str:
    """Name what an operation computes as a person knows it."""
    core = getattr(op, "core_op", op)
    scalar = getattr(core, "scalar_op", core)
    name = type(scalar).__name__
    return _FUNCTIONS.get(name, f"the operation {name}")


# --- operations ---------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Lacking:
    """What a backend makes of a kind of operation that it lacks."""

    op: Any
    only_gradient: bool = False
    own_derivative: bool = False  # JAX's own works
    wants: str = ""  # a package with which it would have it
    nodes: list[Any] = field(default_factory=list)


def operations(graph: LogpGraph) -> Iterator[Finding]:
    """Find operations that JAX doesn't have, and those that Numba leaves to Python."""
    asked = _suspects(graph)
    if not asked:
        return
    for backend, tell in (("jax", _unknown_to_jax), ("numba", _python_in_numba)):
        if find_spec(backend) is None:
            continue
        lacking: dict[str, _Lacking] = {}
        for (node, free), nodes in asked.values():
            found = _try(node, free, backend)
            if found is not None:
                known = lacking.setdefault(function_name(node.op), found)
                known.only_gradient &= found.only_gradient
                known.nodes += nodes
        for name, one in lacking.items():
            yield tell(graph, name, one)


def _suspects(graph: LogpGraph) -> dict[Any, tuple[tuple[Any, tuple[bool, ...]], list[Any]]]:
    """Return a node of each kind of operation that a backend may lack, with the inputs that are free, and all nodes."""
    found: dict[Any, tuple[tuple[Any, tuple[bool, ...]], list[Any]]] = {}
    for node in graph.distinct:
        for inner in (node, *_inside(node.op)):
            if not _is_suspect(inner.op):
                continue
            free = tuple(
                (graph.is_free(one) if inner is node else True)
                and str(getattr(one.type, "dtype", "")).startswith("float")
                for one in inner.inputs
            )
            try:
                key: Any = (hash(inner.op), type(inner.op), tuple(map(str, (one.type for one in inner.inputs))), free)
            except TypeError:
                key = id(inner.op)
            found.setdefault(key, ((inner, free), []))[1].append(node)
    return found


def _inside(op: Any) -> Iterator[Any]:
    """Yield the nodes of the graphs within an operation: a scan's step, an `OpFromGraph`."""
    fgraph = getattr(op, "fgraph", None)
    if fgraph is not None:
        for node in walk(fgraph.outputs):
            yield node
            yield from _inside(node.op)


def _is_suspect(op: Any) -> bool:
    core = getattr(op, "core_op", op)
    scalar = getattr(core, "scalar_op", None)
    if scalar is not None:
        return type(scalar).__module__ != "pytensor.scalar.basic"
    if hasattr(op, "fgraph") or any(map(_is_everywhere, type(core).__mro__)):
        return False
    dispatchers = filter(None, map(_dispatcher, ("jax", "numba")))
    return any(one.dispatch(type(core)) is one.dispatch(object) for one in dispatchers)


def _is_everywhere(kind: type) -> bool:
    return kind.__name__ in EVERYWHERE and kind.__module__.startswith(("pytensor.", "pymc."))


@functools.cache
def _dispatcher(backend: str) -> Any:
    if find_spec(backend) is None:
        return None
    with suppress(UnavailableError):
        return (probes.JAX_FUNCIFY if backend == "jax" else probes.NUMBA_FUNCIFY).find()
    return None


def _try(node: Any, free: tuple[bool, ...], backend: str) -> _Lacking | None:
    """Ask a backend for an operation and its gradient, each in a small graph of its own."""
    inputs = [one if hasattr(one, "data") else one.type() for one in node.inputs]
    outputs = node.op.make_node(*inputs).outputs
    variables = [one for one in inputs if not hasattr(one, "data")]
    if _has_all(variables, outputs, backend):
        gradient = _gradient(outputs[0], [one for one, is_free in zip(inputs, free, strict=True) if is_free])
        if not gradient or _has_all(variables, gradient, backend):
            return None
        own = backend == "jax" and _jax_differentiates(variables, outputs[0], free)
        return _Lacking(op=node.op, only_gradient=True, own_derivative=own)
    return _Lacking(op=node.op, wants=_wanted_package(variables, outputs) if backend == "jax" else "")


def _wanted_package(inputs: Sequence[Any], outputs: Sequence[Any]) -> str:
    """Name the package that PyTensor's JAX backend asks for; '' where it asks for none."""
    for node in _rewritten(inputs, outputs, "jax").apply_nodes:
        try:
            _dispatcher("jax")(node.op, node=node)
        except Exception as error:  # noqa: BLE001 - only what it says counts
            if "tfp" in str(error):
                return "tfp-nightly"
    return ""


def _gradient(output: Any, variables: list[Any]) -> list[Any]:
    import pytensor

    wanted = [one for one in variables if not hasattr(one, "data")]
    if not wanted or not str(getattr(output.type, "dtype", "")).startswith("float"):
        return []
    try:
        gradient = pytensor.grad(output.sum(), wanted, disconnected_inputs="ignore", null_gradients="return")
    except Exception:  # noqa: BLE001 - an operation without gradient is not what is looked for here
        return []
    return [one for one in gradient if hasattr(one.type, "dtype")]


def _has_all(inputs: list[Any], outputs: list[Any], backend: str) -> bool:
    """Whether a backend has all operations of a small graph, once it has rewritten it."""
    return not _lacking(_rewritten(inputs, outputs, backend).apply_nodes, backend)


def _rewritten(inputs: Sequence[Any], outputs: Sequence[Any], backend: str) -> Any:
    from pytensor.compile.mode import JAX, NUMBA
    from pytensor.graph.fg import FunctionGraph

    fgraph = FunctionGraph(list(inputs), list(outputs), clone=True)
    mode = (JAX if backend == "jax" else NUMBA).excluding("inplace")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mode.optimizer.rewrite(fgraph)
    return fgraph


def _lacking(nodes: Iterable[Any], backend: str) -> list[Any]:
    """Return the nodes that a backend doesn't have, or leaves to Python."""
    dispatcher = _dispatcher(backend)
    lacking = []
    for node in nodes:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                dispatcher(node.op, node=node)
            except Exception:  # noqa: BLE001 - each backend has its own way to say no
                # Numba's own functions want more than the node in places; what it lacks it never refuses.
                if backend == "jax" and type(node.op).__name__ not in _SHAPED:
                    lacking.append(node)
        if any("object mode" in str(one.message) for one in told):
            lacking.append(node)
    return lacking


def _jax_differentiates(inputs: Sequence[Any], output: Any, free: tuple[bool, ...]) -> bool:
    """Whether JAX's own derivative of an operation can be traced."""
    import jax
    import numpy as np

    fgraph = _rewritten(inputs, [output], "jax")
    try:
        function = probes.JAX_FUNCIFY.find()(fgraph)
        places = tuple(place for place, is_free in enumerate(free[: len(inputs)]) if is_free) or (0,)
        shapes = [
            jax.ShapeDtypeStruct(
                tuple(2 if size is None else size for size in one.type.shape), np.dtype(one.type.dtype)
            )
            for one in inputs
        ]
        jax.eval_shape(jax.grad(lambda *values: function(*values)[0].sum(), argnums=places), *shapes)
    except Exception:  # noqa: BLE001 - whatever JAX says, it is no
        return False
    return True


def _places(graph: LogpGraph, one: _Lacking) -> dict[str, Any]:
    # An operation of the user's own is made in its class, which is not where it is used
    called = (
        [line for line in graph.lines.of(node) if line.function.rpartition(".")[2] != "make_node"] for node in one.nodes
    )
    lines = dict.fromkeys(line for frames in called for line in frames[:1])
    free = {term.name for term in graph.terms if term.kind is TermKind.FREE}
    names = (name for node in one.nodes for name in graph.depends_on(node.outputs[0]) if name in free)
    count = len(one.nodes)
    return {"lines": tuple(lines), "variables": number_names(names), "count": count, "nodes": count}


def _unknown_to_jax(graph: LogpGraph, name: str, one: _Lacking) -> Finding:
    own = type(getattr(one.op, "core_op", one.op)).__name__
    if one.wants:
        fact = f"PyTensor's JAX backend has {name} only where the package {one.wants} is installed"
        instead = f"pip install {one.wants}  # or stay with Numba"
    elif one.only_gradient and one.own_derivative:
        fact = (
            f"PyTensor's JAX backend can't compute the gradient that PyTensor writes for {name}, but JAX's own "
            "derivative of it works"
        )
        instead = _BY_JAX
    elif _is_users(one.op):
        what = "has no gradient of" if one.only_gradient else "doesn't have"
        fact = f"PyTensor's JAX backend {what} {name}, which is your own"
        instead = (
            "# stay with Numba or C, or say what it is in JAX:\n"
            "from pytensor.link.jax.dispatch import jax_funcify\n\n"
            f"@jax_funcify.register({own})\n"
            f"def {own.lower()}_in_jax(op, **kwargs):\n"
            "    return function_of_jax_arrays"
        )
    else:
        what = "has no gradient of" if one.only_gradient else "doesn't have"
        fact = f"PyTensor's JAX backend {what} {name}"
        instead = "# stay with Numba (or C): pm.sample() takes it by itself"
        if own == "SplineWrapper":
            instead += (
                ";\n# or write the density by a formula: pm.Normal with the same mean and spread, a mixture of some"
            )
    return Finding(
        name=FindingName.UNKNOWN_TO_JAX,
        harm=Harm.UNSUPPORTED,
        fact=fact,
        **_places(graph, one),
        instead=instead,
        backends=("jax",),
        is_hint=True,
    )


def _is_users(op: Any) -> bool:
    return type(op).__module__.partition(".")[0] not in ("pytensor", "pymc", "pymc_extras")


def _python_in_numba(graph: LogpGraph, name: str, one: _Lacking) -> Finding:
    own = type(getattr(one.op, "core_op", one.op)).__name__
    what = f"the gradient of {name}" if one.only_gradient else name
    register = (
        f"# tell Numba what it is, and that its cache may keep it:\n"
        f"from pytensor.link.numba.dispatch.basic import {_CACHED}\n\n"
        f"@{_CACHED}({own})\n"
        f"def {own.lower()}_in_numba(op, node, **kwargs):\n"
        "    return function_compiled_by_numba"
    )
    return Finding(
        name=FindingName.PYTHON_IN_NUMBA,
        harm=Harm.EVALUATION,
        fact=f"Numba calls Python for {what}, {len(one.nodes)} times an evaluation; and no cache keeps the function "
        "around it, so each process compiles it again",
        **_places(graph, one),
        instead=register if _is_users(one.op) else "",
        estimates=estimate(Pattern.PYTHON, Extent(nodes=len(one.nodes))),
        backends=("numba",),
        is_hint=not _is_users(one.op),
    )


# --- sizes --------------------------------------------------------------------------------------------------------


def static_shapes(graph: LogpGraph) -> Iterator[Finding]:
    """Find sizes that JAX must know and that depend on data or dimensions which may change; by trying."""
    data = {
        variable: name
        for variable, name in graph.sources.items()
        if hasattr(variable, "get_value") and None in getattr(variable.type, "shape", ())
    }
    lengths = {length: str(name) for name, length in graph.model.dim_lengths.items() if length in graph.sources}
    grown = [term for term in graph.terms if term.kind is TermKind.FREE and None in term.value.type.shape]
    if not (data or lengths or grown) or find_spec("jax") is None:
        return
    # Terms that are alike are refused alike, and those without such a size are not asked
    unsure = {graph.sources[one] for one in (*data, *lengths, *(term.value for term in grown))}
    asked = {graph.alike[term.logp]: term for term in graph.terms if not unsure.isdisjoint(graph.depends_on(term.logp))}
    if sum(1 for _ in walk([term.logp for term in asked.values()])) > _MOST_NODES_TRACED:
        raise NotLookedError(f"with more than {_MOST_NODES_TRACED:,} nodes, trying JAX would take too long")
    cure = _cure_of_sizes(graph, [*asked.values()], [*filter(None, data.values())], grown)
    if not cure:
        return
    taking = (node for variable in (*data, *lengths) for node in graph.clients.get(variable, ()))
    made = (line for term in grown for line in term.lines[:1])
    lines = dict.fromkeys([*made, *(line for node in taking for line in graph.lines.of(node)[:1])])
    dims = (str(dim) for term in grown for dim in graph.model.named_vars_to_dims.get(term.name, ()) if dim)
    names = tuple(dict.fromkeys([*filter(None, data.values()), *lengths.values(), *dims]))
    yield Finding(
        name=FindingName.NO_STATIC_SHAPE,
        harm=Harm.UNSUPPORTED,
        fact=f"JAX must know a size that depends on what may change ({', '.join(names[:4])}), and refuses the model",
        lines=tuple(lines),
        variables=tuple(dict.fromkeys([*filter(None, data.values()), *(term.name for term in grown)])),
        count=len(data) + len(lengths) + len(grown),
        instead=cure,
        backends=("jax",),
        is_hint=True,
    )


class _Known(StrEnum):
    """Of what the sizes are as if they were known, to see what that would change."""

    DATA = "data"  # and dimensions
    ALL = "all"  # and variables


def _cure_of_sizes(graph: LogpGraph, terms: list[Term], data: list[str], grown: list[Term]) -> str:
    """Try terms, and what would cure them; '' where JAX takes them, or where nothing here helps."""
    model, logps, point = graph.model, [term.logp for term in terms], point_beside(graph.model, by=0.0)
    if not terms or not _jax_refuses(model, logps, point):
        return ""
    with suppress(Exception):  # some models can't be frozen, each for its own reason
        frozen = probes.FREEZE_DIMS_AND_DATA.find()(model)
        if not _jax_refuses(frozen, frozen.logp(vars=[frozen[term.name] for term in terms], sum=False), point):
            return (
                "from pymc.model.transform.optimization import freeze_dims_and_data\n\n"
                "model = freeze_dims_and_data(model)  # tried: JAX takes the frozen model"
            )
    if data and not _jax_refuses(model, logps, point, known=_Known.DATA):
        return (
            f'{data[0]} = pm.Data("{data[0]}", values, shape=values.shape)  # and so on for the others; freezing the '
            "model isn't enough here"
        )
    cures = []
    if grown and not _jax_refuses(model, logps, point, known=_Known.ALL):
        lengths = (model.coords.get(dim) or dim for dim in model.named_vars_to_dims.get(grown[0].name, ()))
        size = ", ".join(f"n_{one}" if isinstance(one, str) else str(len(one)) for one in lengths)
        cures.append(f"# give {grown[0].name} its size beside its dims: shape=({size},); or")
    if not _jax_refuses(model, logps, point, known=_Known.ALL, own_gradient=True):
        cures.append(_BY_JAX)
    return "\n".join(cures)


def _jax_refuses(
    model: Any, logps: Sequence[Any], point: Any, *, known: _Known | None = None, own_gradient: bool = False
) -> bool:
    """Whether JAX can't trace the gradient of some terms, PyTensor's or its own; perhaps with sizes known."""
    import jax
    import numpy as np
    import pytensor
    import pytensor.tensor as pt
    from pymc.pytensorf import rewrite_pregrad
    from pytensor.graph.replace import clone_replace

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            logp = pt.add(*(one.sum() for one in logps))
            leaves = dict.fromkeys(one for node in walk([logp]) for one in node.inputs if one.owner is None)
            values = [one for one in model.value_vars if one in leaves]
            shared = [one for one in leaves if hasattr(one, "get_value")]
            data = {one: pt.constant(one.get_value()) for one in shared if known and _is_array(one)}
            sized = {one: one for one in values}
            if known is _Known.ALL:
                sized = {one: pt.tensor(one.name, dtype=one.dtype, shape=point[one.name].shape) for one in values}
            if known:
                (logp,) = clone_replace([logp], replace=data | sized, rebuild_strict=False)
            shared = [one for one in shared if one not in data]
            continuous = [sized[one] for one in values if one in set(model.continuous_value_vars)]
            values = list(sized.values())
            logp = rewrite_pregrad(logp)  # as PyMC does
            outputs = [logp]
            if not own_gradient:
                outputs += pytensor.grad(logp, continuous, disconnected_inputs="ignore")
            fgraph = _rewritten([*values, *shared], outputs, "jax")
            function = probes.JAX_FUNCIFY.find()(fgraph)
            given = [np.asarray(point[one.name]) for one in values]
            given += [np.asarray(one.get_value()) if _is_array(one) else one.get_value() for one in shared]
            shapes = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in given]
            places = tuple(values.index(one) for one in continuous)
            own = jax.grad(lambda *inputs: function(*inputs)[0], argnums=places)
            jax.eval_shape(own if own_gradient else function, *shapes)
        except Exception:  # noqa: BLE001 - each way of saying no has an error of its own
            return True
        return False


def _is_array(variable: Any) -> bool:
    return hasattr(variable.type, "dtype") and hasattr(variable.type, "shape")


# --- constants ----------------------------------------------------------------------------------------------------


def large_constants(graph: LogpGraph) -> Iterator[Finding]:
    """Find constants that Numba's cache doesn't take."""
    data = {id(one.data): one.data for node in graph.nodes for one in node.inputs if hasattr(one, "data")}
    if find_spec("numba") is None or all(getattr(one, "nbytes", 0) <= _SMALL_BYTES for one in data.values()):
        return
    try:
        limit = int(probes.NUMBA_CONSTANT_LIMIT.find())
    except UnavailableError as error:
        raise NotLookedError(str(error)) from error
    sizes = {key: size for key, one in data.items() if (size := getattr(one, "nbytes", 0)) > limit}
    if not sizes:
        return
    largest = max(sizes.values())
    takers = grouped((id(one.data), node) for node in graph.nodes for one in node.inputs if hasattr(one, "data"))
    nodes = [node for key in sizes for node in takers[key]]
    observed = [
        term.name
        for term in graph.terms
        if term.kind is TermKind.OBSERVED and getattr(getattr(term.value, "data", None), "nbytes", 0) > limit
    ]
    lines = dict.fromkeys([*(line for node in nodes for line in graph.lines.of(node)[:1])])
    what = "a constant" if len(sizes) == 1 else f"{len(sizes)} constants"
    shown = observed[0] if observed else "x"
    yield Finding(
        name=FindingName.LARGE_CONSTANT,
        harm=Harm.COMPILE,
        fact=f"{what} of up to {format_bytes(largest)}: above {format_bytes(limit)} Numba's cache doesn't take the "
        "function that holds it, so each process compiles it again",
        lines=tuple(lines),
        variables=tuple(observed),
        count=len(sizes),
        nodes=len(nodes),
        instead=f'values_of_{shown} = pm.Data("values_of_{shown}", values)  # in the place of the array',
        estimates=estimate(Pattern.CONSTANT, Extent(nodes=0)),
        backends=("numba",),
    )
