"""Every private name of PyTensor, PyMC, Numba, JAX and nutpie (and one of Python) that firstgrad reads.

Nowhere else in firstgrad stands one (``tests/architecture/test_private_names.py``), and
``tests/contract/test_probes.py`` walks all of them on the installed releases. Names are resolved by text when they are
asked for: this module imports none of these packages. PyMC 5.16 to 6.4, PyTensor 2.25 to 3.3, Numba 0.60 to 0.68, JAX
0.4.31 to 0.12.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Any

from firstgrad.errors import UnavailableError
from firstgrad.observe.events import Stage, UnitKind

if TYPE_CHECKING:
    from collections.abc import Sized
    from pathlib import Path
    from types import CodeType, FrameType


@dataclass(frozen=True, slots=True)
class Probe:
    """A private name, and what it is needed for."""

    gives: str  # what is lost where no release's name is there
    places: tuple[str, ...]  # ``module:name.within``, that of the newest release first
    reads: tuple[str, ...] = ()  # locals of the function that are read from its frames
    since: str = ""  # ``package release`` before which there is no such thing, which is known and no mistake

    def find(self) -> Any:
        """Import what the name stands for; raise `UnavailableError` where the release has it in none of its places."""
        reason: Exception | None = None
        for place in self.places:
            module, _, path = place.partition(":")
            try:
                return reduce(getattr, path.split("."), importlib.import_module(module))
            except (ImportError, AttributeError) as error:
                reason = reason or error
        what = f"{_release(self.places[0])} has no {self.places[0].replace(':', '.')}"
        raise UnavailableError(f"{self.gives}: {what}") from reason

    def is_near(self) -> bool:
        """Whether someone else has imported one of its modules, to the end: half of one is no place to register."""
        modules = (sys.modules.get(place.partition(":")[0]) for place in self.places)
        return any(each and not getattr(getattr(each, "__spec__", None), "_initializing", False) for each in modules)

    def peek(self) -> Any:
        """Take it, but only from what is imported already; None where it isn't there."""
        with suppress(UnavailableError):
            return self.find() if self.is_near() else None
        return None


