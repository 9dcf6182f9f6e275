"""Tables over models, from planted samples."""

from __future__ import annotations

import math

import pytest

from firstgrad.show.result import Form, Result, render
from firstgrad.show.suites import mean_over_models, suite_parts
from firstgrad.sweep.grid import OmittedModel


def sample(model, seconds=None, reason="", **cells):
    known = {"backend": "jax", "target": "dlogp", "sampler": None, "scenario": "cold", "verdict": "agrees"}
    return known | {"model": model, "reason": reason, "time_to_first_gradient": seconds, "nodes": 10.0} | cells


def lines(samples, omitted=(), metrics=()):
    return render(Result(parts=tuple(suite_parts(samples, omitted, metrics))), Form.MARKDOWN).splitlines()


def test_the_worst_stands_first_and_the_mean_is_geometric_with_students_interval():
    shown = lines([sample("quick", 1.0), sample("slow", 100.0), sample("middle", 9.0), sample("middle", 11.0)])
    assert "jax, dlogp, cold: 3 models, medians, the worst first" in shown[0]
    assert [line.split("`")[1] for line in shown if line.startswith("| `")] == ["slow", "middle", "quick"]
    mean, interval = (line.split(" | ")[1] for line in shown if line.startswith(("| geometric", "| its")))
    factor = math.exp(4.302653 * math.log(10) / math.sqrt(3))  # Student's, of logarithms 0, 1, 2 times log(10)
    assert mean == "10.0 s"
    assert interval == f"{10 / factor * 1000:.1f} ms to {10 * factor:.0f} s"


def test_what_has_no_numbers_has_its_reason_and_is_in_no_mean():
    gone = [
        OmittedModel(what="two.py", reason="makes 2 models", is_failure=True),
        OmittedModel(what="h.py", reason="none"),
    ]
    shown = lines(
        [
            sample("good", 2.0),
            sample("half", 8.0),
            sample("half", 1e9, "failed in link: x"),
            sample("bad", None, "crashed"),
        ],
        gone,
    )
    text = "\n".join(shown)
    assert "3 models without numbers that count" in shown[0]
    assert "| `two.py` |  | `makes 2 models` |" in text
    assert "| `half` | jax, dlogp, cold | `failed in link: x` |" in text
    assert "| `bad` | jax, dlogp, cold | `crashed` |" in text
    assert "| geometric mean | 4.00 s |" in text
    assert "- left out: h.py: none" in text


def test_each_way_of_measuring_has_a_table_and_a_single_model_no_mean():
    text = "\n".join(lines([sample("one", 2.0), sample("one", 3.0, backend="c")], metrics=["nodes"]))
    assert text.count("1 model, medians") == 2
    assert "geometric mean" not in text
    assert "first gradient" not in text
    assert "| `one` | 10 | agrees |" in text


def test_an_exact_count_that_all_models_share_has_no_interval():
    text = "\n".join(lines([sample("a", 2.0), sample("b", 2.0)]))
    assert "| geometric mean | 2.00 s | 10 |  |" in text
    assert "95% interval" not in text


def test_two_models_give_a_mean_without_an_interval_wherever_it_is_said():
    two, three = (mean_over_models(zip("abc", numbers, strict=False)) for numbers in ((2.0, 8.0), (2.0, 8.0, 4.0)))
    assert (two.value, two.low, two.high) == pytest.approx((4.0, 4.0, 4.0))
    assert three.low < three.value < three.high


def test_parameters_of_one_model_are_averaged_before_the_mean_over_models():
    many = [sample(f"a(n={n})", seconds, reference="a") for n, seconds in enumerate((1.0, 4.0, 2.0))]
    lone = "\n".join(lines(many))
    assert "| geometric mean | 2.00 s |" in lone
    assert "95% interval" not in lone  # one model tells nothing of others
    both = lines([*many, sample("b", 8.0, reference="b")])
    simple = lines([sample("a", 2.0), sample("b", 8.0)])
    assert both[-1:] == simple[-1:]
    assert "95% interval" not in "\n".join(simple)  # of two models it would reach from nothing to hours
    assert "95% interval" in "\n".join(lines([sample("a", 2.0), sample("b", 8.0), sample("c", 3.0)]))
