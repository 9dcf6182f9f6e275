"""Loops of the user's written as arrays, from the source alone; what comes out computes the same."""

from __future__ import annotations

import ast
import itertools

import numpy as np
import pytest

from firstgrad.linting.instead import unrolled
from firstgrad.observe.events import CodeLine

_NUMBER = itertools.count()


@pytest.fixture
def write(tmp_path):
    def of(source, at, **options):
        file = tmp_path / f"model_{next(_NUMBER)}.py"
        file.write_text(source)
        line = next(n for n, text in enumerate(source.splitlines(), 1) if at in text)
        return unrolled([CodeLine(file=str(file), line=line, function="f", text=at)], **options)

    return of


SUMS = (
    ("area = 0.0\nfor k in range(1, n):\n    area = area + w[k] * x ** k\n", "area = area"),
    ("area = 0.0\nfor k in range(n):\n    area += (2.0 if k % 2 else 4.0) * x ** k\n", "area +="),
    ("area = sum(w[k] * x ** k for k in range(n))\n", "area ="),
    ("area = sum([factor * x ** k for k, factor in enumerate(w)])\n", "area ="),
    ("area = 0.0\nfor factor, p in zip(w, powers):\n    area = factor * x ** p + area\n", "area = factor"),
)


@pytest.mark.parametrize(("source", "at"), SUMS)
def test_a_sum_of_vectors_is_the_same_sum(write, source, at):
    given = {"np": np, "n": 5, "w": np.arange(1.0, 6.0), "x": np.array([0.5, 2.0, 3.0]), "powers": [0, 1, 2, 3, 4]}
    loop = dict(given)
    exec(source, loop)  # noqa: S102 - written above
    text = write(source, at, dims=1)
    arrays = given | {"area": 0.0}
    exec(text, arrays)  # noqa: S102 - made of what is written above
    assert np.allclose(arrays["area"], loop["area"])


def test_nested_loops_are_two_axes(write):
    source = """
def build():
    with pm.Model() as model:
        for plant in plants:
            vigour = pm.Normal(f"vigour_{plant}", 0, 1)
            for day in range(days):
                height = vigour * growth[day]
                pm.Normal(f"height_{plant}_{day}", height, 1, observed=seen[plant, day])
"""
    assert write(source, "height_").splitlines() == [
        "vigour = pm.Normal('vigour', 0, 1, shape=len(plants))",
        "height = vigour[:, None] * growth",
        "pm.Normal('height', height, 1, observed=seen)",
    ]


def test_a_loop_outside_of_the_model_is_no_loop_of_its(write):
    source = """
for size in sizes:
    with pm.Model() as model:
        x = pm.Normal("x", 0, 1, shape=size)
"""
    assert write(source, "x = pm").startswith("# evaluate this once")


def test_shapes_of_vectors_get_the_loop_in_front(write):
    text = write('for k in range(K):\n    raw = pm.Normal("raw_" + str(k), shape=(T, 3))\n', "raw = pm")
    assert text == "raw = pm.Normal('raw', shape=(K, T, 3))"


def test_products_of_picked_vectors_are_matrix_products(write):
    source = """
for i in range(n):
    for j in range(n):
        pm.Bernoulli(f't_{i}_{j}', pt.dot(u[i], u[j]), observed=t[i, j])
"""
    assert write(source, "pm.Bern") == "pm.Bernoulli('t', u @ u.T, observed=t)"
    source = "for i in range(n):\n    pm.Normal(f'y_{i}', X[i] @ b, 1, observed=y[i])\n"
    assert write(source, "pm.Normal") == "pm.Normal('y', X @ b, 1, observed=y)"


def test_a_branch_that_the_loop_does_not_decide_stays(write):
    source = """
for i in range(n):
    if heavy:
        pm.StudentT(f'y_{i}', 3, mu[i], 1)
    else:
        pm.Normal(f'y_{i}', mu[i], 1)
"""
    assert write(source, "pm.StudentT").splitlines() == [
        "if heavy:",
        "    pm.StudentT('y', 3, mu, 1, shape=n)",
        "else:",
        "    pm.Normal('y', mu, 1, shape=n)",
    ]


@pytest.mark.parametrize(
    "body",
    ["    if i > 2:\n        x = f(i)\n", "    while x:\n        x = f(i)\n", "    x, y = f(i), 1\n", "    del x\n"],
)
def test_what_cannot_be_followed_is_said_in_words(write, body):
    text = write(f"for i in range(n):\n{body}", body.split()[0])
    assert text.startswith("#")


def test_a_recursion_is_a_scan_of_the_same_names(write):
    source = "level = start\nfor t in range(n):\n    level = keep * level + push[t]\n    seen.append(level)\n"
    text = write(source, "level = keep", is_recursion=True)
    assert text.splitlines()[:3] == [
        "def step(push_t, level):",
        "    level = keep * level + push_t",
        "    return level",
    ]
    assert "level = pytensor.scan(step, sequences=[push], outputs_info=[level], return_updates=False)" in text
    ast.parse(text)


def test_a_file_that_is_not_there_or_no_python(write, tmp_path):
    gone = CodeLine(file=str(tmp_path / "gone.py"), line=3, function="f", text="x = y")
    assert "x = y" in unrolled([gone])
    assert write("for (\n", "for").startswith("#")


def test_turns_that_are_summed_get_the_advice_on_axes_and_lists(write):
    source = "total = 0\nfor s in range(n):\n    total = total + logp(effects[s], data[s]).sum()\n"
    notes, written = write(source, "total = total").splitlines()[:2], write(source, "total = total").splitlines()[2:]
    assert "[:, None]" in notes[0]
    assert "lists and dicts of arrays" in notes[1]
    assert written == ["total = total + logp(effects, data).sum(axis=-1).sum(axis=0)"]
    plain = write("total = 0\nfor s in range(n):\n    total = total + effects[s]\n", "total = total")
    assert "#" not in plain