def _release(place: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # takes 10 ms, and is for errors only

    package = place.partition(":")[0].partition(".")[0]
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"this {package}"


# Python
IMPORT_LOCK_ENTER = Probe("imports", ("importlib._bootstrap:_ModuleLockManager.__enter__",), reads=("self",))
IMPORT_LOCK_EXIT = Probe("imports", ("importlib._bootstrap:_ModuleLockManager.__exit__",), reads=("self",))
PROCESS_BODY = Probe("the end of processes", ("multiprocessing.process:BaseProcess._bootstrap",))

# PyTensor
PROFILE_STATS = Probe(
    "PyTensor's own profile",
    ("pytensor.compile.debug.profiling:ProfileStats", "pytensor.compile.profiling:ProfileStats"),
)
GRAPH_REWRITER = Probe("the border between rewriting and linking", ("pytensor.graph.rewriting.basic:GraphRewriter",))
COMPILE_C_MODULE = Probe("C modules as they are compiled", ("pytensor.link.c.basic:CLinker.compile_cmodule",))
MAKE_C_THUNK = Probe("C modules", ("pytensor.link.c.basic:CLinker.cthunk_factory",), reads=("self", "key"))
RUN_COMPILER = Probe("seconds of the C++ compiler alone", ("pytensor.utils:output_subprocess_Popen",))
COMPILE_C_HELPER = Probe(
    "PyTensor's own C helpers as they are compiled",
    ("pytensor.link.c.cmodule:GCC_compiler.compile_str",),
    reads=("module_name", "src_code"),
)
GET_MODULE_CACHE = Probe("the number of C modules", ("pytensor.link.c.basic:get_module_cache",))
MODULE_CACHE = Probe("the number of C modules", ("pytensor.link.c.cmodule:_module_cache",))
LAZY_LINKER = Probe("PyTensor's own C helpers", ("pytensor.link.c.lazylinker_c:CLazyLinker",))
MAKE_NUMBA_FUNCTION = Probe(
    "operations and nodes of jitted functions",
    ("pytensor.link.numba.dispatch.basic:numba_funcify_ensure_cache",),
    reads=("jitable_func", "op", "node|kwargs"),
    since="pytensor 3",
)
_MAKER = ("pytensor.compile.maker:FunctionMaker", "pytensor.compile.function.types:FunctionMaker")
_FUNCTION = ("pytensor.compile.executor:Function", "pytensor.compile.function.types:Function")
_COMPILES = "compiles of PyTensor"
MAKER_BEGIN = Probe(_COMPILES, tuple(f"{place}.__init__" for place in _MAKER), reads=("self", "inputs"))
MAKER_REWRITE = Probe(_COMPILES, tuple(f"{place}.prepare_fgraph" for place in _MAKER), reads=("fgraph",))
MAKER_LINK = Probe(_COMPILES, tuple(f"{place}.create" for place in _MAKER), reads=("self",))
FUNCTION_CALL = Probe("calls of compiled functions", tuple(f"{place}.__call__" for place in _FUNCTION), reads=("self",))
FUNCTION_COPY = Probe("copies of compiled functions", tuple(f"{place}.copy" for place in _FUNCTION), reads=("self",))
GRADIENT = Probe("seconds of the gradient's graph", ("pytensor.gradient:grad",))
GRADIENT_STEPS = Probe("the user's lines of a gradient's nodes", ("pytensor.gradient:_populate_grad_dict",))
PROCESS_NODE = Probe(
    "rewriters_tried",
    ("pytensor.graph.rewriting.basic:NodeProcessingGraphRewriter.process_node",),
    reads=("self", "node_rewriter"),
)
CHANGE_OF_GRAPH = Probe(
    "the user's lines of what rewrites make",
    ("pytensor.graph.fg:FunctionGraph.change_node_input",),
    reads=("self", "node", "i", "new_var"),
)
PYTENSOR_CONFIG = Probe("the user's lines of nodes that libraries make", ("pytensor:config",))
JAX_LINKER = Probe("firstgrad.fast_mode()", ("pytensor.link.jax.linker:JAXLinker",))
JAX_FUNCIFY = Probe("graphs as functions of JAX", ("pytensor.link.jax.dispatch:jax_funcify",))
NUMBA_FUNCIFY = Probe(
    "operations that Numba leaves to Python", ("pytensor.link.numba.dispatch:numba_funcify",), since="pytensor 2.25"
)
JAX_TYPIFY = Probe("constants for JAX", ("pytensor.link.jax.dispatch:jax_typify",))
GRAPH_TO_PYTHON = Probe("graphs as functions of JAX", ("pytensor.link.utils:fgraph_to_python",), reads=("node",))
ANCESTORS = Probe("walks through a graph", ("pytensor.graph.traversal:ancestors", "pytensor.graph.basic:ancestors"))
GRAPH_INPUTS = Probe(
    "start points without a compiler", ("pytensor.graph.traversal:graph_inputs", "pytensor.graph.basic:graph_inputs")
)
NUMBA_CONSTANT_LIMIT = Probe(
    "how large a constant may be for Numba's cache",
    ("pytensor.link.numba.dispatch.basic:NUMBA_CONSTANT_SIZE_LIMIT",),
    since="pytensor 3.3.8",
)

_APART = "units that are compiled apart"
NUMBA_KEYS = Probe(_APART, ("pytensor.link.numba.cache:CACHED_SRC_FUNCTIONS",), since="pytensor 3")
NUMBA_TYPE = Probe(_APART, ("pytensor.link.numba.dispatch.basic:get_numba_type",))
NUMBA_CACHE_PATH = Probe(_APART, ("pytensor.link.numba.cache:NUMBA_CACHE_PATH",), since="pytensor 3")
NUMBA_NUMBERS = Probe(
    "Numba's functions of several processes in one program (before, two of them may have one name)",
    ("pytensor.link.numba.cache:_RandomUidIter",),
    since="pytensor 3",
)
C_LINKER = Probe(_APART, ("pytensor.link.c.basic:CLinker",))
VM_LINKER = Probe(_APART, ("pytensor.link.vm:VMLinker",))
MAP_STORAGE = Probe(_APART, ("pytensor.link.utils:map_storage", "pytensor.link.basic:map_storage"))
COMPILE_LOCK = Probe("a cache that others write to", ("pytensor.compile.compilelock:lock_ctx",))

# PyMC
FREEZE_DIMS_AND_DATA = Probe(
    "whether a frozen model would do", ("pymc.model.transform.optimization:freeze_dims_and_data",)
)
LEAPFROG_STATE = Probe(
    "the end of the sampler's first evaluation",
    ("pymc.step_methods.hmc.integration:CpuLeapfrogIntegrator.compute_state",),
)

_STARTS = "start points without a compiler"
START_EXPRESSION = Probe(_STARTS, ("pymc.initial_point:make_initial_point_expression",))
START_VALUES = Probe(_STARTS, ("pymc.initial_point:convert_str_to_rv_dict",))
NUTPIE_FROM_PYFUNC = Probe("nutpie with functions of one's own", ("nutpie.compiled_pyfunc:from_pyfunc",))
NUTPIE_BAR = Probe("PyMC's progress bar for nutpie", ("pymc.progress_bar:NutpieProgressBarManager",), since="pymc 6.1")
CONVERGENCE_CHECKS = Probe("PyMC's checks of draws", ("pymc.stats.convergence:run_convergence_checks",))
CONVERGENCE_LOG = Probe("PyMC's checks of draws", ("pymc.stats.convergence:log_warnings",))
NUTPIE_RESULT = Probe("data beside nutpie's draws", ("pymc.backends.arviz:patch_nutpie_idata",), since="pymc 6")
MODEL = Probe("models", ("pymc:Model",))
MODEL_ENTER = Probe("seconds of building models", ("pymc:Model.__enter__",), reads=("self",))
MODEL_EXIT = Probe("seconds of building models", ("pymc:Model.__exit__",), reads=("self",))
MODEL_LOGP = Probe("seconds of the log-density's graph", ("pymc:Model.logp",))
NUTPIE_IS_NEW = Probe(
    "whether nutpie is as new as PyMC asks for",
    ("pymc.sampling.mcmc:_nutpie_meets_min_version",),
    since="pymc 6",
)
NUTPIE_PROGRESS = Probe(
    "the moment of nutpie's first draws (they are noted at the end of the run)",
    ("pymc.progress_bar:NutpieProgressBarManager.update",),
    reads=("chain_progresses",),
    since="pymc 6.1",
)
_STAGE = "stages of a first draw"
ASSIGN_STEPS = Probe(_STAGE, ("pymc.sampling.mcmc:assign_step_methods",))
MAKE_START_POINT = Probe(_STAGE, ("pymc.initial_point:make_initial_point_fn",))
START_POINTS = Probe(_STAGE, ("pymc.sampling.mcmc:_init_jitter",))
START_TRACES = Probe(_STAGE, ("pymc.backends:init_traces",))
JAX_START_POINTS = Probe(_STAGE, ("pymc.sampling.jax:_get_batched_jittered_initial_points",))
JAX_LOGP = Probe(_STAGE, ("pymc.sampling.jax:get_jaxified_logp",))
JAX_GRAPH = Probe(_STAGE, ("pymc.sampling.jax:get_jaxified_graph",))
JAX_NUMPYRO = Probe(_STAGE, ("pymc.sampling.jax:_sample_numpyro_nuts",))
JAX_BLACKJAX = Probe(_STAGE, ("pymc.sampling.jax:_sample_blackjax_nuts",))
JAX_DRAWS = Probe(_STAGE, ("pymc.sampling.jax:_postprocess_samples",))
NUTPIE_SHAPES = Probe(_STAGE, ("nutpie.compile_pymc:_compute_shapes",))
NUTPIE_FUNCTIONS = Probe(_STAGE, ("nutpie.compile_pymc:_make_functions",))

# Numba
NUMBA_LISTENER = Probe("jitted functions as they are compiled", ("numba.core.event:Listener",))
NUMBA_REGISTER = Probe(NUMBA_LISTENER.gives, ("numba.core.event:register",))
NUMBA_UNREGISTER = Probe(NUMBA_LISTENER.gives, ("numba.core.event:unregister",))
_CACHE = "functions from Numba's cache, and their sizes"
NUMBA_LOAD = Probe(_CACHE, ("numba.core.caching:Cache.load_overload",), reads=("self",))
NUMBA_SAVE = Probe(_CACHE, ("numba.core.caching:Cache.save_overload",), reads=("self",))
NUMBA_DATA_PATH = Probe(_CACHE, ("numba.core.caching:IndexDataCacheFile._data_path",))
NUMBA_INDEX = Probe("entries of Numba's cache", ("numba.core.caching:IndexDataCacheFile",))
NUMBA_OPTIMISE = Probe(
    "LLVM's instructions", ("numba.core.codegen:CPUCodeLibrary._optimize_final_module",), reads=("self",)
)
NUMBA_OBJECT = Probe(
    "machine code of jitted functions", ("numba.core.codegen:CPUCodeLibrary._object_compiled_hook",), reads=("buf",)
)
NUMBA_TYPES = Probe(_APART, ("numba:types",))
NUMBA_TYPEOF = Probe(_APART, ("numba:typeof",))
NUMBA_FROM_DTYPE = Probe(_APART, ("numba:from_dtype",))
NUMBA = Probe("wrappers of Numba", ("numba:cfunc",))
NUMBA_WRAPPER = Probe(
    "wrappers of Numba",
    ("numba.core.ccallback:CFunc.compile.__wrapped__", "numba.core.ccallback:CFunc._compile_uncached"),
    reads=("self",),
)

# JAX
JAX_ON_DURATION = Probe("modules of XLA", ("jax.monitoring:register_event_duration_secs_listener",))
JAX_ON_EVENT = Probe("modules of XLA", ("jax.monitoring:register_event_listener",))
JAX_COMPILE = Probe("operations of HLO", ("jax._src.compiler:compile_or_get_cached",), reads=("computation",))
JAX_CONFIG = Probe("entries of JAX's cache", ("jax:config",))
JAX_END_DURATION = Probe(
    "an end to listening",
    (
        "jax.monitoring:unregister_event_duration_listener",
        "jax._src.monitoring:unregister_event_duration_listener",
        "jax._src.monitoring:_unregister_event_duration_listener_by_callback",
    ),
)
JAX_END_EVENT = Probe(
    "an end to listening",
    (
        "jax.monitoring:unregister_event_listener",
        "jax._src.monitoring:unregister_event_listener",
        "jax._src.monitoring:_unregister_event_listener_by_callback",
    ),
)
_KEPT = "functions that are kept for the next process"
JAX_TRACE_CONTEXT = Probe(_KEPT, ("jax._src.config:trace_context", "jax._src.config:_trace_context"))
JAX_DEVICES = Probe(_KEPT, ("jax._src.lib:xla_client.DeviceList",))
JAX_LAPACK = Probe(
    "kept functions that call LAPACK, which JAX finds when it first lowers one", ("jaxlib.lapack:_lapack.initialize",)
)
_JIT = "kept functions that are called as soon as JAX's own"
JAX_JIT = Probe(_JIT, ("jax._src.lib:_jax.pjit", "jax._src.lib:xla_client._xla.pjit"))
JAX_JIT_KEYS = Probe(_JIT, ("jax._src.interpreters.pxla:JitGlobalCppCacheKeys",))
JAX_JIT_ANSWER = Probe(_JIT, ("jax._src.interpreters.pxla:MeshExecutableFastpathData",))
JAX_JIT_ARGUMENT = Probe(_JIT, ("jax._src.interpreters.pxla:cc_shard_arg",))
JAX_JIT_TREES = Probe(_JIT, ("jax._src.tree_util:dispatch_registry",))
JAX_CLIENT = Probe("the device that JAX computes on", ("jax._src.xla_bridge:_default_backend",))

_SAMPLING = "when draws began"
SAMPLE_PYMC = Probe(_SAMPLING, ("pymc.sampling.mcmc:_sample_many",))
SAMPLE_PYMC_CORES = Probe(_SAMPLING, ("pymc.sampling.mcmc:_mp_sample",))
SAMPLE_PYMC_CHAIN = Probe(_SAMPLING, ("pymc.sampling.parallel:_Process.run", "pymc.sampling.parallel:_run_process"))
SAMPLE_NUTPIE = Probe(_SAMPLING, ("nutpie.sample:sample",))
SAMPLE_NUMPYRO = Probe(_SAMPLING, ("pymc.sampling.jax:_sample_numpyro_nuts",))
SAMPLE_BLACKJAX = Probe(_SAMPLING, ("pymc.sampling.jax:_sample_blackjax_nuts",))
SAMPLE_SMC = Probe(_SAMPLING, ("pymc.smc.sampling:_sample_smc_sequentially", "pymc.smc.sampling:run_chains_sequential"))
SAMPLE_SMC_CHAIN = Probe(_SAMPLING, ("pymc.smc.parallel:_SMCProcess.run", "pymc.smc.sampling:_sample_smc_int"))
SAMPLERS = {
    "pymc": (SAMPLE_PYMC, SAMPLE_PYMC_CORES, SAMPLE_PYMC_CHAIN),
    "nutpie": (SAMPLE_NUTPIE,),
    "numpyro": (SAMPLE_NUMPYRO,),
    "blackjax": (SAMPLE_BLACKJAX,),
    "smc": (SAMPLE_SMC, SAMPLE_SMC_CHAIN),
}
"""The functions in which a sampler draws, when all is compiled but what is compiled at its first call."""

_DISPATCH = "densities and implementations of one's own classes"
DISPATCHERS = {
    name: Probe(_DISPATCH, places, since=since)
    for name, places, since in (
        ("logprob", ("pymc.logprob.abstract:_logprob",), ""),
        ("logcdf", ("pymc.logprob.abstract:_logcdf",), ""),
        ("logccdf", ("pymc.logprob.abstract:_logccdf",), "pymc 6"),
        ("icdf", ("pymc.logprob.abstract:_icdf",), ""),
        ("support_point", ("pymc.distributions.distribution:_support_point",), ""),
        ("size", ("pymc.distributions.shape_utils:_change_dist_size",), ""),
        ("transform", ("pymc.distributions.transforms:_default_transform",), ""),
        ("vectorize", ("pytensor.graph.replace:_vectorize_node",), ""),
        ("jax", ("pytensor.link.jax.dispatch.basic:jax_funcify",), ""),
        ("numba", ("pytensor.link.numba.dispatch.basic:numba_funcify",), ""),
        ("numba key", ("pytensor.link.numba.dispatch.basic:numba_funcify_and_cache_key",), "pytensor 3"),
        ("numba default key", ("pytensor.link.numba.dispatch.basic:numba_funcify_default_op_cache_key",), "pytensor 3"),
    )
}
"""Functions with a version for each class, which whoever writes a distribution or an operation registers."""

_MODELS = "models that a script makes"
MODEL_INIT = Probe(_MODELS, ("pymc:Model.__init__",), reads=("self",))
_VERBS = ("measure", "profile", "check", "compare", "advise", "lint")
CONSUMERS = {
    name: Probe(_MODELS, places)
    for name, places in {
        "pm.sample": ("pymc:sample",),
        "pm.sample_smc": ("pymc:sample_smc",),
        "pm.sample_prior_predictive": ("pymc:sample_prior_predictive",),
        "pm.sample_posterior_predictive": ("pymc:sample_posterior_predictive",),
        "pm.fit": ("pymc:fit",),
        "pm.find_MAP": ("pymc:find_MAP",),
        "pm.sampling.jax": ("pymc.sampling.jax:sample_jax_nuts", "pymc.sampling.jax:sample_numpyro_nuts"),
        "nutpie.compile_pymc_model": ("nutpie:compile_pymc_model",),
        "pymc_extras.fit": ("pymc_extras:fit",),
        "Model.compile_fn": ("pymc:Model.compile_fn",),
        "Model.compile_logp": ("pymc:Model.compile_logp",),
        "Model.compile_dlogp": ("pymc:Model.compile_dlogp",),
        "Model.compile_d2logp": ("pymc:Model.compile_d2logp",),
        "Model.logp_dlogp_function": ("pymc:Model.logp_dlogp_function",),
        "Model.point_logps": ("pymc:Model.point_logps",),
        "Model.debug": ("pymc:Model.debug",),
        "Model.profile": ("pymc:Model.profile",),
        **{f"firstgrad.{verb}": (f"firstgrad.api:{verb}",) for verb in _VERBS},
        "firstgrad.fast_gradient": ("firstgrad.fast.gradient:fast_gradient",),
    }.items()
}
"""What a script makes a model for, as people call it."""

PROBES: dict[str, Probe] = {name: value for name, value in globals().items() if isinstance(value, Probe)}
PROBES |= {
    f"{kind} {name}": probe
    for kind, table in (("of", DISPATCHERS), ("calls", CONSUMERS))
    for name, probe in table.items()
}
"""All of them, by name."""

NUMBA_COMPILE = "numba:compile"
JAX_STEPS = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile",
}
"""JAX's events that tell how long a step took."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_HARMLESS_OF_JAX = re.compile(r"cache|_dir$|log|traceback|profil|dump|coordinator|heartbeat|^jax_platforms$")
"""The platform itself is a part of each digest: it matters not whether it was named, or is the only one."""
JAX_CACHE_HIT, JAX_CACHE_KEPT = "/jax/compilation_cache/cache_hits", "/jax/compilation_cache/cache_misses"
GRAPH_FUNCTION = "jax_funcified_fgraph"  # what PyTensor calls the function of a whole graph
NUMBA_DISPATCH = "numba_funcify"  # how PyTensor's functions that write functions for Numba begin
GRAPH_WRITER = "fgraph_to_python"  # the function of `GRAPH_TO_PYTHON`, on a stack
C_THUNK_MAKERS = frozenset({"make_c_thunk", "make_thunk"})
"""Functions of PyTensor whose local `node` is the one that is being compiled."""


def module_being_imported(frame: FrameType) -> tuple[Any, str]:
    """Read the import lock of a frame of `IMPORT_LOCK_ENTER` or `IMPORT_LOCK_EXIT`, and the module's name."""
    lock = frame.f_locals["self"]
    return lock, lock._name  # noqa: SLF001 - it has no other name


