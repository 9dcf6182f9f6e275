"""Frozen dataclasses to JSON and back: cases, records and the messages of the worker's pipe."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from firstgrad.errors import FirstgradError
from firstgrad.units import MOST_DIGITS

if TYPE_CHECKING:
    from cattrs import Converter

LATER = {"later": True}
"""Metadata of a dataclass's field that came after others were stored: it is written only where it isn't its default."""
_PLAIN = {bool, int, float, str}
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class DecodeError(FirstgradError, ValueError):
    """A text is no JSON, or does not fit the wanted class."""


def to_json(value: Any) -> str:
    """Write a dataclass as one line of canonical JSON.

    Keys are sorted and there is no white space, so equal values give equal texts. Numbers that JSON lacks
    are written as the strings ``"nan"``, ``"inf"`` and ``"-inf"``.
    """
    plain = _converter().unstructure(value)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def from_json[T](text: str | bytes, kind: type[T]) -> T:
    """Read what `to_json` wrote.

    Parameters
    ----------
    text : str or bytes
        JSON.
    kind : type
        The dataclass (or other type) that is wanted.

    Raises
    ------
    DecodeError
        Where the text is no JSON or does not fit `kind`; unknown keys do not fit.
    """
    try:
        plain = json.loads(text, parse_int=_whole, parse_constant=_refuse)
        return _converter().structure(plain, kind)
    except RecursionError as error:
        raise DecodeError(f"not a {kind.__name__}: nested too deeply") from error
    except Exception as error:
        from cattrs import transform_error
        from cattrs.v import format_exception

        def describe(problem: BaseException, wanted: type | None) -> str:
            return str(problem) if isinstance(problem, FirstgradError) else format_exception(problem, wanted)

        grouped = isinstance(error, ExceptionGroup)
        detail = "; ".join(transform_error(error, format_exception=describe)) if grouped else str(error)
        raise DecodeError(f"not a {getattr(kind, '__name__', kind)}: {detail}") from error


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


@functools.cache
def _converter() -> Converter:
    from cattrs import Converter

    converter = Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(float, _float_to_plain)
    converter.register_structure_hook(float, _float_from_plain)
    for kind in (bool, int, str):
        # By class: cattrs asks its own hooks for these, which convert, before any that goes by a condition.
        converter.register_structure_hook(kind, _exact(kind))
    converter.register_unstructure_hook_factory(_has_later, functools.partial(_without_defaults, converter))
    converter.register_structure_hook_factory(_is_flat, functools.partial(_flat_from_dict, converter))
    converter.register_structure_hook_func(_is_tuple, functools.partial(_tuple_from_list, converter))
    converter.register_structure_hook_func(_is_scalar, _scalar_from_plain)
    return converter


def _has_later(kind: Any) -> bool:
    return is_dataclass(kind) and any("later" in field.metadata for field in fields(kind))


def _without_defaults(converter: Converter, kind: Any) -> Any:
    from cattrs.gen import make_dict_unstructure_fn, override

    later: Any = {field.name: override(omit_if_default=True) for field in fields(kind) if "later" in field.metadata}
    return make_dict_unstructure_fn(kind, converter, **later)


def _is_scalar(kind: Any) -> bool:
    return set(get_args(getattr(kind, "__value__", kind))) == _PLAIN


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _float_to_plain(value: float) -> float | str:
    # float(): a field declared float may hold 0, and equal cases must give equal texts
    return float(value) if math.isfinite(value) else str(float(value))


def _float_from_plain(value: Any, _: object) -> float:
    if isinstance(value, str) and value in _SPECIAL:
        return _SPECIAL[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number, got {value!r}")
    return float(value)


def _exact(kind: type) -> Any:
    def structure(value: Any, wanted: Any) -> Any:
        if wanted is not kind:
            return wanted(value)  # a StrEnum: the hook of str is its hook too
        if type(value) is not kind:
            raise TypeError(f"expected {kind.__name__}, got {value!r}")
        return value

    return structure


def _tuple_from_list(converter: Converter, value: Any, wanted: Any) -> Any:
    if not isinstance(value, list):  # a text would become a tuple of its letters
        raise TypeError(f"expected a list, got {value!r}")
    kinds = get_args(wanted)
    if kinds[1:] == (Ellipsis,):
        hook = converter.get_structure_hook(kinds[0])
        return tuple([hook(each, kinds[0]) for each in value])
    return tuple(converter.structure(each, kind) for each, kind in zip(value, kinds, strict=True))


def _is_flat(kind: Any) -> bool:
    """Whether this is a dataclass of numbers, texts and truths only."""
    return is_dataclass(kind) and isinstance(kind, type) and set(get_type_hints(kind).values()) <= _PLAIN


def _flat_from_dict(converter: Converter, kind: Any) -> Any:
    """Make a short cut for dataclasses of which a record has hundreds; whatever is unusual takes the long way."""
    from cattrs.gen import make_dict_structure_fn

    long_way = make_dict_structure_fn(kind, converter)
    kinds = get_type_hints(kind)
    wanted = (dict, *kinds.values())

    def structure(value: Any, _: object) -> Any:
        try:
            is_usual = (type(value), *[type(value[name]) for name in kinds]) == wanted and len(value) == len(kinds)
        except (KeyError, TypeError):
            is_usual = False
        return kind(**value) if is_usual else long_way(value, kind)

    return structure


def _scalar_from_plain(value: Any, _: object) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise TypeError(f"expected a number, text, true or false, got {value!r}")
    return value
