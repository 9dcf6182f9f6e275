"""The user's own model in the worker: found by its reference, its arguments fitted, called, and checked."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
import types
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from firstgrad.backends.base import BuiltModel, OracleAnswer
from firstgrad.backends.live import explain_wrapped, is_model, unpack
from firstgrad.backends.script import ScriptModel, run_script
from firstgrad.errors import ModelError, UnknownModelError
from firstgrad.model import FREEZE
from firstgrad.sources import HELD, MEASURED, split_reference, top_level_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from firstgrad.model import Model
    from firstgrad.points import Point
    from firstgrad.pose.spec import Scalar

_PAIR = 2
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_EMPTY = inspect.Parameter.empty
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class UserModel:
    """What a reference names: a function that makes the model, and the oracle that its file may offer beside it."""

    model: Model
    factory: Callable[..., Any]
    """Of a model that is there already: what returns it."""
    oracle: Callable[..., Any] | None = None
    note: str = ""  # how far a script was run

    def build(self) -> BuiltModel:
        """Call the function and check what it returns: a model, or a pair ``(model, initial_point)``."""
        reference, asked = self.model.reference, self._asked_of_factory()
        arguments = fit_arguments(self.factory, asked)
        with _explaining(reference):
            result = self.factory(**arguments)
        model, initial = result if isinstance(result, tuple) and len(result) == _PAIR else (result, None)
        if not is_model(model):
            raise ModelError(
                f"{reference} returned {type(result).__name__}; it must return a pm.Model or a pair "
                f"(model, initial_point){explain_wrapped(model)}"
            )
        if not model.free_RVs:
            raise ModelError(f"{reference} returned a model with no free variable: nothing to differentiate")
        if initial is not None and not hasattr(initial, "items"):
            raise ModelError(
                f"{reference}: its initial point is a {type(initial).__name__}; it must be a dict by "
                "value name, such as model.initial_point() returns"
            )
        if asked is not self.model and self.model.is_frozen:
            from pymc.model.transform.optimization import freeze_dims_and_data

            model = freeze_dims_and_data(model)
        oracle = self._ask_oracle if self.oracle is not None else None
        return BuiltModel(
            model, dict(initial) if initial is not None else None, is_own=True, oracle=oracle, note=self.note
        )

    def _asked_of_factory(self) -> Model:
        """Leave out what is done to the model afterwards, unless the function does it itself."""
        return self.model if FREEZE in (_parameters(self.factory) or {}) else self.model.without_freezing()

    def _ask_oracle(self, point: Point) -> OracleAnswer:
        """Give the file's oracle all parameters, defaults included, and a point of its own to keep."""
        import numpy as np

        place, _ = split_reference(self.model.reference)
        parameters = _defaults(self.factory) | fit_arguments(self.factory, self._asked_of_factory())
        with _explaining(f"the oracle of {place}"):
            result = self.oracle(parameters, {name: np.array(value) for name, value in point.items()})  # type: ignore[misc]  # asked only where there is one
        try:
            logp, gradient = result
            return OracleAnswer(
                logp=None if logp is None else float(logp),
                gradient={str(name): np.asarray(value, dtype=np.float64) for name, value in gradient.items()},
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"the oracle of {place} returned {type(result).__name__}; it must return a pair (logp, gradient): the "
                "log-density, or None, and a dict of arrays by the names that the point has"
            ) from error


def load_user_model(model: Model) -> UserModel:
    """Find what a reference names: a live model, a script's, or the function of a file or module, and its oracle."""
    reference, (place, name) = model.reference, split_reference(model.reference)
    if reference in HELD:
        live = unpack(HELD[reference].content, reference)
        return UserModel(model, lambda: live)
    is_file = place.endswith(".py")
    if is_file and (not name or _is_variable(Path(place), name)):
        script = _run_script(Path(place), name)
        if is_model(script.value):
            return UserModel(model, lambda: script.value, note=script.note)
        if not callable(script.value):
            kind = type(script.value).__name__
            raise ModelError(f"{reference} is a {kind}, not a pm.Model{explain_wrapped(script.value)}")
    module = _load_file(Path(place)) if is_file else _load_module(place)
    factory, oracle = getattr(module, name, None), getattr(module, "oracle", None)
    if is_model(factory):
        return UserModel(model, lambda: factory)
    if not callable(factory):
        there = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise UnknownModelError(f"{place} has no function {name!r}. It has: {', '.join(there) or 'none'}")
    return UserModel(model, factory, oracle if callable(oracle) and oracle is not factory else None)