def nutpie_chains(frame: FrameType) -> Any:
    """Read how far each of nutpie's chains is, from a frame of `NUTPIE_PROGRESS`."""
    return frame.f_locals["chain_progresses"]


def gradient_step() -> CodeType:
    """Take the code of the function within `GRADIENT_STEPS` that asks a node, its local `node`, for its part."""
    for constant in GRADIENT_STEPS.find().__code__.co_consts:
        if getattr(constant, "co_name", "") == "access_term_cache" and "node" in constant.co_varnames:
            return constant  # type: ignore[no-any-return]  # what has a `co_name` is code
    raise UnavailableError(f"{GRADIENT_STEPS.gives}: {GRADIENT_STEPS.places[0]} has no function access_term_cache")


def cached_function(frame: FrameType) -> Any:
    """Read the Python function of a frame of `NUMBA_LOAD` or `NUMBA_SAVE`."""
    return frame.f_locals["self"]._py_func  # noqa: SLF001 - it has no public name


def wrapped_function(frame: FrameType) -> Any:
    """Read the Python function of a frame of `NUMBA_WRAPPER`."""
    return frame.f_locals["self"]._pyfunc  # noqa: SLF001 - it has no public name


def jax_settings() -> list[str]:
    """Write JAX's settings, all but those of which no executable hangs."""
    values = JAX_CONFIG.find().values
    settings = [f"{name}={value!r}" for name, value in sorted(values.items()) if not _HARMLESS_OF_JAX.search(name)]
    # Those that hold within a block of this thread; some are registered, as None or False, by modules that come later.
    here = [(place, repr(one)) for place, one in enumerate(JAX_TRACE_CONTEXT.find()()) if one is not None]
    return [*settings, *(f"{place} {_ADDRESS.sub('', text)}" for place, text in here if text != "False")]


