"""Digests under which compiled functions are kept: two models that could differ in any answer never share one.

A model's log-density, start point and named draws are made by PyMC of the graph of its random variables. Where all of
that graph is of installed libraries, whose state the digest covers, the graph is what is hashed, and the log-density
needn't be written. Where a part is the user's own code (the ``logp`` of a ``pm.CustomDist``, a transform's bounds),
that code runs, and the graph that it wrote is hashed. Where even that graph holds the user's own (an operation), there
is no digest.
"""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import numpy as np

from firstgrad.errors import UnavailableError
from firstgrad.fast.kept import refusal
from firstgrad.observe import probes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_PATCHED = ("firstgrad", "pymc", "pymc_extras", "pytensor")
"""Libraries that people change where they lie: beside their release, each file's size and time count."""
_LIBRARIES = frozenset((*_PATCHED, "jax", "jaxlib", "numpy", "scipy"))
"""Whose classes and functions are known by their names, since the libraries' releases are a part of each digest."""
_BASES = frozenset((*_PATCHED, "abc", "builtins", "collections", "enum", "typing"))
"""Where classes are Python's through and through, so that their objects hide nothing."""
_LEAVES = frozenset((type(None), bool, int, float, complex, str, bytes, type(...)))
_MAKERS = frozenset((*_PATCHED, "abc"))  # where classes are made while the program runs
_OF_EACH_CLASS = frozenset(
    (
        *("__module__", "__dict__", "__weakref__", "__doc__", "__abstractmethods__", "_abc_impl", "__qualname__"),
        *("__firstlineno__", "__static_attributes__"),
    )
)
_WITH_CONTENT = (int, float, complex, str, bytes, dict, set, frozenset)
_WRITTEN_OUT = 64  # bytes of an array
_LONGEST = 1000  # of an operation's text; longer ones are hashed
_FLAGS = ("floatX", "cast_policy", "optimizer", "optimizer_excluding", "optimizer_including", "optimizer_requiring")
_VARIABLES = ("XLA_FLAGS", "TF_XLA_FLAGS", "LIBTPU_INIT_ARGS")
_OF_PROCESSOR = frozenset(
    (
        *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
        *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features", "isa", "cpu", "machine"),
    )
)
_FIRST_PROCESSOR = 16384  # bytes of a file that is slow to read with many cores
_CACHES = frozenset(
    (
        *("_connection_pattern", "_frozen_lop", "_frozen_rop", "_lop_op_cache", "_rop_op_cache", "_fn", "_fgraph"),
        *("_inner_shape_template", "_inner_shape_frozen", "_grad_op", "_cfunc_map", "_c_code", "nfunc", "ufunc"),
        *("prepare_node_called", "_hash", "_hash_cache", "_infer_shape_cache", "_lop_overrides_cache"),
    )
)
"""Attributes of libraries' operations that are made of the others, some of them only once somebody asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Under what a model's functions are kept."""

    text: str = ""  # '' where there is none
    reason: str = ""  # why not
    logp: Any = None  # the log-density's graph, where it had to be written: then the text is of that graph alone

    @property
    def is_whole(self) -> bool:
        """Whether start point and named draws hang on nothing else, either."""
        return bool(self.text) and self.logp is None


class _UncertainError(Exception):
    """Something can't be told from its content for certain."""


def of_model(model: Any, point: Mapping[str, Any] | None = None) -> Digest:
    """Compute a model's digest: of its graph, data, names, start values, of libraries, processor, and settings.

    Parameters
    ----------
    model : pymc.Model
        Nothing of it is changed.
    point : mapping, optional
        Value name to array, where the model's own start point isn't taken: of values whose shapes the model leaves
        open, it has them.

    Returns
    -------
    Digest
        With a reason instead, where an answer could hang on something that can't be hashed, or nothing is kept here.
    """
    if reason := refusal():
        return Digest(reason=reason)
    values = [*model.continuous_value_vars, *model.discrete_value_vars]
    shapes = [
        (value.name, np.shape(point[value.name]))
        for value in values
        if point is not None and value.name in point and None in value.type.shape
    ]
    logp = None
    try:
        surroundings = _surroundings()
        try:
            content = _Walk().model(model)
        except _UncertainError:
            logp = model.logp()
            content = [f"log-density of {[value.name for value in values]}", *_Walk().graph([logp], values)]
    except (_UncertainError, UnavailableError) as error:
        return Digest(reason=str(error), logp=logp)
    except Exception as error:  # noqa: BLE001 - of the user's own code: who needs the log-density meets it, too
        return Digest(reason=f"the log-density can't be written ({type(error).__name__})")
    text = "\n".join((*surroundings, repr(shapes), *content))
    return Digest(text=_short(text), logp=logp)


