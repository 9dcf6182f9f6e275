"""The frames by which a compile is recognised: a table of files and functions, and what each one's locals tell.

PyMC 5.16 to 6.4, PyTensor 2.25 to 3.3, Numba 0.60 to 0.68, JAX 0.4.31 to 0.12. All of these names are private to
their packages, so whatever is missing only makes the display poorer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from firstgrad.profile import UnitKind
from firstgrad.progress.snapshot import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sized

type Locals = Mapping[str, Any]
type Read = Callable[[Locals], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a frame means.

    Attributes
    ----------
    stage : Stage, optional
        The stage it begins, unless an outer frame began one.
    weak : bool
        Whether its stage counts only where no other frame tells.
    kind : UnitKind, optional
        What is being compiled in it.
    backend : str
        Whose it is.
    reads_cache : bool
        Whether it loads from a disk cache.
    outermost : callable, optional
        Reads fields of a `Look` from its locals; of several such frames the outermost counts.
    innermost : callable, optional
        The same, and the innermost counts.
    """

    stage: Stage | None = None
    weak: bool = False
    kind: UnitKind | None = None
    backend: str = ""
    reads_cache: bool = False
    outermost: Read | None = None
    innermost: Read | None = None


def _how_far(what: str, done: Sized, whole: Sized) -> dict[str, Any]:
    """Say which one is in work; after the last, the function still has things to do."""
    return {f"{what}_number": min(len(done) + 1, len(whole)), f"{what}_total": len(whole)}


def _rewrite_pass(names: Locals) -> dict[str, Any]:
    rewriter, done = names["rewriter"], names["sub_profs"]
    return {
        "pass_name": str(getattr(rewriter, "name", None) or type(rewriter).__name__),
        **_how_far("pass", done, names["self"].data),
        "nodes": len(names["fgraph"].apply_nodes),
    }


def _linked_node(names: Locals) -> dict[str, Any]:
    return _how_far("node", names["thunks"], names["order"])


def _converted_node(names: Locals) -> dict[str, Any]:
    return _how_far("node", names["body_assigns"], names["order"])


def _operation(names: Locals) -> dict[str, Any]:
    """Name the operation by its type: an operation's own text may be long, and is made anew each time."""
    op = names["node"].op
    inner = getattr(op, "scalar_op", None)
    name = type(op).__name__
    return {"unit": name if inner is None else f"{name}({type(inner).__name__})"}


def _jitted_function(names: Locals) -> dict[str, Any]:
    return {"unit": str(names["self"].py_func.__name__)}


def _callback(names: Locals) -> dict[str, Any]:
    return {"unit": str(names["self"].__name__)}


def _xla_program(names: Locals) -> dict[str, Any]:
    return {"unit": str(names["name"])}


def _imported_package(names: Locals) -> dict[str, Any]:
    return {"package": str(names["name"]).partition(".")[0]}


def _strong(stage: Stage) -> Known:
    return Known(stage=stage)


def _weak(stage: Stage) -> Known:
    return Known(stage=stage, weak=True)


_CORE, _MCMC, _JAX = "pymc/model/core.py", "pymc/sampling/mcmc.py", "pymc/sampling/jax.py"
_SAMPLE = _strong(Stage.SAMPLE)
_JITTED = Known(kind=UnitKind.JITTED_FUNCTION, stage=Stage.LINK, backend="numba", innermost=_jitted_function)
_XLA = Known(kind=UnitKind.XLA_MODULE, stage=Stage.LINK, backend="jax")