def linker_backend(maker: Any) -> str:
    """Say for which backend a maker of functions links; '' where it doesn't tell."""
    module = type(maker.linker).__module__.removeprefix("pytensor.link.")
    if module.partition(".")[0] in ("numba", "jax", "pytorch", "mlx"):
        return module.partition(".")[0]
    has_c = getattr(maker.linker, "c_thunks", module.startswith("c."))
    return "c" if has_c else "python"


def jitted_function(event_data: Mapping[str, Any]) -> Any:
    """Read the Python function of what Numba's event tells."""
    dispatcher = event_data["dispatcher"]
    return getattr(dispatcher, "py_func", dispatcher)


def function_within(value_and_gradient: Any) -> Any:
    """Return PyTensor's function of what ``Model.logp_dlogp_function`` makes."""
    return value_and_gradient._pytensor_function  # noqa: SLF001 - PyMC's own integrator takes it, too


def numba_body(outer: Any) -> Any:
    """Return the Python function of a whole graph, a line a node, of the dispatcher that calls it."""
    inner = outer.py_func.__globals__.get("jitable_func")
    return outer.py_func if inner is None else inner.py_func


def llvm_text(library: Any) -> str:
    """Write LLVM's module of a library of Numba's, as it is now."""
    return str(library._final_module)  # noqa: SLF001 - `get_llvm_str` is for finished ones


