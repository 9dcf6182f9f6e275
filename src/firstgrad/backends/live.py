"""A live model on its way to a worker: pickled where it was made, and made anew there.

What cloudpickle leaves behind goes along: the densities that were registered for classes which stand in no module
(those of ``pm.CustomDist``, or of an ``Op`` of a notebook), Python's path, and the cells that lines are quoted from.
Imports nothing that it is about: whoever has a model has imported it.
"""

from __future__ import annotations

import functools
import io
import json
import linecache
import os
import platform
import sys
from contextlib import contextmanager
from hashlib import blake2b
from importlib import import_module
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from firstgrad.errors import ModelError, SpecError
from firstgrad.model import make_model
from firstgrad.observe import probes
from firstgrad.observe.digests import digest_graph
from firstgrad.sources import HELD, LIVE, PackedModel
from firstgrad.units import clean_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from firstgrad.model import Model

_PACKAGES = ("pymc", "pytensor", "numpy")
_DEEPEST = 6
_NAMES_SHOWN = 5


def is_model(value: Any) -> bool:
    """Whether something is a PyMC model, by what is asked of one."""
    return hasattr(value, "free_RVs") and hasattr(value, "compile_fn") and not isinstance(value, type)


def explain_wrapped(value: Any) -> str:
    """Say where the model is of what isn't one but has one, as Bambi's has; '' where it has none."""
    if isinstance(value, type) or not hasattr(value, "backend"):
        return ""
    if is_model(getattr(value.backend, "model", None)):
        return ". Its PyMC model is its .backend.model: give that"
    return ". Its PyMC model isn't built yet: call its .build(), and give .backend.model" * hasattr(value, "build")


# --- in the process that has the model ----------------------------------------------------------------------------


@contextmanager
def held(model: Any, name: str) -> Iterator[Model]:
    """Pickle a model, and have workers find it by the reference that is yielded while the block runs.

    Raises SpecError naming what can't be pickled.
    """
    reference, number = f"{LIVE}{name}", 1
    while reference in HELD:  # another one of this name, within whose block this one is
        number += 1
        reference = f"{LIVE}{name}_{number}"
    HELD[reference] = pack(model)
    try:
        yield make_model(reference)
    finally:
        del HELD[reference]


def pack(model: Any) -> PackedModel:
    """Pickle a model with all that it takes to make it anew; raises SpecError naming what can't be pickled."""
    import cloudpickle

    variables = _in_order(_roots(model))
    registered = _registered(variables)
    # Each variable after those that it is made of: a long loop's graph would be deeper than Python's stack.
    whole = registered, variables, model
    try:
        with _by_value(variables, registered):
            content = cloudpickle.dumps(whole)
    except Exception as error:
        problem = _find_unpicklable(model, variables, registered, error)
        raise SpecError(
            "model",
            f"it can't be sent to a worker: {problem}. Make that where it is used, or give what makes the model: "
            "'file.py:function', or 'script.py:variable'",
        ) from error
    known: dict[str, Any] = {
        "versions": _versions(),
        "path": [os.path.abspath(place) for place in sys.path],  # noqa: PTH100 - '' is the present folder
        "floatX": str(getattr(getattr(sys.modules.get("pytensor"), "config", None), "floatX", "")),
        "cells": _cells(variables),
    }
    return PackedModel(
        digest=_digest(model, variables, registered), content=f"{json.dumps(known)}\n".encode() + content
    )


@contextmanager
def _by_value(variables: list[Any], registered: list[tuple[str, type, Any]]) -> Iterator[None]:
    """Have classes and functions of modules that no worker finds travel whole, as those of ``__main__`` do."""
    import cloudpickle

    things = [*(type(op) for op in _operations(variables)), *(function for _, _, function in registered)]
    names = {str(getattr(thing, "__module__", "")) for thing in things} - {"__main__", ""}
    modules = [sys.modules[name] for name in names if name in sys.modules and not _is_found(name)]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _versions() -> dict[str, str]:
    """Return the versions of what a model is made of, as they were imported here."""
    modules = {name: sys.modules[name] for name in _PACKAGES if name in sys.modules}
    return {"Python": platform.python_version()} | {
        name: str(getattr(module, "__version__", "")) for name, module in modules.items()
    }


