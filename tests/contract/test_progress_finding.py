"""The last line of `compile_progress`: what lint finds in the model, where it cost a tenth of the compile or more."""

from __future__ import annotations

import pytest

from firstgrad.observe.events import Stage
from firstgrad.progress.compile_progress import _name_finding
from firstgrad.progress.look import StackLook, WatchedThread
from helpers import FakeClock


@pytest.fixture(scope="module")
def model():
    """A model in which one line stands sixty times."""
    from tests.contract.lined_model import build

    return build(60)


@pytest.fixture(scope="module")
def clean():
    """A model with nothing to mend."""
    import pymc as pm

    with pm.Model() as model:
        pm.Normal("y", pm.Normal("mu", 0.0, 1.0, shape=3), 1.0, observed=[0.0, 1.0, 2.0])
    return model


def ended(seconds=6.0, *, backend="jax", writing=0.1, is_cache_first=False):
    """A thread that compiled for so long."""
    clock = FakeClock(0.0)
    thread = WatchedThread("", None, (), clock)
    clock.now = writing
    thread.take(StackLook(stage=Stage.LOGP_GRAPH, backend=backend))
    clock.now = seconds
    thread.take(StackLook(stage=Stage.LINK, backend=backend))
    thread.is_cache_first = is_cache_first
    thread.end()
    return thread


def test_what_costs_a_tenth_or_more_is_named_with_its_line_and_where_the_cure_stands(model):
    (sentence,) = _name_finding(model, ended())
    assert sentence.startswith("lined_model.py:23: ")
    assert "60 times" in sentence
    assert sentence.endswith("What to write instead: firstgrad.lint(model)")


@pytest.mark.parametrize(
    "thread",
    [
        pytest.param(ended(4.0), id="a short compile"),
        pytest.param(ended(6000.0), id="less than a tenth"),
        pytest.param(ended(is_cache_first=True), id="read from a cache"),
        pytest.param(ended(writing=3.0), id="to look would take long"),
        pytest.param(ended(backend="abacus"), id="a backend of which nothing is known"),
    ],
)
def test_nothing_is_said_of(model, thread):
    assert _name_finding(model, thread) == ()


def test_nothing_is_said_of_a_clean_model_or_of_none(clean):
    assert _name_finding(clean, ended()) == ()
    assert _name_finding(None, ended()) == ()


def test_looks_after_the_end_count_for_nothing():
    thread = ended(6.0)
    before = thread.summary()
    thread.take(StackLook(stage=Stage.LOGP_GRAPH))
    assert thread.summary() == before
    assert not thread.is_visible