class NumbaIndex:
    """The index of one function in Numba's cache: by signature, the file of its machine code."""

    def __init__(self, folder: Path, base: str) -> None:
        # PyTensor stamps each of its sources with 0.
        self._file = NUMBA_INDEX.find()(str(folder), base, 0)
        self.folder, self.base = folder, base

    def read(self) -> dict[Any, str]:
        """Read it; empty where it isn't there, or another Numba's."""
        return dict(self._file._load_index())  # noqa: SLF001 - it has no public name

    def write(self, entries: dict[Any, str]) -> None:
        """Put another in its place."""
        self._file._save_index(entries)  # noqa: SLF001 - it has no public name


def module_counts(cache: Any) -> tuple[int, int] | None:
    """Read how many C modules PyTensor's cache has seen compiled and loaded; None where it doesn't tell."""
    stats = getattr(cache, "stats", None)
    if not (isinstance(stats, list) and len(stats) == 3):  # noqa: PLR2004 - found in memory, loaded, compiled
        return None
    return int(stats[2]), int(stats[1])


def pass_positions(mode: Any) -> tuple[tuple[str, float | None], ...]:
    """List the named passes of a mode, each with its place in PyTensor's database, None where it has none there."""
    positions = mode.optdb.__position__
    return tuple((each.name, positions.get(each.name)) for each in mode.optimizer.data if getattr(each, "name", None))


