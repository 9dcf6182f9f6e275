"""The units of a gradient's function, each compiled by itself, in the order that types allow; and caches put together.

Of Numba's function a unit is the function of one node, and at last that of the whole graph, which calls all others:
its types are found as Numba finds them there, one call after the other. Of C's it is a node's module.
"""

from __future__ import annotations

import ast
import base64
import inspect
import os
import pickle
import random
import shutil
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from firstgrad.case import Sampler
from firstgrad.observe import probes
from firstgrad.precompiling.schedule import PlannedUnit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from firstgrad.backends.base import BuiltModel

_REFUSED = "Cannot cache compiled function"
_NO_NUMBA_KEY = "PyTensor gives it no key in its cache"
_NO_C_VERSION = "its operation has no c_code_cache_version"
_HELPERS = ("cutils_ext", "lazylinker_ext", "scan_perform")  # of PyTensor's own, beside the modules
_STAGE = ".firstgrad"


class Units(Protocol):
    """All units of a model's function."""

    listed: tuple[PlannedUnit, ...]
    types: dict[str, str]  # of what no unit gives, as texts
    likely: dict[str, str]  # of what units give
    cache: Path  # where this process keeps them

    def make(self, number: int, takes: Sequence[str], others: Sequence[Path]) -> tuple[tuple[str, ...], bool, str]:
        """Compile one, or load it: the types that it gives, whether it was compiled, and why it isn't kept ('' if).

        What is within it may be in the caches of others meanwhile.
        """


def open_numba(built: BuiltModel, sampler: Sampler) -> NumbaUnits:
    """Write and rewrite the graphs of what a sampler asks Numba for; nothing is compiled."""
    probes.NUMBA_NUMBERS.find()
    if sampler is Sampler.NUTPIE:
        return NumbaUnits(_nutpie_functions(built), called_by_numba=True)
    return NumbaUnits([_gradient(built, "NUMBA")], called_by_numba=False)


def _gradient(built: BuiltModel, mode: Any) -> Any:
    """Make PyTensor's function of log-density and gradient, as PyMC's NUTS asks for it."""
    make = built.model.logp_dlogp_function
    known = inspect.signature(make).parameters
    start = built.initial if built.initial is not None else built.model.initial_point()
    options = {"ravel_inputs": True, "initial_point": dict(start)}
    return probes.function_within(make(mode=mode, **{key: given for key, given in options.items() if key in known}))


def _nutpie_functions(built: BuiltModel) -> list[Any]:
    made = probes.NUTPIE_FUNCTIONS.find()(
        built.model, mode="NUMBA", compute_grad=True, join_expanded=True, pymc_initial_point_fn=None, var_names=None
    )
    return [part for part in made if hasattr(part, "vm")]