class _Walk:
    """One walk, which looks at each operation, type and constant once."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}  # of objects, by their addresses
        self._alive: list[Any] = []  # so that no address is used again
        self._whole: Any = None  # the graph that variables within objects are of

    def model(self, model: Any) -> list[str]:
        """Write what a model's functions are made of."""
        if "logp" in vars(model):
            raise _UncertainError("the model has a log-density of its own")
        _require_libraries_own_densities()
        lines = [f"model {self._kind(type(model))} {model.check_bounds!r}"]
        graph = self._whole = _Graph(self, lines)
        for rv in (*model.free_RVs, *model.observed_RVs):
            lines.append(f"variable {rv.name!r} {graph.number(rv)}")
            value, transform = model.rvs_to_values[rv], model.rvs_to_transforms.get(rv)
            if rv in model.observed_RVs:
                lines.append(f"observed {graph.number(value)} {self.content(transform)}")
                continue
            lines.append(f"value {value.name!r} {self.content(value.type)} {self.content(transform)}")
            start = model.rvs_to_initial_values.get(rv)
            lines.append(f"start {self.content(start)}")
        for kind in ("deterministics", "potentials"):
            lines += [f"{kind} {one.name!r} {graph.number(one)}" for one in getattr(model, kind)]
        return lines

    def graph(self, outputs: Sequence[Any], inputs: Sequence[Any]) -> list[str]:
        """Write a graph; its inputs count by place and type."""
        lines: list[str] = []
        graph = _Graph(self, lines, inputs)
        if self._whole is None:
            self._whole = graph
        lines.append(f"outputs {[graph.number(output) for output in outputs]}")
        return lines

    def content(self, value: Any) -> str:
        """Write what something is made of; raise _UncertainError where that isn't all that it is."""
        kind = type(value)
        if kind in _LEAVES:
            return f"{kind.__name__} {value!r}"
        if kind in (tuple, list):
            return f"{kind.__name__}[{', '.join(map(self.content, value))}]"
        if kind is dict:
            entries = sorted(f"{self.content(key)}: {self.content(one)}" for key, one in value.items())
            return f"dict[{', '.join(entries)}]"
        if kind in (set, frozenset):
            return f"{kind.__name__}[{', '.join(sorted(map(self.content, value)))}]"
        if kind is slice:
            return f"slice[{self.content((value.start, value.stop, value.step))}]"
        text = self._texts.get(id(value))
        if text is None:
            self._texts[id(value)] = "itself"
            self._alive.append(value)
            text = self._texts[id(value)] = self._content(value)
        return text

    def _of_known_kind(self, value: Any) -> str:  # noqa: PLR0911 - a return a kind
        """Write an array, a class or a function; '' of all else."""
        match value:
            case np.ndarray() | np.generic():
                return _array(value)
            case np.dtype():
                return _dtype(value)
            case np.ufunc(__name__=name):
                if getattr(np, name, None) is not value:
                    raise _UncertainError(f"{name} may hold more than can be seen")
                return f"ufunc {name}"
            case type():
                return f"class {self._kind(value)}"
            case Enum(name=name):
                return f"{self._kind(type(value))}.{name}"
            case FunctionType():
                return self._function(value)
            case MethodType():
                return f"{self._function(value.__func__)} of {self.content(value.__self__)}"
        return ""

    def _content(self, value: Any) -> str:
        if text := self._of_known_kind(value):
            return text
        if hasattr(value, "owner"):
            return f"variable {self._whole.number(value)}"
        if hasattr(value, "toposort"):
            return _short("\n".join(self.graph(value.outputs, value.inputs)))
        name = self._kind(type(value))
        if name.endswith(".TensorType") and type(value.shape) is tuple:
            return f"{name} {value.dtype} {value.shape}"
        if hasattr(value, "tocsr"):
            matrix = value.tocsr()
            return f"{name} {self.content([matrix.shape, matrix.indptr, matrix.indices, matrix.data])}"
        hidden = [base for base in type(value).__mro__ if _top(base) not in _BASES]
        if hidden or isinstance(value, _WITH_CONTENT):
            raise _UncertainError(f"a {name} may hold more than can be seen")
        parts = [f"{attribute}={self.content(part)}" for attribute, part in sorted(_attributes(value))]
        if isinstance(value, tuple | list):
            parts += map(self.content, value)
        text = f"{name}({', '.join(parts)})"
        return text if len(text) <= _LONGEST else _short(text)

    def _kind(self, kind: type) -> str:
        """Write a class: a library's by its name; one that a library made while the program ran by what it holds."""
        if _is_findable(kind) or _top(kind) not in _MAKERS:
            return _library_place(kind)
        own = {name: part for name, part in vars(kind).items() if name not in _OF_EACH_CLASS}
        registered = {
            name: dispatcher.registry[kind]
            for name, probe in probes.DISPATCHERS.items()
            # A distribution's size is changed where it is made, and the model has been made.
            if name != "size" and (dispatcher := probe.peek()) is not None and kind in dispatcher.registry
        }
        return f"{kind.__qualname__!r} {self.content([*kind.__bases__])} {self.content(own)} {self.content(registered)}"

    def _function(self, function: Any) -> str:
        """Write a library's function; what stands around it counts, its code is the library's."""
        place, where = _library_place(function), tuple(function.__code__.co_positions())
        around = [cell.cell_contents for cell in function.__closure__ or ()]
        content = self.content([*around, function.__defaults__, function.__kwdefaults__, function.__dict__])
        return f"function {place} {_short(repr(where))} {content}"


