"""The arguments of a user's function: compared with its signature before it is called."""

from __future__ import annotations

import inspect
import types
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from firstgrad.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from firstgrad.case import ExternalModel, Scalar

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def fit_arguments(factory: Callable[..., Any], external: ExternalModel) -> dict[str, Scalar]:
    """Fit a reference's parameters to the function that they are for.

    Parameters
    ----------
    factory : callable
        The user's. What it annotates with ``bool``, ``int``, ``float``, ``str``, a ``Literal`` or a union of them is
        looked at; anything else gets its value as it was given.
    external : ExternalModel
        With the values.

    Returns
    -------
    dict of str to scalar
        The values; a whole number becomes a float where only a float is annotated, and ``1e3`` an int where an int is.

    Raises
    ------
    ModelError
        Where the function has no such parameter, needs one that is not given, or annotates another type.
    """
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # some functions that are written in C have none
        return dict(external.parameters)
    parameters = signature.parameters
    hints = _hints(factory, parameters)
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    known = {name: each for name, each in parameters.items() if each.kind in _NAMED}
    taken = ", ".join(_written(each, hints) for each in known.values()) or "no parameters"
    given = dict(external.parameters)
    unknown = [name for name in given if name not in known]
    if unknown and not takes_any:
        raise ModelError(f"{external.reference} has no parameter {_quoted(unknown)}. It takes: {taken}")
    lacking = [name for name, each in known.items() if each.default is inspect.Parameter.empty and name not in given]
    if lacking:
        wanted = " ".join(f"--param {name}=VALUE" for name in lacking)
        raise ModelError(
            f"{external.reference} needs {_quoted(lacking)}, which has no default. Give it: {wanted}. It takes: {taken}"
        )
    return {name: _fit(external, name, value, hints.get(name, Any)) for name, value in given.items()}


def _hints(factory: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(factory, eval_str=True).parameters
    except Exception:  # noqa: BLE001 - a name that is imported for type checkers only, or whatever evaluating raises
        simple = {kind.__name__: kind for kind in _KINDS}
        return {name: simple.get(str(each.annotation), Any) for name, each in parameters.items()}
    empty = inspect.Parameter.empty
    return {name: Any if each.annotation is empty else each.annotation for name, each in parameters.items()}


def _fit(external: ExternalModel, name: str, value: Scalar, hint: Any) -> Scalar:
    allowed = _allowed(hint)
    if not allowed or any(value == each and type(value) is type(each) for each in allowed) or type(value) in allowed:
        return value
    if float in allowed and type(value) is int:
        return float(value)
    if int in allowed and type(value) is float and value.is_integer():
        return int(value)
    wanted = " or ".join(_KINDS.get(each, repr(each)) for each in allowed)
    quoted = f"""; write it in quotes: --param {name}='"{value}"'""" if str in allowed or str(value) in allowed else ""
    raise ModelError(f"{external.reference}: parameter {name} is {wanted}, got {_told(value)}{quoted}")


def _allowed(hint: Any) -> tuple[Any, ...]:
    """List what an annotation allows: types and single values; nothing where it cannot be judged."""
    if get_origin(hint) is Annotated:
        return _allowed(get_args(hint)[0])
    if isinstance(hint, type) and hint in _KINDS:  # what is no type need not be hashable
        return (hint,)
    if get_origin(hint) is Literal:
        return tuple(each for each in get_args(hint) if each is not None)
    if get_origin(hint) in (Union, types.UnionType):
        parts = [each for each in get_args(hint) if each is not type(None)]
        found = [_allowed(each) for each in parts]
        return tuple(kind for kinds in found for kind in kinds) if all(found) else ()
    return ()


def _written(parameter: inspect.Parameter, hints: dict[str, Any]) -> str:
    hint = hints.get(parameter.name)
    kind = "" if hint is None or hint is Any else f": {getattr(hint, '__name__', None) or hint}"
    if hint is not None and get_origin(hint) is not None:
        kind = f": {hint}".replace("typing.", "")
    if parameter.default is inspect.Parameter.empty:
        return parameter.name + kind
    return f"{parameter.name}{kind} = {parameter.default!r}" if kind else f"{parameter.name}={parameter.default!r}"


def _told(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _quoted(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)