# A name with a dot is a qualified one. Files of PyTensor 3 and of PyTensor 2, one under the other.
TABLE: dict[tuple[str, str], Known] = {
    ("<frozen importlib._bootstrap>", "_find_and_load"): Known(stage=Stage.IMPORT, innermost=_imported_package),
    (_CORE, "register_rv"): _strong(Stage.BUILD),
    (_CORE, "__exit__"): _weak(Stage.BUILD),
    ("pymc/distributions/distribution.py", "__new__"): _strong(Stage.BUILD),
    ("pymc/model/transform/optimization.py", "freeze_dims_and_data"): _strong(Stage.BUILD),
    (_CORE, "initial_point"): _strong(Stage.INITIAL_POINT),
    ("pymc/initial_point.py", "make_initial_point_fn"): _strong(Stage.INITIAL_POINT),
    ("pymc/initial_point.py", "make_initial_point_fns_per_chain"): _strong(Stage.INITIAL_POINT),
    (_CORE, "logp"): _strong(Stage.LOGP_GRAPH),
    ("pymc/logprob/basic.py", "conditional_logp"): _strong(Stage.LOGP_GRAPH),
    ("pymc/logprob/basic.py", "transformed_conditional_logp"): _strong(Stage.LOGP_GRAPH),
    (_CORE, "dlogp"): _weak(Stage.GRAD_GRAPH),
    (_CORE, "logp_dlogp_function"): _weak(Stage.GRAD_GRAPH),
    (_MCMC, "assign_step_methods"): _weak(Stage.GRAD_GRAPH),
    ("nutpie/compile_pymc.py", "_make_functions"): _weak(Stage.GRAD_GRAPH),
    ("nutpie/compile_pymc.py", "_compute_shapes"): _strong(Stage.INITIAL_POINT),
    ("pymc/pytensorf.py", "rewrite_pregrad"): _strong(Stage.GRAD_GRAPH),
    ("pymc/pytensorf.py", "gradient"): _strong(Stage.GRAD_GRAPH),
    ("pytensor/gradient.py", "grad"): _strong(Stage.GRAD_GRAPH),
    ("pytensor/gradient.py", "jacobian"): _strong(Stage.GRAD_GRAPH),
    ("pytensor/compile/maker.py", "function"): _weak(Stage.LINK),
    ("pytensor/compile/function/__init__.py", "function"): _weak(Stage.LINK),
    ("pymc/pytensorf.py", "compile"): _weak(Stage.LINK),
    ("nutpie/compile_pymc.py", "compile_pymc_model"): _weak(Stage.LINK),
    ("pytensor/compile/maker.py", "prepare_fgraph"): _strong(Stage.REWRITE),
    ("pytensor/compile/function/types.py", "prepare_fgraph"): _strong(Stage.REWRITE),
    ("pytensor/graph/rewriting/utils.py", "rewrite_graph"): _strong(Stage.REWRITE),
    ("pytensor/graph/rewriting/basic.py", "SequentialGraphRewriter.apply"): Known(outermost=_rewrite_pass),
    ("pytensor/compile/maker.py", "FunctionMaker.create"): _strong(Stage.LINK),
    ("pytensor/compile/function/types.py", "FunctionMaker.create"): _strong(Stage.LINK),
    ("pytensor/link/vm.py", "VMLinker.make_all"): Known(stage=Stage.LINK, outermost=_linked_node, innermost=_operation),
    ("pytensor/link/utils.py", "fgraph_to_python"): Known(
        stage=Stage.LINK, outermost=_converted_node, innermost=_operation
    ),
    ("pytensor/link/numba/linker.py", "fgraph_convert"): Known(backend="numba"),
    ("pytensor/link/jax/linker.py", "fgraph_convert"): Known(backend="jax"),
    ("pytensor/link/c/basic.py", "make_thunk"): Known(backend="c"),
    ("pytensor/link/c/op.py", "make_c_thunk"): Known(backend="c"),
    ("pytensor/link/c/cmodule.py", "GCC_compiler.compile_str"): Known(kind=UnitKind.C_MODULE, backend="c"),
    ("pytensor/compile/executor.py", "Function.__call__"): _strong(Stage.CALL),
    ("pytensor/compile/function/types.py", "Function.__call__"): _strong(Stage.CALL),
    ("pymc/pytensorf.py", "__call__"): _weak(Stage.CALL),
    ("numba/core/dispatcher.py", "Dispatcher.compile"): _JITTED,
    ("numba/core/dispatcher.py", "_compile_for_args"): Known(stage=Stage.LINK, backend="numba"),
    ("numba/core/ccallback.py", "CFunc.compile"): Known(
        kind=UnitKind.JITTED_FUNCTION, stage=Stage.LINK, backend="numba", innermost=_callback
    ),
    ("numba/core/decorators.py", "wrapper"): Known(stage=Stage.LINK, backend="numba"),
    ("numba/core/caching.py", "IndexDataCacheFile._load_data"): Known(reads_cache=True),
    ("numba/core/caching.py", "CompileResultCacheImpl.rebuild"): Known(reads_cache=True),
    ("jax/_src/pjit.py", "cache_miss"): _XLA,
    ("jax/_src/pjit.py", "_pjit_call_impl_python"): Known(innermost=_xla_program),
    ("jax/_src/compiler.py", "compile_or_get_cached"): _XLA,
    **{
        (_MCMC, name): _SAMPLE
        for name in ("_sample_many", "_mp_sample", "_iter_sample", "_sample_return", "_sample_population")
    },
    ("pymc/sampling/population.py", "_sample_population"): _SAMPLE,
    **{(_JAX, name): _SAMPLE for name in ("_sample_numpyro_nuts", "_sample_blackjax_nuts")},
    ("nutpie/sample.py", "sample"): _SAMPLE,
    ("nutpie/sample.py", "wait"): _SAMPLE,
}

_BY_NAME: dict[str, list[tuple[str, str, Known]]] = {}
for (_file, _name), _known in TABLE.items():
    _BY_NAME.setdefault(_name.rpartition(".")[2], []).append((_file, _name, _known))


@lru_cache(maxsize=4096)
def known_frame(file: str, function: str) -> Known | None:
    """Say what a frame means.

    Parameters
    ----------
    file : str
        Its code's file.
    function : str
        Its code's qualified name.

    Returns
    -------
    Known or None
        None where it means nothing to us.
    """
    plain = function.rpartition("<locals>.")[2]
    for end, name, known in _BY_NAME.get(plain.rpartition(".")[2], ()):
        if file.endswith(end) and ("." not in name or name == plain):
            return known
    return None