class _Graph:
    """The numbers of a graph's variables, and a line of text for each node as it comes."""

    def __init__(self, walk: _Walk, lines: list[str], inputs: Iterable[Any] = ()) -> None:
        self._walk, self._lines = walk, lines
        self._numbers: dict[int, int] = {}
        self._alive: list[Any] = []
        for place, variable in enumerate(inputs):
            self._note(variable, f"input {place} {walk.content(variable.type)}")

    def _note(self, variable: Any, line: str) -> None:
        self._numbers[id(variable)] = len(self._alive)
        self._alive.append(variable)
        self._lines.append(line)

    def number(self, variable: Any) -> int:
        """Return a variable's number, once all that it is made of has one."""
        numbers, content = self._numbers, self._walk.content
        waiting = [variable]
        while waiting:
            one = waiting[-1]
            node = one.owner
            if id(one) in numbers:
                waiting.pop()
            elif node is None:
                waiting.pop()
                self._note(one, f"{self._leaf(one)} {content(one.type)}")
            elif missing := [part for part in node.inputs if id(part) not in numbers]:
                waiting += reversed(missing)
            else:
                op, places = content(node.op), [numbers[id(part)] for part in node.inputs]
                for place, output in enumerate(node.outputs):
                    self._note(output, f"{op} {places} {content(output.type)}" if not place else content(output.type))
        return numbers[id(variable)]

    def _leaf(self, variable: Any) -> str:
        if hasattr(variable, "data"):
            return f"constant {self._walk.content(variable.data)}"
        if type(variable.type).__name__.startswith("Random"):
            return "generator"  # of variables whose draws no log-density takes
        if hasattr(variable, "get_value"):
            return f"shared {self._walk.content(variable.get_value(borrow=True))}"
        raise _UncertainError(f"the graph has an input of its own, {variable}")


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    for name, part in getattr(value, "__dict__", {}).items():
        if name not in _CACHES:
            yield name, part
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield name, getattr(value, name)