class NumbaUnits:
    """Calls within the Python functions that PyTensor writes for Numba, and these functions themselves."""

    def __init__(self, functions: Iterable[Any], *, called_by_numba: bool) -> None:
        self._called_by_numba = called_by_numba
        self.cache = Path(probes.NUMBA_CACHE_PATH.find())
        self.types: dict[str, str] = {}
        self.likely: dict[str, str] = {}
        self._keys, self._typeof = probes.NUMBA_KEYS.find(), probes.NUMBA_TYPEOF.find()
        self._dispatchers: list[Any] = []
        self._seen: dict[Path, int] = {}
        units: list[PlannedUnit] = []
        for place, function in enumerate(functions):
            units += self._list(function, f"{place}:")
        self.listed = tuple(units)

    def _list(self, function: Any, prefix: str) -> Iterator[PlannedUnit]:
        outer = function.vm.jit_fn
        body = probes.numba_body(outer)
        (written,) = ast.parse(body.__source__).body
        names, is_kept = body.__globals__, True
        if not isinstance(written, ast.FunctionDef):  # pragma: no cover - PyTensor writes one function
            raise TypeError(f"PyTensor wrote no function: {body.__source__[:80]}")
        inputs = [f"{prefix}{one.arg}" for one in written.args.args]
        self.types |= dict(zip(inputs, self._input_types(function, outer), strict=True))
        calls = [
            (line, line.value)
            for line in written.body
            if isinstance(line, ast.Assign) and isinstance(line.value, ast.Call)
        ]
        nodes = function.maker.fgraph.toposort()
        for place, (line, call) in enumerate(calls):
            called, local = _names(call.func)[0], _names(*call.args)
            dispatcher = names[called]
            for name in local:
                if name in names and f"{prefix}{name}" not in self.types:
                    self.types[f"{prefix}{name}"] = self._constant_type(outer, names[name])
            key = self._keys.get(dispatcher.py_func, "")
            is_kept &= bool(key)
            self._dispatchers.append(dispatcher)
            gives = tuple(f"{prefix}{name}" for name in _names(*line.targets))
            if len(nodes) == len(calls) and len(nodes[place].outputs) == len(gives):
                self._note_likely(gives, nodes[place].outputs)
            yield PlannedUnit(name=called, key=key, takes=tuple(f"{prefix}{name}" for name in local), gives=gives)
        self._dispatchers.append(outer)
        key = self._keys.get(outer.py_func, "")
        yield PlannedUnit(
            name=f"the whole graph {prefix}{written.name}",
            key=f"{key} whole" * bool(key),
            takes=tuple(inputs),
            closes=True,
        )

    def _note_likely(self, names: Sequence[str], variables: Sequence[Any]) -> None:
        """Guess the types of a node's outputs: contiguous, as those of most are."""
        to_numba = probes.NUMBA_TYPE.find()
        for name, variable in zip(names, variables, strict=True):
            with suppress(NotImplementedError):
                self.likely[name] = _write(to_numba(variable.type, layout="C"))

    def _input_types(self, function: Any, outer: Any) -> Iterator[str]:
        types, of_dtype = probes.NUMBA_TYPES.find(), probes.NUMBA_FROM_DTYPE.find()
        for variable, storage in zip(function.maker.fgraph.inputs, function.vm.inputs, strict=True):
            if storage[0] is None:  # what is given with each call
                yield _write(types.Array(of_dtype(variable.type.numpy_dtype), variable.type.ndim, "C"))
            else:
                yield _write(outer.typeof_pyval(storage[0]))

    def _constant_type(self, outer: Any, value: Any) -> str:
        """Find the type of a global name as Numba has it within a function."""
        types, context = probes.NUMBA_TYPES.find(), outer.targetdescr.typing_context
        kind = types.maybe_literal(value) or context.resolve_value_type(value)
        return _write(kind.copy(readonly=True) if isinstance(kind, types.Array) else kind)

    def make(self, number: int, takes: Sequence[str], others: Sequence[Path]) -> tuple[tuple[str, ...], bool, str]:
        """Compile or load one."""
        self._take_from(others)
        unit, dispatcher = self.listed[number], self._dispatchers[number]
        context, before = dispatcher.targetdescr.typing_context, _hits(dispatcher)
        kinds = tuple(map(_read, takes))
        context.refresh()
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            if unit.closes and not self._called_by_numba:  # Python gives it a tuple of its arguments
                dispatcher.compile((probes.NUMBA_TYPES.find().BaseTuple.from_types(kinds),))
                given = None
            else:
                given = context.resolve_function_type(self._typeof(dispatcher), kinds, {}).return_type
        refused = [str(one.message) for one in heard if _REFUSED in str(one.message)]
        is_loaded = _hits(dispatcher) > before
        gives = [given] * len(unit.gives) if given is None or len(unit.gives) == 1 else list(given)
        why = _NO_NUMBA_KEY if not unit.key else refused[0] if refused and not is_loaded else ""
        return tuple(map(_write, gives)), not is_loaded, why

    def _take_from(self, others: Sequence[Path]) -> None:
        """Take what is new in other processes' caches."""
        found = {index: index.stat().st_mtime_ns for other in others for index in other.glob("*.nbi")}
        new = [index for index, changed in found.items() if self._seen.get(index) != changed]
        self._seen |= found
        stage = self.cache.parent / _STAGE
        stage.mkdir(exist_ok=True)
        for _ in _merge_numba(new, self.cache, stage):
            pass


def _names(*nodes: ast.expr) -> list[str]:
    """List the names in a node of source, in order."""
    parts = [part for node in nodes for part in (node.elts if isinstance(node, ast.Tuple) else [node])]
    return [part.id for part in parts if isinstance(part, ast.Name)]


def _hits(dispatcher: Any) -> int:
    return sum(dispatcher.stats.cache_hits.values())


def _write(kind: Any) -> str:
    return base64.b64encode(pickle.dumps(kind)).decode()


def _read(text: str) -> Any:
    return pickle.loads(base64.b64decode(text))  # noqa: S301 - a process beside this one wrote it a moment ago


class _Linked(BaseException):
    """Told by a linker that was asked for a function: the graph, and that the function isn't needed."""

    def __init__(self, linker: Any) -> None:
        super().__init__()
        self.linker = linker


def open_c(built: BuiltModel) -> CUnits:
    """Write and rewrite the graph; nothing is compiled."""
    from pytensor.compile.mode import Mode

    class Catching(probes.VM_LINKER.find()):  # type: ignore[misc]  # a class that is found at run time
        def make_all(self, *_: Any, **_options: Any) -> Any:
            raise _Linked(self)

    try:
        _gradient(built, Mode(Catching(use_cloop=True), "fast_run"))
    except _Linked as caught:
        return CUnits(caught.linker)
    raise TypeError("PyTensor linked nothing")  # pragma: no cover - it has no other way to a function


