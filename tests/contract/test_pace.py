"""What draws cost after the first: planted looks, and a real sampler."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from firstgrad import BackendName, Case, Model, measure_case
from firstgrad.backends import draws
from firstgrad.case import Sampler, Target
from firstgrad.phase import Phase
from firstgrad.record import Status


class Stats(dict):
    """A group of a trace, its statistics by name."""

    @property
    def data_vars(self):
        return self


class Trace(dict):
    """A trace that knows its groups, as ArviZ's do."""

    def groups(self):
        return [f"/{name}" for name in self]


def planted(monkeypatch, looks, steps, *, chains=2, timed=20):
    """Time draws of which a sampler tells at these seconds: (second, chain, draws made)."""
    now = [0.0]
    asked = {}

    def sample(_backend, _built, _case, _sampler, drew, *, tune, draws):
        asked.update(tune=tune, draws=draws)
        for second, chain, made in looks:
            now[0] = second
            drew(chain, made)
        half = np.full((chains, tune), steps), np.full((chains, draws), steps)
        names = ("warmup_sample_stats", "sample_stats")
        return Trace({name: Stats(n_steps=part) for name, part in zip(names, half, strict=True)}), []

    monkeypatch.setattr(draws, "_sample", sample)
    monkeypatch.setattr(draws, "time", SimpleNamespace(monotonic=lambda: now[0]))
    case = SimpleNamespace(chains=chains, timed_draws=timed)
    return draws.time_draws(None, None, case, Sampler.NUTPIE), asked


def test_the_slowest_chain_counts_from_its_first_look_to_its_last(monkeypatch):
    looks = [(5.0, 0, 1), (5.5, 1, 3), (9.0, 0, 11), (14.0, 1, 20), (15.0, 0, 20)]
    pace, asked = planted(monkeypatch, looks, 7)
    assert pace.seconds_a_draw == pytest.approx(max(10.0 / 19, 8.5 / 17))
    assert (pace.draws, pace.steps_a_draw, asked) == (20, 7.0, {"tune": 10, "draws": 10})


@pytest.mark.parametrize("looks", [[], [(5.0, 0, 20), (5.0, 1, 20)], [(1.0, 0, 1), (2.0, 0, 20), (3.0, 1, 20)]])
def test_draws_that_nobody_saw_being_made_have_no_pace_however_many(monkeypatch, looks):
    assert planted(monkeypatch, looks, 7) == (None, {"tune": 4000, "draws": 4000})


def test_samplers_that_tell_of_all_at_once_are_not_run_again(monkeypatch):
    monkeypatch.setattr(draws, "_sample", None)
    case = SimpleNamespace(chains=1, timed_draws=20)
    assert draws.time_draws(None, None, case, Sampler.NUMPYRO) is None


@pytest.mark.compiles
def test_nutpies_draws_are_timed_after_the_first(tmp_path):
    pytest.importorskip("nutpie")
    pytest.importorskip("jax")
    path = tmp_path / "three.py"
    path.write_text(
        "import pymc as pm\n\ndef build():\n    with pm.Model() as model:\n        pm.Normal('x', shape=3)\n"
        "    return model\n"
    )
    case = Case(
        model=Model(reference=f"{path}:build"),
        backend=BackendName.JAX,
        target=Target.FIRST_DRAW,
        sampler=Sampler.NUTPIE,
        timed_draws=400,
        time_limit_seconds=100.0,
    )
    (record,) = measure_case(case)
    assert record.status is Status.OK, record.failure
    pace, spent = record.draw.pace, record.phase(Phase.EVALUATE).wall_seconds
    assert 1 <= pace.steps_a_draw < 64
    assert 0 < pace.seconds_a_draw * (pace.draws - 1) <= spent
    assert record.time_to_first_draw_seconds > 10 * pace.seconds_a_draw