# How long the tuples are that PyTensor's rewriters leave in its profile, by their kind.
_SEQUENCE, _EQUILIBRIUM, _WALK, _MERGE = 10, 12, 8, 7


def profiled_passes(stats: Any) -> list[tuple[Any, Any, Any]]:
    """Read each pass of PyTensor's profile, if any: the rewriter, its seconds, and what those within it left."""
    profile = getattr(stats, "rewriter_profile", None)
    if not profile:
        return []
    details = profile[1]
    return list(zip(details[0].data, details[1], details[6], strict=True))


def profiled_nodes(stats: Any) -> list[tuple[int, int]]:
    """Read the nodes of the graph before and after each pass, as `profiled_passes` does."""
    profile = getattr(stats, "rewriter_profile", None)
    return [(int(before), int(after)) for before, after in profile[1][8]] if profile else []


def profiled_parts(rewriter: Any, profile: Any) -> list[tuple[Any, float | None, int, Any]] | None:
    """Read a rewriter's parts, if any: each part's seconds (None: all), applications, and what it left itself."""
    size = len(profile) if isinstance(profile, tuple) else 0
    if size == _SEQUENCE and len(profile[1]) == len(profile[6]) == len(getattr(rewriter, "data", ())):
        return [(part, took, 0, inner) for part, took, inner in zip(rewriter.data, profile[1], profile[6], strict=True)]
    if size == _EQUILIBRIUM:
        applied: Counter[Any] = Counter()
        for loop in profile[2]:
            applied.update(loop)
        return [(part, took, applied[part], None) for part, took in profile[6].items()]
    if size == _WALK:
        # A walk is nameless where its one node rewriter has the name; the fusion's tuple ends in a time instead.
        named = rewriter if rewriter_name(rewriter) or isinstance(profile[7], (int, float)) else profile[7]
        return [(named, None, int(profile[1]), None)]
    if size == _MERGE and isinstance(profile[5], int):
        return [(rewriter, None, profile[5], None)]
    return None


def rewriter_name(rewriter: Any) -> str:
    """Return the name that a rewriter was given; '' for none."""
    return str(getattr(rewriter, "name", None) or getattr(rewriter, "__name__", None) or "")


