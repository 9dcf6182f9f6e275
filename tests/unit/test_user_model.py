"""The user's own file or module: found, its arguments fitted, called, and refused with a reason. No PyMC is needed."""

from __future__ import annotations

import re
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstgrad.backends.user_model import UserModel, fit_arguments, load_user_model
from firstgrad.errors import ModelError
from firstgrad.model import make_model

if TYPE_CHECKING:
    from decimal import Decimal


class Model:
    """What is asked of a ``pm.Model``."""

    def __init__(self, free=("x",)):
        self.free_RVs = list(free)

    def compile_fn(self):
        """Never called here."""


@pytest.fixture(autouse=True)
def _clean_imports(monkeypatch, tmp_path):
    """What importing a user's file leaves in the process goes away with the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def external(reference, **parameters):
    return make_model(str(reference), parameters)


def written(folder, text, name="model.py"):
    path = folder / name
    path.write_text(text)
    return f"{path}:build"


def refusal(reference, **parameters):
    """Why a reference cannot be used."""
    model = external(reference, **parameters)
    with pytest.raises(ModelError) as caught:
        load_user_model(model).build()
    return str(caught.value)


def called(factory, **parameters):
    return UserModel(external("package.module:build", **parameters), factory).build()


def call_refusal(factory):
    with pytest.raises(ModelError) as caught:
        called(factory)
    return str(caught.value)


def test_a_factory_is_found_in_a_file_and_gets_its_parameters(tmp_path):
    model = external(written(tmp_path, "def build(n, name='a'): return n, name"), n=3)
    assert load_user_model(model).factory(**dict(model.parameters)) == (3, "a")


def test_a_file_can_import_its_neighbours(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "my_neighbour.py").write_text("value = 5")
    reference = written(tmp_path / "sub", "import my_neighbour\ndef build(): return my_neighbour.value")
    assert load_user_model(external(reference)).factory() == 5


def test_a_file_with_a_dataclass_can_be_imported(tmp_path):
    # dataclasses and pickle look for the module by its name
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    text += "@dataclass\nclass A:\n    x: int\ndef build():\n    return A(1)\n"
    assert load_user_model(external(written(tmp_path, text))).factory().x == 1


def test_a_factory_is_found_in_a_module_below_the_present_folder(tmp_path):
    package = tmp_path / "my_package_of_models"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "inner.py").write_text("def build(): return 7")
    assert load_user_model(external("my_package_of_models.inner:build")).factory() == 7


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("absent/model.py:build", "no file absent/model.py (looked from {here})$"),
        (
            "no_such_package.models:build",
            "importing no_such_package.models raised ModuleNotFoundError: No module named 'no_such_package'$",
        ),
        ("{here}/broken.py:build", "{here}/broken.py, line 2: syntax error: "),
        ("broken:build", "{here}/broken.py, line 2: syntax error: "),
        (
            "{here}/lost.py:build",
            "importing {here}/lost.py raised ModuleNotFoundError: No module named 'no_such_package_at_all' "
            "(line 1 of lost.py)$",
        ),
        (
            "{here}/wrong.py:build",
            "importing {here}/wrong.py raised ZeroDivisionError: division by zero (line 1 of wrong.py)$",
        ),
    ],
)
def test_what_is_missing_or_cannot_be_imported_is_named(tmp_path, reference, reason):
    written(tmp_path, "x = 1\ny = = 2\n", name="broken.py")
    written(tmp_path, "import no_such_package_at_all\n", name="lost.py")
    written(tmp_path, "1 / 0\n", name="wrong.py")
    expected = reason.format(here=tmp_path)
    told = refusal(reference.format(here=tmp_path))
    assert told == expected.removesuffix("$") if expected.endswith("$") else told.startswith(expected)


def test_a_script_that_ends_its_process_is_refused_with_a_way_out(tmp_path):
    written(tmp_path, "import sys\nsys.exit('usage: DATA')\n", name="my_script.py")
    for place in (f"{tmp_path}/my_script.py", "my_script"):
        assert refusal(f"{place}:build") == (
            f"importing {place} raised SystemExit: usage: DATA (line 2 of my_script.py). "
            'Put what runs as a script below if __name__ == "__main__":'
        )


def test_a_missing_function_is_answered_with_those_that_are_there(tmp_path):
    reference = written(tmp_path, "import os\nx = 1\ndef make(): ...\ndef another(): ...\ndef _hidden(): ...\n")
    assert refusal(reference) == f"{tmp_path}/model.py has no function 'build'. It has: another, make"
    assert (
        refusal(written(tmp_path, "def _build(): ...")) == f"{tmp_path}/model.py has no function 'build'. It has: none"
    )


def test_what_a_factory_raises_is_named():
    def build():
        raise KeyError("data.csv")

    line = build.__code__.co_firstlineno + 1
    assert call_refusal(build) == (
        f"package.module:build raised KeyError: 'data.csv' (line {line} of {Path(__file__).name})"
    )


def test_a_parameter_it_does_not_know_is_named():
    with pytest.raises(ModelError, match=r"has no parameter 'n'\. It takes: free=\('x',\)"):
        called(Model, n=3)


def test_a_function_gets_its_parameters_in_the_types_that_it_annotates():
    def build(scale: float, n: int):
        assert (type(scale), type(n)) == (float, int)
        return Model()

    called(build, scale=2, n=1e3)


@pytest.mark.parametrize("stage", ["factory", "file", "module"])
def test_too_little_memory_is_not_the_models_mistake(tmp_path, stage):
    text = "def build(): raise MemoryError" if stage == "factory" else "raise MemoryError"
    reference = written(tmp_path, text, name="my_hungry_module.py")
    model = external("my_hungry_module:build" if stage == "module" else reference)
    with pytest.raises(MemoryError):
        load_user_model(model).build()


@pytest.mark.parametrize(
    ("result", "kind"),
    [(None, "NoneType"), (3, "int"), ("model", "str"), ((Model(), {}, 1), "tuple"), ((1, {}), "tuple")],
)
def test_something_else_than_a_model_is_refused(result, kind):
    assert call_refusal(lambda: result) == (
        f"package.module:build returned {kind}; it must return a pm.Model or a pair (model, initial_point)"
    )


def test_a_model_without_a_free_variable_is_refused():
    for result in (Model(free=()), (Model(free=()), {})):
        assert call_refusal(lambda result=result: result) == (
            "package.module:build returned a model with no free variable: nothing to differentiate"
        )


@pytest.mark.parametrize(("initial", "kind"), [([1.0], "list"), (3.0, "float"), ("x", "str")])
def test_an_initial_point_that_is_no_dict_is_refused(initial, kind):
    assert f"its initial point is a {kind}; it must be a dict" in call_refusal(lambda: (Model(), initial))


def test_a_model_or_a_pair_is_taken():
    model = Model()
    assert (called(lambda: model).model, called(lambda: model).initial) == (model, None)
    initial = {"x": 1.0}
    built = called(lambda: (model, initial))
    assert (built.model, built.initial) == (model, initial)
    assert built.initial is not initial, "a copy: the user's own is not changed"
    assert called(lambda: (model, None)).initial is None


ORACLE = """
class Model:
    free_RVs = ("x",)
    def compile_fn(self): ...

