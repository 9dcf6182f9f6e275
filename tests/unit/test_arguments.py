"""A user's function and the arguments that it is to get: told before it is called."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.backends.user_model import fit_arguments
from firstgrad.errors import ModelError
from firstgrad.model import Model

if TYPE_CHECKING:
    from decimal import Decimal

HERE = "package.module:build"


def external(**parameters):
    return Model(reference=HERE, parameters=tuple(sorted(parameters.items())))


def refusal(factory, **parameters):
    with pytest.raises(ModelError) as caught:
        fit_arguments(factory, external(**parameters))
    return str(caught.value)


def build(n: int, *, scale: float = 1.0, kind: str = "a", centered: bool = False): ...


def test_an_unknown_parameter_is_named_with_those_that_there_are():
    assert refusal(build, n=3, m=1, zeta=2) == (
        f"{HERE} has no parameter 'm', 'zeta'. It takes: n: int, scale: float = 1.0, kind: str = 'a', "
        "centered: bool = False"
    )
    assert refusal(lambda: None, n=3) == f"{HERE} has no parameter 'n'. It takes: no parameters"
    assert refusal(lambda n=3: n, m=1) == f"{HERE} has no parameter 'm'. It takes: n=3"


def test_a_missing_parameter_is_named_with_what_to_write():
    assert refusal(build, scale=2.0).startswith(
        f"{HERE} needs 'n', which has no default. Give it: --param n=VALUE. It takes: n: int, "
    )
    assert "needs 'a', 'b', which" in refusal(lambda a, b: (a, b))
    assert "--param a=VALUE --param b=VALUE" in refusal(lambda a, b: (a, b))


def test_a_parameter_that_only_goes_by_position_cannot_be_given():
    def positional(n=3, /): ...

    assert refusal(positional, n=3) == f"{HERE} has no parameter 'n'. It takes: no parameters"


def test_a_function_of_any_keywords_takes_them_all():
    def anything(n, **others): ...

    assert fit_arguments(anything, external(n=1, m=2)) == {"n": 1, "m": 2}
    assert "needs 'n'" in refusal(anything, m=2)


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (int, 3, 3),
        (int, 1e3, 1000),
        (float, 3, 3.0),
        (float, 2.5, 2.5),
        (bool, True, True),
        (str, "a", "a"),
        (int | None, 3, 3),
        (Optional[float], 3, 3.0),  # noqa: UP045 - as many still write it
        (int | float, 3, 3),
        (int | str, "a", "a"),
        (Literal["rk4", "euler"], "rk4", "rk4"),
        (Literal[1, 2], 2, 2),
        (Any, "a", "a"),
        (Fraction, 3, 3),
        (list[int], "a", "a"),
        (int | Fraction, "a", "a"),
        (Annotated[float, {"above": 0}], 3, 3.0),
        (["any", "of", "these"], "a", "a"),
    ],
)
def test_a_value_that_fits_its_annotation_is_taken(hint, value, expected):
    def factory(x): ...

    factory.__annotations__ = {"x": hint}
    found = fit_arguments(factory, external(x=value))["x"]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("hint", "value", "told"),
    [
        (int, "abc", "is a whole number, got 'abc'"),
        (int, 2.5, "is a whole number, got 2.5"),
        (int, True, "is a whole number, got true"),
        (float, "abc", "is a number, got 'abc'"),
        (float, False, "is a number, got false"),
        (bool, 1, "is true or false, got 1"),
        (bool, "True", "is true or false, got 'True'"),
        (str, 3, """is a text, got 3; write it in quotes: --param x='"3"'"""),
        (int | None, "abc", "is a whole number, got 'abc'"),
        (int | str, 2.5, """is a whole number or a text, got 2.5; write it in quotes: --param x='"2.5"'"""),
        (Literal["rk4", "euler"], "rk5", "is 'rk4' or 'euler', got 'rk5'"),
        (Literal[1, 2], True, "is 1 or 2, got true"),
        (Annotated[int, {"above": 0}], "abc", "is a whole number, got 'abc'"),
        (Literal["1", "2"], 1, """is '1' or '2', got 1; write it in quotes: --param x='"1"'"""),
    ],
)
def test_a_value_of_another_type_is_refused(hint, value, told):
    def factory(x): ...

    factory.__annotations__ = {"x": hint}
    assert refusal(factory, x=value) == f"{HERE}: parameter x {told}"


def test_an_annotation_that_cannot_be_evaluated_leaves_the_others_as_they_are():
    def factory(n: int, scale: float, price: Decimal): ...  # Decimal is imported for type checkers only

    assert fit_arguments(factory, external(n=3, scale=1, price="2.50")) == {"n": 3, "scale": 1.0, "price": "2.50"}
    assert "parameter n is a whole number" in refusal(factory, n="abc", scale=1, price=2)


def test_a_class_and_a_function_without_a_signature_are_taken_too():
    class Builder:
        def __init__(self, n: int = 1): ...

    assert fit_arguments(Builder, external(n=3)) == {"n": 3}
    assert "It takes: n: int = 1" in refusal(Builder, m=3)

    class Opaque:
        """As some functions that are written in C are."""

        __signature__ = "none"

        def __call__(self, **_): ...

    assert fit_arguments(Opaque(), external(n=3)) == {"n": 3}


@given(st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()))
def test_what_is_taken_equals_what_was_given(value):
    for hint in (bool, int, float, str):

        def factory(x): ...

        factory.__annotations__ = {"x": hint}
        try:
            found = fit_arguments(factory, external(x=value))["x"]
        except (ModelError, OverflowError):
            continue
        assert type(found) is hint
        assert found == value or hint is float