def _array(value: Any) -> str:
    if not isinstance(value, np.generic) and type(value) not in (np.ndarray, np.memmap):
        raise _UncertainError(f"data are a {type(value).__qualname__}")
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise _UncertainError("data hold Python's objects")
    content = array.tobytes()
    text = content.hex() if len(content) <= _WRITTEN_OUT else sha256(content).hexdigest()
    return f"array {_dtype(array.dtype)} {array.shape} {text}"


def _dtype(dtype: Any) -> str:
    return f"dtype {dtype.str if dtype.fields is None else dtype.descr}"


def _short(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@cache
def _is_findable(kind: type) -> bool:
    """Whether a class is what its name stands for."""
    thing: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        thing = getattr(thing, name, None)
    return thing is kind


def _top(thing: Any) -> str:
    return str(getattr(thing, "__module__", "")).partition(".")[0]


def _library_place(thing: Any) -> str:
    if _top(thing) not in _LIBRARIES and _top(thing) != "builtins":
        raise _UncertainError(f"{thing.__qualname__} is code of your own, which can't be told from its content")
    return f"{thing.__module__}.{thing.__qualname__}"


def _require_libraries_own_densities() -> None:
    """Raise _UncertainError where somebody registered a density or the like of his own for a library's class."""
    for probe in probes.DISPATCHERS.values():
        dispatcher = probe.peek()
        for kind, function in getattr(dispatcher, "registry", {}).items():
            if (_top(kind) in _LIBRARIES or kind is object) and not _is_libraries_own(function):
                raise _UncertainError(f"{kind.__qualname__} has a density or an implementation of your own")


@cache
def _is_libraries_own(function: Callable[..., Any]) -> bool:
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    return _top(function) in _LIBRARIES and all(
        _is_libraries_own(getattr(cell, "__func__", cell)) for cell in cells if callable(cell)
    )


def _surroundings() -> list[str]:
    """Write what else an executable hangs on: releases, processor, device, settings."""
    import jax
    import pytensor

    device = jax.devices()[0]
    on = device.platform, device.device_kind, getattr(device.client, "platform_version", "")
    settings = [(name, getattr(pytensor.config, name, None)) for name in _FLAGS]
    variables = [(name, os.environ.get(name)) for name in _VARIABLES]
    return [*_releases(), *_processor(), repr((*on, settings, variables)), *probes.jax_settings()]


@cache
def _releases() -> list[str]:
    """Write which libraries this process has; raise _UncertainError where one was changed since it began."""
    lines = [f"Python {sys.version}"]
    began = _began()
    for name in sorted(_LIBRARIES & sys.modules.keys()):
        module = sys.modules[name]
        lines.append(f"{name} {getattr(module, '__version__', '')}")
        for place in getattr(module, "__path__", ()) if name in _PATCHED else ():
            files = sorted(_files(place, len(place)))
            if max((changed for _, _, changed in files), default=0) > began:
                raise _UncertainError(f"{name} was changed since this process began")
            lines.append(_short(repr(files)))
    return lines


def _files(folder: str, skipped: int) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _files(entry.path, skipped)
            elif entry.name.endswith((".py", ".so", ".pyd")):
                status = entry.stat()
                yield entry.path[skipped:], status.st_size, status.st_mtime_ns


def _began() -> int:
    """Return when this process began, as files' times are written."""
    import psutil

    return int(psutil.Process().create_time() * 1e9)


@cache
def _processor() -> list[str]:
    """Write what machine code is made for."""
    seen = [platform.system(), platform.machine(), platform.processor(), str(_cores())]
    with suppress(OSError), Path("/proc/cpuinfo").open(errors="replace") as file:
        for line in file.read(_FIRST_PROCESSOR).partition("\n\n")[0].splitlines():
            name, _, value = line.partition(":")
            seen += [value.strip()] * (name.strip() in _OF_PROCESSOR)
    return seen


def _cores() -> int | None:
    # XLA splits loops by them when it compiles.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