def _is_variable(path: Path, name: str) -> bool:
    names = top_level_names(path) if path.is_file() else None
    return names is not None and names.get(name) is False


def _run_script(path: Path, name: str) -> ScriptModel:
    if not path.is_file():
        raise UnknownModelError(f"no file {path} (looked from {Path.cwd()})")
    _look_into(path.parent.resolve())
    return run_script(path, name)


def require_continuous(model: Any, reference: str) -> None:
    """Refuse a model that has nothing to differentiate: all of its free variables are discrete."""
    if not model.continuous_value_vars:
        names = ", ".join(var.name for var in model.discrete_value_vars)
        raise ModelError(
            f"{reference}: the model has only discrete variables ({names}), which have no gradient. Marginalise some "
            "out (pymc_extras.marginalize), or sample it without one (pm.Metropolis), which firstgrad doesn't measure"
        )


def fit_start(built: BuiltModel, external: Model) -> Point | None:
    """Bring the start point that a factory gave, if any, to the types of the model's values."""
    import numpy as np

    if built.initial is None:
        return None
    values = {var.name: var for var in built.model.value_vars}
    wanted, given = set(values), set(built.initial)
    if wanted != given:
        lacking, unknown = ", ".join(sorted(wanted - given)), ", ".join(sorted(given - wanted))
        raise ModelError(
            f"{external.reference}: its initial point lacks [{lacking}] and has unknown [{unknown}]. Use the names "
            "of the transformed values, as model.initial_point() gives them"
        )
    fitted = {name: np.asarray(built.initial[name]) for name in values}
    for name, value in fitted.items():
        kind = values[name].type
        fits = value.ndim == len(kind.shape) and all(
            size in (None, own) for size, own in zip(kind.shape, value.shape, strict=True)
        )
        where = f"{external.reference}: its initial point has"
        if not fits:
            raise ModelError(f"{where} shape {value.shape} for {name!r}, the model {kind.shape}")
        if value.dtype.kind not in "biuf":
            raise ModelError(f"{where} {value.dtype} for {name!r}, not numbers")
        fitted[name] = value.astype(kind.dtype)
        if fitted[name].dtype.kind in "biu" and not np.array_equal(fitted[name], value):
            raise ModelError(
                f"{external.reference}: {name!r} is discrete, and its initial point has {value!r} for it, not whole "
                "numbers"
            )
    return fitted


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise UnknownModelError(f"no file {path} (looked from {Path.cwd()})")
    spec = importlib.util.spec_from_file_location(f"_firstgrad_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    # The file's own folder, as when Python runs it: its neighbours can be imported.
    _look_into(path.parent.resolve())
    with _explaining(f"importing {path}", is_import=True, file=str(path)):
        spec.loader.exec_module(module)
    return module


def _look_into(folder: Path, *, named: str = "") -> None:
    """Let modules be imported from a folder, before all others but for those that more than the model needs."""
    sys.path.insert(0, str(folder))
    sys.meta_path.insert(0, _Elsewhere(str(folder), named))


class _Elsewhere:
    """Finds modules that a neighbour of the model's file must not replace: Python's own and measured ones."""

    def __init__(self, folder: str, named: str) -> None:
        self._folder, self._names = folder, (MEASURED | sys.stdlib_module_names) - {named}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Ask all others, as if the folder were not in front of the path."""
        if path is not None or name not in self._names:
            return None
        rest = sys.path.copy()
        if self._folder in rest:
            rest.remove(self._folder)
        others = (finder.find_spec(name, rest, target) for finder in sys.meta_path if finder is not self)
        return next((spec for spec in others if spec is not None), None)


def _load_module(name: str) -> Any:
    _look_into(Path.cwd(), named=name.partition(".")[0])  # which is asked for, whatever it is called
    with _explaining(f"importing {name}", is_import=True):
        return importlib.import_module(name)


@contextmanager
def _explaining(what: str, *, is_import: bool = False, file: str = "") -> Iterator[None]:
    process = os.getpid()
    try:
        yield
    except MemoryError:
        raise  # says something about the machine, not about the model
    except BaseException as error:
        if os.getpid() != process:
            raise  # a child that the model forked ends as it likes
        if is_import and isinstance(error, SyntaxError):
            raise ModelError(f"{file or error.filename}, line {error.lineno}: syntax error: {error.msg}") from error
        is_script = is_import and isinstance(error, SystemExit)
        way_out = '. Put what runs as a script below if __name__ == "__main__":' if is_script else ""
        raise ModelError(f"{what} raised {type(error).__name__}: {error}{_place_of(error)}{way_out}") from error


def _place_of(error: BaseException) -> str:
    """Say in which line of the user's own an error was raised, as far as its traceback has one."""
    from firstgrad.observe.stacks import is_users_file

    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_users_file(frame.filename)]
    return f" (line {own[-1].lineno} of {Path(own[-1].filename).name})" if own else ""