type Locals = Mapping[str, Any]
type ReadLocals = Callable[[Locals], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFrame:
    """What a frame on a thread's stack means."""

    stage: Stage | None = None  # the stage it begins, unless an outer frame began one
    weak: bool = False  # whether its stage counts only where no other frame tells
    purpose: str = ""  # what is compiled within it is for, as `firstgrad.observe.compiles.Purpose` has it
    kind: UnitKind | None = None  # what is being compiled in it
    backend: str = ""  # whose it is
    reads_cache: bool = False  # whether it loads from a disk cache
    # Both read from its locals what is going on: of several such frames the one that the name says counts.
    outermost: ReadLocals | None = None
    innermost: ReadLocals | None = None


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


_CORE, _MCMC, _JAX = "pymc/model/core.py", "pymc/sampling/mcmc.py", "pymc/sampling/jax.py"
_NUTPIE = "nutpie/compile_pymc.py"


def derives_graphs(file: str, function: str) -> bool:
    """Whether a frame is of a rewrite or of ``Model.logp``: what is made there isn't of the line that called it."""
    return "/pytensor/graph/rewriting/" in file or (function == "logp" and file.endswith(_CORE))


_JITTED = KnownFrame(kind=UnitKind.JITTED_FUNCTION, stage=Stage.LINK, backend="numba", innermost=_jitted_function)
_XLA = KnownFrame(kind=UnitKind.XLA_MODULE, stage=Stage.LINK, backend="jax")

# Functions whose frames begin a stage, by file. Files of PyTensor 3 and of PyTensor 2, one under the other.
_STRONG = (
    (Stage.BUILD, _CORE, "register_rv"),
    (Stage.BUILD, "pymc/distributions/distribution.py", "__new__"),
    (Stage.BUILD, "pymc/model/transform/optimization.py", "freeze_dims_and_data"),
    (Stage.INITIAL_POINT, _CORE, "initial_point"),
    (Stage.INITIAL_POINT, "pymc/initial_point.py", "make_initial_point_fn make_initial_point_fns_per_chain"),
    (Stage.INITIAL_POINT, _NUTPIE, "_compute_shapes"),
    (Stage.LOGP_GRAPH, _CORE, "logp"),
    (Stage.LOGP_GRAPH, "pymc/logprob/basic.py", "conditional_logp transformed_conditional_logp"),
    (Stage.GRAD_GRAPH, "pymc/pytensorf.py", "rewrite_pregrad gradient"),
    (Stage.GRAD_GRAPH, "pytensor/gradient.py", "grad jacobian"),
    (Stage.REWRITE, "pytensor/compile/maker.py", "prepare_fgraph"),
    (Stage.REWRITE, "pytensor/compile/function/types.py", "prepare_fgraph"),
    (Stage.REWRITE, "pytensor/graph/rewriting/utils.py", "rewrite_graph"),
    (Stage.LINK, "pytensor/compile/maker.py", "FunctionMaker.create"),
    (Stage.LINK, "pytensor/compile/function/types.py", "FunctionMaker.create"),
    (Stage.CALL, "pytensor/compile/executor.py", "Function.__call__"),
    (Stage.CALL, "pytensor/compile/function/types.py", "Function.__call__"),
    (Stage.SAMPLE, _MCMC, "_sample_many _mp_sample _iter_sample _sample_return _sample_population"),
    (Stage.SAMPLE, "pymc/sampling/population.py", "_sample_population"),
    (Stage.SAMPLE, _JAX, "_sample_numpyro_nuts _sample_blackjax_nuts"),
    (Stage.SAMPLE, "nutpie/sample.py", "sample wait"),
)
_WEAK = (
    (Stage.BUILD, _CORE, "__exit__"),
    (Stage.GRAD_GRAPH, _CORE, "dlogp logp_dlogp_function"),
    (Stage.GRAD_GRAPH, _MCMC, "assign_step_methods"),
    (Stage.GRAD_GRAPH, _NUTPIE, "_make_functions"),
    (Stage.LINK, "pytensor/compile/maker.py", "function"),
    (Stage.LINK, "pytensor/compile/function/__init__.py", "function"),
    (Stage.LINK, "pymc/pytensorf.py", "compile compile_pymc"),
    (Stage.LINK, _NUTPIE, "compile_pymc_model"),
    (Stage.CALL, "pymc/pytensorf.py", "__call__"),
)
# A name with a dot is a qualified one.
FRAMES: dict[tuple[str, str], KnownFrame] = {
    (file, name): KnownFrame(stage=stage, weak=weak)
    for weak, table in ((False, _STRONG), (True, _WEAK))
    for stage, file, names in table
    for name in names.split()
} | {
    ("<frozen importlib._bootstrap>", "_find_and_load"): KnownFrame(stage=Stage.IMPORT, innermost=_imported_package),
    ("pytensor/graph/rewriting/basic.py", "SequentialGraphRewriter.apply"): KnownFrame(outermost=_rewrite_pass),
    ("pytensor/link/vm.py", "VMLinker.make_all"): KnownFrame(
        stage=Stage.LINK, outermost=_linked_node, innermost=_operation
    ),
    ("pytensor/link/utils.py", "fgraph_to_python"): KnownFrame(
        stage=Stage.LINK, outermost=_converted_node, innermost=_operation
    ),
    ("pytensor/link/numba/linker.py", "fgraph_convert"): KnownFrame(backend="numba"),
    ("pytensor/link/jax/linker.py", "fgraph_convert"): KnownFrame(backend="jax"),
    ("pytensor/link/c/basic.py", "make_thunk"): KnownFrame(backend="c"),
    ("pytensor/link/c/op.py", "make_c_thunk"): KnownFrame(backend="c"),
    ("pytensor/link/c/cmodule.py", "GCC_compiler.compile_str"): KnownFrame(kind=UnitKind.C_MODULE, backend="c"),
    ("numba/core/dispatcher.py", "Dispatcher.compile"): _JITTED,
    ("numba/core/dispatcher.py", "_compile_for_args"): KnownFrame(stage=Stage.LINK, backend="numba"),
    ("numba/core/ccallback.py", "CFunc.compile"): KnownFrame(
        kind=UnitKind.JITTED_FUNCTION, stage=Stage.LINK, backend="numba", innermost=_callback
    ),
    ("numba/core/decorators.py", "wrapper"): KnownFrame(stage=Stage.LINK, backend="numba"),
    ("numba/core/caching.py", "IndexDataCacheFile._load_data"): KnownFrame(reads_cache=True),
    ("numba/core/caching.py", "CompileResultCacheImpl.rebuild"): KnownFrame(reads_cache=True),
    ("jax/_src/pjit.py", "cache_miss"): _XLA,
    ("jax/_src/pjit.py", "_pjit_call_impl_python"): KnownFrame(innermost=_xla_program),
    ("jax/_src/compiler.py", "compile_or_get_cached"): _XLA,
}

# What is compiled within a function is for: the innermost such function on the stack tells.
_PURPOSES = (
    ("start_point", "pymc/initial_point.py", "make_initial_point_fn make_initial_point_fns_per_chain"),
    ("start_point", _CORE, "initial_point eval_rv_shapes"),
    ("start_point", _MCMC, "_init_jitter"),
    ("start_point", _JAX, "_get_batched_jittered_initial_points"),
    ("start_point", _NUTPIE, "_compute_shapes"),
    ("logp", _CORE, "compile_logp point_logps check_start_vals"),
    ("logp", "pymc/step_methods/metropolis.py", "delta_logp"),
    ("gradient", _CORE, "compile_dlogp compile_d2logp logp_dlogp_function"),
    ("gradient", _JAX, "_sample_numpyro_nuts _sample_blackjax_nuts"),
    ("gradient", _NUTPIE, "_make_functions logp_fn_jax_grad logp"),
    ("gradient", "pymc/variational/opvi.py", "step_function"),
    ("expand", "pymc/backends/base.py", "__init__"),
    ("expand", "pymc/backends/zarr.py", "__init__"),
    ("expand", "pymc/sampling/deterministic.py", "compute_deterministics"),
    ("expand", _JAX, "_postprocess_samples"),
    ("expand", _NUTPIE, "expand"),
    ("predictive", "pymc/sampling/forward.py", "compile_forward_sampling_function draw"),
    ("predictive", "pymc/sampling/forward.py", "sample_prior_predictive sample_posterior_predictive"),
    ("log_likelihood", "pymc/stats/log_density.py", "compute_log_density compute_log_likelihood"),
    ("log_likelihood", "pymc/stats/log_likelihood.py", "compute_log_likelihood"),
    ("log_likelihood", _JAX, "_get_log_likelihood"),
    ("smc", "pymc/smc/kernels.py", "_logp_forw"),
)
for _purpose, _file, _names in _PURPOSES:
    for _name in _names.split():
        FRAMES[_file, _name] = replace(FRAMES.get((_file, _name), KnownFrame()), purpose=_purpose)
LATER_PURPOSES = {("_make_functions", "logp_fn_pt"): "expand"}
"""By function and local: what it compiles for once it has that local."""

_BY_NAME: dict[str, list[tuple[str, str, KnownFrame]]] = {}
for (_file, _name), _known in FRAMES.items():
    _BY_NAME.setdefault(_name.rpartition(".")[2], []).append((_file, _name, _known))


@lru_cache(maxsize=4096)
def known_frame(file: str, function: str) -> KnownFrame | None:
    """Say what a frame means, by its code's file and qualified name; None where it means nothing to us."""
    plain = function.rpartition("<locals>.")[2]
    for end, name, known in _BY_NAME.get(plain.rpartition(".")[2], ()):
        if file.endswith(end) and ("." not in name or name == plain):
            return known
    return None
