"""Several models in one comparison: averages over them, the worst first, one block to paste, and its reproducer."""

from __future__ import annotations

import ast
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from builders import MIB, make_case, make_environment, make_record, store_of
from builders import firstgrad as run
from firstgrad.case import BackendName, Target
from firstgrad.comparing.comparison import compare
from firstgrad.comparing.judge import Gate, Thresholds
from firstgrad.comparing.places import read_side
from firstgrad.comparing.ratio import average_ratio
from firstgrad.comparing.reproducer import Reproducer, make_reproducer
from firstgrad.model import make_model
from firstgrad.record import Check, Counts, Failure, Memory, Status, Verdict

MODEL = """from __future__ import annotations
import pymc as pm


def build(n: int = 2) -> pm.Model:
    with pm.Model() as model:
        pm.Normal("x", shape=n)
    return model


if __name__ == "__main__":
    raise SystemExit("run as a script")
"""


def named(name, **fields):
    return make_case(f"{name}.py:build", **fields)


def side(label, ratios, *, seconds=2.0, samples=3, backend=BackendName.JAX, version="3.3.7", **fields):
    """Samples of models by their names: nodes and seconds are those of BASE times a ratio."""
    records = []
    for name, ratio in ratios.items():
        case = named(name, backend=backend)
        records += [
            make_record(
                record_id=f"{label}-{name}-{backend}-{number}",
                case=case,
                environment=replace(make_environment(label=label), versions=(("pymc", "6.4.0"), ("pytensor", version))),
                time_to_first_gradient_seconds=seconds * ratio * (1 + 0.001 * number),
                counts=Counts(groups=1, values=1, nodes_after=round(1000 * ratio)),
                memory=Memory(peak_rss_bytes=400 * MIB),
                check=Check(verdict=Verdict.NO_ORACLE),
                **fields,
            )
            for number in range(samples)
        ]
    return records


def failing(records):
    return [
        replace(one, status=Status.FAILED, failure=Failure(kind="ValueError", message="no data")) for one in records
    ]


SAME = dict.fromkeys("abc", 1.0)


# --- averages -----------------------------------------------------------------------------------------------------