def _roots(model: Any) -> list[Any]:
    """List all that a model has by name."""
    kinds = ("basic_RVs", "deterministics", "potentials", "data_vars")
    return [variable for kind in kinds for variable in getattr(model, kind, ())]


def _in_order(roots: Iterable[Any]) -> list[Any]:
    """List variables and all that they are made of, each after what it is made of."""
    order, seen, waiting = list[Any](), set[int](), list(reversed(list(roots)))
    while waiting:
        variable = waiting[-1]
        inputs = getattr(getattr(variable, "owner", None), "inputs", ())
        if id(variable) in seen:
            waiting.pop()
        elif missing := [one for one in inputs if id(one) not in seen]:
            waiting += reversed(missing)
        else:
            waiting.pop()
            seen.add(id(variable))
            order.append(variable)
    return order


def _operations(variables: Iterable[Any]) -> Iterator[Any]:
    """Yield every operation once, with those within others."""
    seen, waiting = set[int](), [variables]
    while waiting:
        for variable in waiting.pop():
            op = getattr(getattr(variable, "owner", None), "op", None)
            if op is None or id(op) in seen:
                continue
            seen.add(id(op))
            yield op
            if (inner := getattr(op, "fgraph", None)) is not None:
                waiting.append(_in_order(inner.outputs))


def _registered(variables: list[Any]) -> list[tuple[str, type, Any]]:
    """List what was registered for classes that stand in no module: by the dispatcher's name, the class, the function.

    A worker makes such classes anew, and nobody would register anything for them there.
    """
    kinds = {kind: None for op in _operations(variables) for kind in type(op).__mro__ if not _is_importable(kind)}
    return [
        (name, kind, dispatcher.registry[kind])
        for name, probe in probes.DISPATCHERS.items()
        if (dispatcher := probe.peek()) is not None
        for kind in kinds
        if kind in dispatcher.registry
    ]


def _is_importable(kind: type) -> bool:
    found: Any = sys.modules.get(kind.__module__) if _is_found(kind.__module__) else None
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind


@functools.cache
def _is_found(module: str) -> bool:
    """Whether another process would find a module: not what somebody ran, or loaded from a path of his own."""
    top = module.partition(".")[0]
    return top != "__main__" and any(finder.find_spec(top, None) is not None for finder in sys.meta_path)