class CUnits:
    """The C modules of a graph's nodes; what has a graph within it, as a scan, is one unit with all of that."""

    def __init__(self, linker: Any) -> None:
        import pytensor

        self.cache, self.types, self.likely = Path(pytensor.config.compiledir), dict[str, str](), dict[str, str]()
        order = linker.schedule(linker.fgraph)
        _, _, self._storage = probes.MAP_STORAGE.find()(linker.fgraph, order)
        self._computed = {variable: [variable.owner is None] for variable in self._storage}
        keyed = [(node, key) for node in order if (key := _c_key(node)) is not None]
        first = {key: number for number, (_, key) in reversed(list(enumerate(keyed)))}
        self._nodes = [keyed[number][0] for number in sorted(first.values())]
        # What has a graph within it takes longest: it is begun first.
        self._nodes.sort(key=lambda node: not hasattr(node.op, "fgraph"))
        self.listed = tuple(PlannedUnit(name=str(node.op), key=f"{number}") for number, node in enumerate(self._nodes))

    def make(self, number: int, _takes: Sequence[str], _others: Sequence[Path]) -> tuple[tuple[str, ...], bool, str]:
        """Compile or load one."""
        node = self._nodes[number]
        before = self._compiled()
        node.op.make_thunk(node, self._storage, self._computed, [])
        key = _c_key(node)
        is_kept = isinstance(key, str) or bool(key[0])
        return (), self._compiled() > before, "" if is_kept else _NO_C_VERSION

    def _compiled(self) -> int:
        counts = probes.module_counts(probes.GET_MODULE_CACHE.find()())
        return counts[0] if counts is not None else 0


def _c_key(node: Any) -> Any:
    """Return PyTensor's key of a node's module: (version, the rest); None where it has none."""
    from pytensor.graph.fg import FunctionGraph
    from pytensor.graph.utils import MethodNotDefined

    if hasattr(node.op, "fgraph"):
        return f"{node.op} {id(node)}"
    with suppress(NotImplementedError, MethodNotDefined):
        graph = FunctionGraph(node.inputs, node.outputs)
        return probes.C_LINKER.find()().accept(graph, no_recycling=[]).cmodule_key()
    return None


# --- caches -------------------------------------------------------------------------------------------------------


def seed(source: Path, target: Path) -> None:
    """Have a private cache begin with what is in another: links, so that it costs little."""
    if not source.is_dir():
        return
    shutil.copytree(
        source, target, copy_function=_link, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".lock", "lock_dir")
    )


def _link(source: str, target: str) -> None:
    # PyTensor writes into a module's key as it is; all else is put in its place whole.
    if os.path.basename(source) != "key.pkl":  # noqa: PTH119 - copytree gives texts
        with suppress(OSError):
            os.link(source, target)
            return
    with suppress(FileExistsError, FileNotFoundError):  # gone meanwhile
        shutil.copy2(source, target)


def merge(source: Path, target: Path) -> tuple[int, int]:
    """Add what a cache has and another hasn't, whole entries only; return how many, and their bytes.

    Killed at any moment it leaves the other cache whole, and another process that writes to it is waited for.
    """
    target.mkdir(parents=True, exist_ok=True)
    with probes.COMPILE_LOCK.find()(target):
        stage = target.parent / _STAGE  # beside it: PyTensor removes folders within that it doesn't know
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir()
        try:
            sizes = [*_merge_numba(sorted(source.glob("*.nbi")), target, stage), *_merge_c(source, target, stage)]
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    return len(sizes), sum(sizes)


def _merge_numba(indexes: Iterable[Path], target: Path, stage: Path) -> Iterator[int]:
    """Add machine code to Numba's cache: first the code, under a name that nobody has, then the index that tells it."""
    for index in indexes:
        source = index.parent
        theirs, ours = (probes.NumbaIndex(folder, index.stem) for folder in (source, target))
        known = ours.read()
        added = {key: file for key, file in theirs.read().items() if key not in known and (source / file).is_file()}
        for key, file in added.items():
            name = f"{index.stem}.{random.getrandbits(62)}.nbc"
            shutil.copyfile(source / file, stage / name)
            (stage / name).rename(target / name)
            known[key] = name
            yield (target / name).stat().st_size
        if added:
            ours.write(known)


def _merge_c(source: Path, target: Path, stage: Path) -> Iterator[int]:
    """Add folders of C modules: PyTensor knows a module by its folder's and its file's names, wherever they are."""
    whole = [path.parent for path in sorted(source.glob("tmp*/key.pkl"))]
    for folder in (*whole, *(source / name for name in _HELPERS)):
        if not folder.is_dir() or (target / folder.name).exists():
            continue
        shutil.copytree(folder, stage / folder.name)
        (stage / folder.name).rename(target / folder.name)
        if folder.name not in _HELPERS:
            yield sum(file.stat().st_size for file in (target / folder.name).iterdir() if file.is_file())


def peak_bytes(*, with_compilers: bool = True) -> int:
    """Read the most memory that this process, or a compiler that it started, has held at once."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    compilers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit if with_compilers else 0
    with suppress(OSError, StopIteration, ValueError):
        # Not ru_maxrss, which a process has from whoever started it.
        lines = Path("/proc/self/status").read_text().splitlines()
        own = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
        return max(own, compilers)
    return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, compilers)