def test_a_geometric_mean_is_scipys_with_its_interval():
    ratios = [1.2, 0.9, 1.05, 1.4, 0.8]
    made = average_ratio(ratios).estimate(0.95)
    logs = stats.ttest_1samp(np.log(ratios), 0.0).confidence_interval(0.95)
    assert made.value == pytest.approx(stats.gmean(ratios), rel=1e-12)
    assert (made.low, made.high) == pytest.approx((math.exp(logs.low), math.exp(logs.high)), rel=1e-9)
    assert made.samples == 5
    for few, mean in (([1.2], 1.2), ([1.0, 1.44], 1.2)):  # of which there is no interval
        one = average_ratio(few).estimate(0.95)
        assert (one.value, one.low, one.high, one.confidence) == (pytest.approx(mean),) * 3 + (0.0,)
    equal = average_ratio([1.0] * 9).estimate(0.95)
    assert (equal.value, equal.low, equal.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("models", [3, 5, 10, 30])
@pytest.mark.parametrize(("noise", "least"), [("normal", 0.935), ("laplace", 0.935), ("skewed", 0.86)])
def test_the_interval_over_models_holds_the_planted_mean(models, noise, least):
    chance = np.random.default_rng(7)
    draws = {
        "normal": lambda: chance.normal(0.0, 0.1, models),
        "laplace": lambda: chance.laplace(0.0, 0.1, models),
        "skewed": lambda: chance.exponential(0.1, models) - 0.1,  # most models unchanged, some much slower
    }
    planted = 1.1
    made = [average_ratio(np.exp(math.log(planted) + draws[noise]())).estimate(0.95) for _ in range(1500)]
    held = np.mean([one.low <= planted <= one.high for one in made])
    assert least <= held <= 0.985


def test_metrics_are_averaged_over_the_models_that_have_them_apart_for_each_backend():
    base = [*side("base", SAME), *side("base", SAME, backend=BackendName.NUMBA)]
    head = [*side("head", {"a": 1.0, "b": 1.21, "c": 1.0}), *side("head", SAME, backend=BackendName.NUMBA)]
    head = [*[one for one in head if one.case != named("a", backend=BackendName.NUMBA)]]
    head += failing(side("head", {"a": 1.0}, backend=BackendName.NUMBA))
    found = compare([*base, *head], "base", "head")
    nodes = {mean.asked.partition(",")[0]: mean for mean in found.means if mean.metric == "nodes"}
    assert nodes["jax"].ratio.value == pytest.approx(1.21 ** (1 / 3))
    assert nodes["jax"].ratio.low < 1.0 < nodes["jax"].ratio.high
    assert (nodes["jax"].low, nodes["jax"].high) == pytest.approx((1.0, 1.21))
    assert (nodes["jax"].worse, nodes["jax"].better, nodes["jax"].ratio.samples) == (1, 0, 3)
    assert (nodes["numba"].ratio.value, nodes["numba"].ratio.samples) == (1.0, 2)


def test_one_model_has_no_average():
    assert compare([*side("base", {"a": 1.0}), *side("head", {"a": 1.2})], "base", "head").means == ()


# --- the worst first ----------------------------------------------------------------------------------------------


def test_cases_are_in_order_the_worst_first():
    base = side("base", dict.fromkeys("abcdef", 1.0))
    head = [
        *side("head", {"a": 1.0, "b": 1.05, "c": 1.5, "d": 0.8, "e": 1.001}),
        *failing(side("head", {"f": 1.0})),
    ]
    found = compare([*base, *head], "base", "head")
    assert [one.case.model.reference[0] for one in found.cases] == ["f", "c", "b", "e", "a", "d"]
    assert found.cases[1].worst.metric == "nodes"
    assert found.has_regression


def test_where_no_gate_tells_times_order_them():
    head = [one for name, ratio in (("a", 1.0), ("b", 3.0), ("c", 2.0)) for one in side("head", {name: ratio})]
    head = [replace(one, counts=Counts(groups=1, values=1, nodes_after=1000)) for one in head]
    found = compare([*side("base", SAME), *head], "base", "head")
    assert [one.case.model.reference[0] for one in found.cases] == ["b", "c", "a"]
    assert not found.has_regression
    found = compare([*side("base", SAME), *head], "base", "head", thresholds=Thresholds(gate=Gate.SECONDS))
    assert found.cases[0].case.model.reference == "b.py:build"
    assert found.has_regression


# --- what is shown ------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        (tmp_path / f"{name}.py").write_text(MODEL)
    records = [*side("base", SAME), *side("head", {"a": 1.0, "b": 1.3}, version="3.3.8")]
    store_of([*records, *failing(side("head", {"c": 1.0}, version="3.3.8"))])
    return ("compare", "base", "head", "--across", "pytensor")


def test_the_terminal_has_a_line_a_model_and_the_averages(stored):
    code, out, _ = run(*stored)
    assert code == 1
    table = [line for line in out.splitlines() if ".py:build" in line and line.startswith("│")]
    assert [line.split()[1][0] for line in table] == ["c", "b", "a"]
    assert "failed" in table[0]
    assert "nodes 1.300" in table[1]
    assert "no oracle" in table[2]
    assert "Geometric means over models" in out
    assert "1.140" in out
    assert "1.140 [" not in out  # of two models, 1 and 1.3: an interval would reach from 0.2 to 6


def test_the_block_says_the_verdict_first_and_has_all_that_a_reviewer_asks_for(stored):
    code, out, _ = run(*stored, "--markdown", "--store", ".firstgrad/results.sqlite")
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == "### firstgrad compare: regression"
    assert lines[2].startswith("2 of 3 cases are worse: `c.py:build` failed on HEAD.")
    for text in (
        "| `c.py:build` | **failed** | `on HEAD 3 of 3 samples: failed: ValueError: no data` |",
        "| `b.py:build` | **larger** | nodes 1.300 (+300) |",
        "no oracle |",
        "<details><summary>Versions and conditions</summary>",
        "| pytensor | `3.3.7` | `3.3.8` |",
        "`compared: pytensor is 3.3.7 on BASE and 3.3.8 on HEAD`",
        "Reproduce the worst case without firstgrad: <code>c.py:build, jax, dlogp, cold</code>",
        "python -m venv base && base/bin/pip install -q pymc==6.4.0 pytensor==3.3.7 && PYTHON",
        "python -m venv head && head/bin/pip install -q pymc==6.4.0 pytensor==3.3.8 && PYTHON",
        "head/bin/python reproduce.py",
        "Made by `firstgrad compare base head --across pytensor --markdown`",
    ):
        assert text in out
    assert out.count("<details>") == out.count("</details>") == 3
    assert "results.sqlite" not in out


@pytest.mark.usefixtures("stored")
def test_the_block_of_many_models_is_no_longer_than_a_comment_may_be():
    names = [f"models/of/some/depth/model_{number:03}" for number in range(100)]
    store_of([*side("was", dict.fromkeys(names, 1.0)), *side("is", dict.fromkeys(names, 1.3))])
    _, out, _ = run("compare", "was", "is", "--markdown")
    assert "100 of 100 cases are worse" in out
    assert "50 more rows are left out, none of worse cases" in out
    assert len(out) < 65_536


@pytest.mark.usefixtures("stored")
def test_nothing_worse_is_said_first_too():
    _, out, _ = run("compare", "base", "base", "--markdown")
    assert out.splitlines()[0] == "### firstgrad compare: no regression"
    assert "None of 3 cases is worse beyond its threshold." in out


def test_json_has_means_versions_and_checks(stored):
    _, out, _ = run(*stored, "--json")
    for text in ('"means":[', '"versions":[', '"checks":["no_oracle","no_oracle"]'):
        assert text in out


def test_stored_sides_that_differ_in_an_option_are_matched_model_by_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store_of([*side("one@x", SAME), *side("two@x", SAME | {"b": 1.3}, backend=BackendName.NUMBA)])
    code, out, _ = run("compare", "one@x", "two@x")
    assert code == 1
    assert "cases compared: 3" in out


# --- the reproducer -----------------------------------------------------------------------------------------------


def reproducer(requests=(), head=None, **fields):
    fields = {"backend": BackendName.JAX} | fields
    base_case = named("a", **fields)
    records = [replace(one, case=base_case) for one in side("base", {"a": 1.0})]
    records += [replace(one, case=head or base_case) for one in side("head", {"a": 1.3}, version="3.3.8")]
    found = compare(records, "base", "head", across={"pytensor"}, key=lambda _: "")
    return make_reproducer(found, requests)


def test_the_script_holds_the_model_and_nothing_of_firstgrad(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text(MODEL)
    made = reproducer(backend=BackendName.NUMBA)
    assert isinstance(made, Reproducer)
    ast.parse(made.script)
    assert "import firstgrad" not in made.script
    assert "from firstgrad" not in made.script
    assert "def build(" in made.script
    assert "run as a script" not in made.script
    assert made.script.index("PYTENSOR_FLAGS") < made.script.index("import pymc as pm")
    assert "('NUMBA',), {}" in made.script


def test_a_model_with_neighbours_or_of_commits_is_loaded_from_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text(f"import beside\n{MODEL.partition(chr(10))[2]}")
    (tmp_path / "beside.py").write_text("X = 1\n")
    made = reproducer()
    assert "run_path('a.py')['build']" in made.script
    (tmp_path / "a.py").write_text("from firstgrad import PoseSpec\n")
    assert reproducer() == "the model's file imports firstgrad"


def test_where_there_can_be_none_it_says_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text(MODEL)
    assert reproducer(backend=BackendName.JAX_DIRECT) == "jax_direct is firstgrad's own way"
    assert reproducer(target=Target.FIRST_DRAW) == "it is of gradients, not of a first_draw"
    assert (
        reproducer(head=replace(named("a", backend=BackendName.JAX), model=make_model("b.py:build")))
        == "the sides are two models"
    )


def test_commands_follow_what_the_sides_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text(MODEL)
    sides = (read_side("env:theirs/bin/python"), read_side("."))
    made = reproducer(requests=sides)
    assert made.commands[0] == "PYTHONHASHSEED=0 theirs/bin/python reproduce.py"
    made = reproducer(head=replace(named("a"), backend=BackendName.NUMBA), backend=BackendName.JAX)
    assert made.commands[1].endswith("head/bin/python reproduce.py head")
    assert "sides[sys.argv[1] if len(sides) > 1" in made.script