def _code_text(code: CodeType) -> str:
    constants = [_code_text(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _cells(variables: Iterable[Any]) -> dict[str, str]:
    """Return the text of what lines were noted of and isn't in a file: cells of a notebook."""
    traces = [trace for one in variables for trace in getattr(getattr(one, "tag", None), "trace", None) or ()]
    files = dict.fromkeys(frame[0] for trace in traces for frame in trace if frame[0])
    return {
        file: "".join(lines)
        for file in files
        if not os.path.exists(file) and (lines := linecache.getlines(file))  # noqa: PTH110 - it may be no path
    }


def _digest(model: Any, variables: list[Any], registered: list[tuple[str, type, Any]]) -> str:
    """Compute a digest of a model's graph, names and data; where its lines stand doesn't count."""
    import numpy as np

    roots = _roots(model)
    digest = blake2b(digest_graph([], roots).graph.encode(), digest_size=8)
    values = [model.rvs_to_values[rv] for rv in getattr(model, "observed_RVs", ())]
    for one in (*roots, *values):
        digest.update(f"{one.name} {one.type};".encode())
    for one in (*variables, *values):
        data = one.get_value(borrow=True) if hasattr(one, "get_value") else getattr(one, "data", None)
        if isinstance(data, np.ndarray) and not data.dtype.hasobject:
            digest.update(np.ascontiguousarray(data).tobytes())
    for transform in getattr(model, "rvs_to_transforms", {}).values():
        digest.update(f"{type(transform).__qualname__};".encode())
    for name, kind, function in registered:
        cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
        codes = (getattr(one, "__code__", None) for one in (function, *cells))
        digest.update(f"{name} {kind.__qualname__} {[_code_text(one) for one in codes if one]};".encode())
    return digest.hexdigest()


def _find_unpicklable(
    model: Any, variables: list[Any], registered: list[tuple[str, type, Any]], error: Exception
) -> str:
    """Name the first of a model's parts that can't be pickled, with the variables that need it."""
    for op in _operations(variables):
        if _fails(op):
            return f"{type(op).__name__}{_needed_by(model, op)}: {_dig(op)}"
    for variable in variables:
        if hasattr(variable, "data") and _fails(variable.data):
            return f"the data of {variable.name or 'a constant'}: {_dig(variable.data)}"
    for _, kind, function in registered:
        if _fails(function):
            return f"the density of {kind.__name__}: {_dig(function)}"
    for name, value in vars(model).items():
        if _fails(value):
            return f"the model's {name}: {_dig(value)}"
    return _reason(error)


def _needed_by(model: Any, op: Any) -> str:
    """Name the variables of a model that an operation stands in."""
    names = [
        variable.name
        for variable in _roots(model)
        if any(one is op for one in _operations(_in_order([variable]))) and variable.name
    ]
    more = f" and {len(names) - _NAMES_SHOWN} more" * (len(names) > _NAMES_SHOWN)
    return f" (of {', '.join(names[:_NAMES_SHOWN])}{more})" if names else ""


def _dig(value: Any) -> str:
    """Name what within something can't be pickled, from outside to inside."""
    words, error = list[str](), _fails(value)
    for _ in range(_DEEPEST):
        inner = next(((word, part) for word, part in _parts(value) if _fails(part)), None)
        if inner is None:
            break
        words.append(inner[0])
        value, error = inner[1], _fails(inner[1])
    return ", ".join([*words, f"a {type(value).__name__} ({_reason(error)})"])


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, MethodType):
        yield f"the object of the method {value.__name__}", value.__self__
    elif isinstance(value, FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            yield f"the variable {name} around the function {value.__name__}", cell.cell_contents
        for name in value.__code__.co_names:
            if name in value.__globals__:
                yield f"the global {name} of the function {value.__name__}", value.__globals__[name]
    elif isinstance(value, dict):
        yield from ((f"the entry {key!r}", part) for key, part in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"the entry {number}", part) for number, part in enumerate(value))
    else:
        yield from ((f"its attribute {name}", part) for name, part in getattr(value, "__dict__", {}).items())


def _fails(value: Any) -> Exception | None:
    """Return why something can't be pickled, if so."""
    import cloudpickle

    try:
        cloudpickle.dump(value, io.BytesIO())
    except Exception as error:  # noqa: BLE001 - whatever an object's own methods raise
        return error
    return None


def _reason(error: Exception | None) -> str:
    return clean_line(f"{type(error).__name__}: {error}")


# --- in the worker ------------------------------------------------------------------------------------------------


def unpack(content: bytes, reference: str) -> Any:
    """Make a model anew from what `pack` wrote; raises ModelError where this process can't."""
    import pickle

    header, _, packed = content.partition(b"\n")
    known = json.loads(header)
    for name in known["versions"].keys() - {"Python"}:
        import_module(name)
    here = _versions()
    if others := [
        f"{name} {its}, here {here[name]}" for name, its in known["versions"].items() if here.get(name) != its
    ]:
        raise ModelError(
            f"{reference} was made with other packages than this process has: {'; '.join(others)}. Were they installed "
            "after they had been imported? Restart Python (a notebook's kernel), and make the model again"
        )
    sys.path += [place for place in known["path"] if place not in sys.path]
    for file, text in known["cells"].items():
        linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    if known["floatX"] and "pytensor" in sys.modules:
        sys.modules["pytensor"].config.floatX = known["floatX"]
    try:
        registered, _, model = pickle.loads(packed)  # noqa: S301 - this user's own process wrote it a moment ago
    except Exception as error:
        raise ModelError(
            f"{reference} can't be made anew in a worker: {_reason(error)}. What it needs must be in files"
        ) from error
    for name, kind, function in registered:
        probes.DISPATCHERS[name].find().register(kind, function)
    return model