def build(n, scale=2.0): return Model()

def oracle(parameters, point):
    {body}
"""


def asked(folder, body, point=None):
    model = external(written(folder, ORACLE.format(body=body)), n=3)
    return load_user_model(model).build().oracle(point or {"x": np.ones(2)})


def test_an_oracle_beside_the_function_gets_all_parameters_and_a_point_of_its_own(tmp_path):
    point = {"x": np.ones(2)}
    answer = asked(tmp_path, "point['x'] *= parameters['n']; return parameters['scale'], {'x': point['x']}", point)
    assert (answer.logp, list(answer.gradient["x"]), answer.rounding) == (2.0, [3.0, 3.0], 0.0)
    assert list(point["x"]) == [1.0, 1.0]
    assert asked(tmp_path, "return None, {'x': [1, 2]}").logp is None


def test_a_file_without_an_oracle_has_none(tmp_path):
    text = ORACLE.partition("def oracle")[0]
    for more in ("", "oracle = None\n"):
        assert load_user_model(external(written(tmp_path, text + more), n=3)).build().oracle is None
    # A model that is called so is no oracle of itself.
    reference = written(tmp_path, text + "oracle = build\n").replace(":build", ":oracle")
    assert load_user_model(external(reference, n=3)).build().oracle is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("1 / 0", "raised ZeroDivisionError: division by zero"),
        ("return 1.0", "returned float; it must return a pair (logp, gradient)"),
        ("return 1.0, [2.0]", "returned tuple; it must return a pair (logp, gradient)"),
        ("return 'high', {}", "returned tuple; it must return a pair (logp, gradient)"),
        ("return 1.0, {'x': 'steep'}", "returned tuple; it must return a pair (logp, gradient)"),
    ],
)
def test_an_oracle_that_answers_otherwise_is_refused(tmp_path, body, reason):
    with pytest.raises(ModelError, match=re.escape(f"the oracle of {tmp_path}/model.py {reason}")):
        asked(tmp_path, body)


HERE = "package.module:build"


def here(**parameters):
    return make_model(HERE, parameters)


def misfit(factory, **parameters):
    with pytest.raises(ModelError) as caught:
        fit_arguments(factory, here(**parameters))
    return str(caught.value)


def build(n: int, *, scale: float = 1.0, kind: str = "a", centered: bool = False): ...


def annotated(hint):
    """A function whose one parameter has this annotation."""

    def factory(x): ...

    factory.__annotations__ = {"x": hint}
    return factory


def test_an_unknown_parameter_is_named_with_those_that_there_are():
    assert misfit(build, n=3, m=1, zeta=2) == (
        f"{HERE} has no parameter 'm', 'zeta'. It takes: n: int, scale: float = 1.0, kind: str = 'a', "
        "centered: bool = False"
    )
    assert misfit(lambda: None, n=3) == f"{HERE} has no parameter 'n'. It takes: no parameters"
    assert misfit(lambda n=3: n, m=1) == f"{HERE} has no parameter 'm'. It takes: n=3"


def test_a_missing_parameter_is_named_with_what_to_write():
    assert misfit(build, scale=2.0).startswith(
        f"{HERE} needs 'n', which has no default. Give it: --param n=VALUE. It takes: n: int, "
    )
    assert "needs 'a', 'b', which" in misfit(lambda a, b: (a, b))
    assert "--param a=VALUE --param b=VALUE" in misfit(lambda a, b: (a, b))


def test_a_function_of_any_keywords_takes_them_all_and_one_by_position_none():
    def anything(n, **others): ...

    def positional(n=3, /): ...

    assert fit_arguments(anything, here(n=1, m=2)) == {"n": 1, "m": 2}
    assert "needs 'n'" in misfit(anything, m=2)
    assert misfit(positional, n=3) == f"{HERE} has no parameter 'n'. It takes: no parameters"


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
    found = fit_arguments(annotated(hint), here(x=value))["x"]
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
    assert misfit(annotated(hint), x=value) == f"{HERE}: parameter x {told}"


def test_an_annotation_that_cannot_be_evaluated_leaves_the_others_as_they_are():
    def factory(n: int, scale: float, price: Decimal): ...  # Decimal is imported for type checkers only

    assert fit_arguments(factory, here(n=3, scale=1, price="2.50")) == {"n": 3, "scale": 1.0, "price": "2.50"}
    assert "parameter n is a whole number" in misfit(factory, n="abc", scale=1, price=2)


def test_a_class_and_a_function_without_a_signature_are_taken_too():
    class Builder:
        def __init__(self, n: int = 1): ...

    assert fit_arguments(Builder, here(n=3)) == {"n": 3}
    assert "It takes: n: int = 1" in misfit(Builder, m=3)

    class Opaque:
        """As some functions that are written in C are."""

        __signature__ = "none"

        def __call__(self, **_): ...

    assert fit_arguments(Opaque(), here(n=3)) == {"n": 3}


@given(st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()))
def test_what_is_taken_equals_what_was_given(value):
    for hint in (bool, int, float, str):
        try:
            found = fit_arguments(annotated(hint), here(x=value))["x"]
        except (ModelError, OverflowError):
            continue
        assert type(found) is hint
        assert found == value or hint is float