def fit_arguments(factory: Callable[..., Any], external: Model) -> dict[str, Scalar]:
    """Fit a reference's parameters to the function that they are for.

    What the function annotates with ``bool``, ``int``, ``float``, ``str``, a ``Literal`` or a union of them is looked
    at; anything else gets its value as it was given. A whole number becomes a float where only a float is annotated,
    and ``1e3`` an int where an int is.
    """
    parameters = _parameters(factory)
    if parameters is None:
        return dict(external.parameters)
    hints = _hints(factory, parameters)
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    known = {name: parameter for name, parameter in parameters.items() if parameter.kind in _NAMED}
    taken = ", ".join(_written(parameter, hints) for parameter in known.values()) or "no parameters"
    given = dict(external.parameters)
    unknown = [name for name in given if name not in known]
    if unknown and not takes_any:
        raise UnknownModelError(f"{external.reference} has no parameter {_quoted(unknown)}. It takes: {taken}")
    lacking = [name for name, parameter in known.items() if parameter.default is _EMPTY and name not in given]
    if lacking:
        wanted = " ".join(f"--param {name}=VALUE" for name in lacking)
        raise UnknownModelError(
            f"{external.reference} needs {_quoted(lacking)}, which has no default. Give it: {wanted}. It takes: {taken}"
        )
    return {name: _fit(external, name, value, hints.get(name, Any)) for name, value in given.items()}


def _parameters(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):  # some functions that are written in C have none
        return None


def _defaults(factory: Callable[..., Any]) -> dict[str, Any]:
    named = (one for one in (_parameters(factory) or {}).values() if one.kind in _NAMED)
    return {parameter.name: parameter.default for parameter in named if parameter.default is not _EMPTY}


def _hints(factory: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(factory, eval_str=True).parameters
    except Exception:  # noqa: BLE001 - a name that is imported for type checkers only, or whatever evaluating raises
        simple = {kind.__name__: kind for kind in _KINDS}
        return {name: simple.get(str(parameter.annotation), Any) for name, parameter in parameters.items()}
    return {name: Any if one.annotation is _EMPTY else one.annotation for name, one in parameters.items()}


def _fit(external: Model, name: str, value: Scalar, hint: Any) -> Scalar:
    allowed = _allowed(hint)
    if not allowed or any(value == one and type(value) is type(one) for one in allowed) or type(value) in allowed:
        return value
    if float in allowed and type(value) is int:
        return float(value)
    if int in allowed and type(value) is float and value.is_integer():
        return int(value)
    written = str(value).lower() if isinstance(value, bool) else repr(value)
    wanted = " or ".join(_KINDS.get(kind, repr(kind)) for kind in allowed)
    quoted = f"""; write it in quotes: --param {name}='"{value}"'""" if str in allowed or str(value) in allowed else ""
    raise UnknownModelError(f"{external.reference}: parameter {name} is {wanted}, got {written}{quoted}")


def _allowed(hint: Any) -> tuple[Any, ...]:
    """List what an annotation allows: types and single values; nothing where it cannot be judged."""
    if get_origin(hint) is Annotated:
        return _allowed(get_args(hint)[0])
    if isinstance(hint, type) and hint in _KINDS:  # what is no type need not be hashable
        return (hint,)
    if get_origin(hint) is Literal:
        return tuple(value for value in get_args(hint) if value is not None)
    if get_origin(hint) in (Union, types.UnionType):
        parts = [_allowed(part) for part in get_args(hint) if part is not type(None)]
        return tuple(kind for kinds in parts for kind in kinds) if all(parts) else ()
    return ()


def _written(parameter: inspect.Parameter, hints: dict[str, Any]) -> str:
    hint = hints.get(parameter.name)
    kind = "" if hint is None or hint is Any else f": {getattr(hint, '__name__', None) or hint}"
    if hint is not None and get_origin(hint) is not None:
        kind = f": {hint}".replace("typing.", "")
    if parameter.default is _EMPTY:
        return parameter.name + kind
    return f"{parameter.name}{kind} = {parameter.default!r}" if kind else f"{parameter.name}={parameter.default!r}"


def _quoted(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)
