"""``firstgrad sample``: what it asks for, what it prints, how it ends."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from builders import firstgrad, make_case, make_environment, memory
from firstgrad.case import BackendName, Scenario, Target
from firstgrad.cli.sample import make_result, show_sampling
from firstgrad.codec import from_json, to_json
from firstgrad.errors import SamplerUnavailable, SpecError
from firstgrad.measuring.events import MemoryNow, Started
from firstgrad.record import CacheUse, Failure, GroupFiniteness, Status
from firstgrad.sampling import launch
from firstgrad.sampling.plan import (
    DrawCounts,
    DrawsNow,
    Sampler,
    SamplingPlan,
    SamplingRun,
    SamplingStage,
    StageBegan,
    StageTime,
    StartGradient,
)
from firstgrad.show.result import Form, render
from helpers import MIB, FakeClock

FINITE = (
    GroupFiniteness(group="a", values=1, nan=0, infinite=0),
    GroupFiniteness(group="b", values=4, nan=0, infinite=0),
)
WITH_NAN = (FINITE[0], GroupFiniteness(group="b", values=4, nan=2, infinite=1))


def counts(**fields):
    known = {"draws": 20, "divergences": 0, "gradient_evaluations": 300, "positions": 19}
    return DrawCounts(**known | {"mean_tree_depth": 3.5, "mean_acceptance": 0.85} | fields)


def make_run(**fields):
    """A run that ended well: 2 s of tuning and 1 s of drawing, with 1500 gradient evaluations."""
    seconds = {"import": 3.0, "build": 0.5, "compile": 12.0, "tuning": 2.0, "drawing": 1.0, "other": 0.5}
    known = {
        "run_id": "r1",
        "started_at": "2025-01-01T00:00:00.000+00:00",
        "case": make_case(backend=BackendName.JAX),
        "plan": SamplingPlan(),
        "status": Status.OK,
        "environment": make_environment(),
        "stages": tuple(
            StageTime(stage=SamplingStage(name), wall_seconds=spent, cpu_seconds=spent / 2)
            for name, spent in seconds.items()
        ),
        "tuning": counts(draws=100, divergences=7, gradient_evaluations=1200, positions=90),
        "drawing": counts(),
        "step_size": 0.125,
        "start": StartGradient(logp=-12.5, finiteness=FINITE),
        "caches": CacheUse(entries_before=0, entries_read=0, entries_written=3, bytes_written=10),
        "memory": memory(400),
    }
    return SamplingRun(**known | fields)


def stuck_run(**fields):
    known = {
        "tuning": counts(draws=100, divergences=100, gradient_evaluations=200, positions=1),
        "drawing": counts(divergences=20, gradient_evaluations=40, positions=1),
        "stuck_chains": 1,
        "start": StartGradient(logp=-12.5, finiteness=WITH_NAN),
    }
    return make_run(**known | fields)


def failed_run(**fields):
    failure = Failure(kind="SamplingError", message="Initial evaluation failed [bold]", stderr_tail=("a last line",))
    known = {"status": Status.FAILED, "failure": failure, "failed_stage": SamplingStage.COMPILE, "start": None}
    return make_run(tuning=None, drawing=None, **known | fields)


@pytest.fixture
def sample(monkeypatch):
    """Run the verb with a made-up run; returns how it ended, and what was asked for."""

    def run(result, *arguments):
        asked = []

        def sample_case(case, plan, *, label, on_event):
            asked.append((case, plan, label))
            on_event(Started(monotonic_seconds=0.0))
            if isinstance(result, BaseException):
                raise result
            return result

        monkeypatch.setattr(launch, "sample_case", sample_case)
        return firstgrad("sample", *arguments), asked

    return run


def test_every_run_survives_json():
    for run in (make_run(), stuck_run(), failed_run(), make_run(drawing=counts(mean_acceptance=float("inf")))):
        assert from_json(to_json(run), SamplingRun) == run


def test_the_options_make_case_and_plan(sample):
    _, ((case, plan, label),) = sample(
        make_run(),
        *("pose", "--timesteps", "20", "--sampler", "nutpie", "--backend", "jax", "--draws", "5", "--tune", "6"),
        *("--chains", "2", "--scenario", "warm", "--target-accept", "0.9", "--time-limit", "60", "--sampler-seed", "3"),
        *("--memory-limit", "1GiB", "--label", "mine"),
    )
    assert plan == SamplingPlan(sampler=Sampler.NUTPIE, draws=5, tune=6, chains=2, seed=3, target_accept=0.9)
    assert (case.backend, case.scenario, case.target) == (BackendName.JAX, Scenario.WARM, Target.LOGP_DLOGP)
    assert (case.model.pose.n_timesteps, case.time_limit_seconds, case.memory_limit_bytes) == (20, 60.0, 1024 * MIB)
    assert label == "mine"


def test_without_options_pymc_draws_twenty_after_a_hundred_on_numba(sample):
    ((case, plan, _),) = sample(make_run())[1]
    assert (plan.sampler, plan.draws, plan.tune, plan.chains) == (Sampler.PYMC, 20, 100, 1)
    assert (case.backend, case.scenario, case.evaluations) == (BackendName.NUMBA, Scenario.COLD, 0)


@pytest.mark.parametrize(
    ("run", "code"),
    [
        (make_run(), 0),
        (make_run(start=StartGradient(logp=-1.0, finiteness=WITH_NAN)), 1),
        (make_run(start=StartGradient(logp=float("nan"), finiteness=FINITE)), 1),
        (make_run(stuck_chains=1), 1),
        (SpecError("backend", "nutpie takes numba or jax"), 2),
        (SamplerUnavailable("nutpie"), 2),
        (failed_run(), 3),
        (stuck_run(status=Status.TIMEOUT, failure=Failure(kind="TimeLimit", message="stopped")), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_the_exit_code_says_how_it_ended(sample, run, code):
    assert sample(run)[0].code == code


def test_markdown_and_json_are_the_run(sample):
    assert sample(stuck_run(), "--markdown")[0].out == render(make_result(stuck_run()), Form.MARKDOWN)
    ended, _ = sample(stuck_run(), "--json")
    assert ended.code == 1
    assert from_json(ended.out, SamplingRun) == stuck_run()
    assert json.loads(ended.out)["plan"]["tune"] == 100


def test_an_interrupt_is_told(sample):
    ended, _ = sample(KeyboardInterrupt())
    assert ended.out == ""
    assert "interrupted, nothing is kept" in ended.err


BORDERLESS = make_run(stages=(StageTime(stage=SamplingStage.SAMPLING, wall_seconds=0.003, cpu_seconds=0.003),))
UNPROVEN = CacheUse(entries_before=0, entries_read=0, entries_written=0, bytes_written=0, contradiction="cold, but")
RUNS = {
    "good": make_run(),
    "stuck": stuck_run(),
    "failed": failed_run(),
    "too-short": BORDERLESS,
    "unproven": make_run(caches=UNPROVEN, environment=make_environment(device="cuda, NVIDIA H100")),
}


@pytest.mark.parametrize("form", [Form.TERMINAL, Form.MARKDOWN])
def test_what_is_shown_of_a_run(golden, form):
    texts = [render(make_result(run), form) for run in RUNS.values()]
    golden.text(f"sample-{form}", "".join(texts))


@pytest.mark.parametrize(("run", "seconds"), [(make_run(), 0.002), (BORDERLESS, 0.003 / 1500)])
def test_an_evaluation_has_its_seconds(run, seconds):
    assert run.seconds_per_evaluation == pytest.approx(seconds)


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"tune": 0}, {"chains": 1.0}, {"seed": -1}, {"target_accept": 1.0}])
def test_a_plan_refuses_what_cannot_be_sampled(wrong):
    with pytest.raises(SpecError, match=next(iter(wrong))):
        SamplingPlan(**wrong)


@pytest.mark.parametrize(
    ("fields", "sampler", "culprit"),
    [
        ({"backend": BackendName.FAKE}, Sampler.PYMC, "backend"),
        ({"backend": BackendName.C}, Sampler.NUTPIE, "backend"),
        ({"backend": BackendName.JAX, "scenario": Scenario.HOT}, Sampler.PYMC, "scenario"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_process_starts(monkeypatch, fields, sampler, culprit):
    monkeypatch.setattr(launch, "PrivateCaches", None)
    with pytest.raises(SpecError, match=culprit):
        launch.sample_case(make_case(**fields), SamplingPlan(sampler=sampler))


def test_a_missing_nutpie_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(launch, "find_spec", lambda _: None)
    with pytest.raises(SamplerUnavailable, match=r'pip install "firstgrad\[nutpie\]"'):
        launch.sample_case(make_case(backend=BackendName.JAX), SamplingPlan(sampler=Sampler.NUTPIE))


def began(name, at=0.0):
    return StageBegan(stage=SamplingStage(name), at_seconds=at, cpu_seconds=at)


def test_a_log_has_a_line_a_stage_and_one_now_and_then():
    clock, file = FakeClock(), io.StringIO()
    console = Console(file=file, width=200)
    with show_sampling(make_run().case, SamplingPlan(chains=2), console=console, clock=clock) as display:
        display(Started(monotonic_seconds=0.0))
        display(began("compile"))
        display(MemoryNow(at_seconds=0.1, rss_bytes=100 * MIB, processes=1))
        clock.tick(12.0)
        display(MemoryNow(at_seconds=12.0, rss_bytes=200 * MIB, processes=1))
        display(began("tuning"))
        display(DrawsNow(tuned=100, drawn=0, divergences=3))
        display(began("drawing"))
        display(DrawsNow(tuned=100, drawn=20, divergences=3))
        display(began("tuning"))
    name = "some/file.py:build, pymc on jax"
    assert file.getvalue().splitlines() == [
        f"{name}: compile 0.0 s · 0.0 s in all · 0 B",
        f"{name}: compile 12.0 s · 12.0 s in all · 200 MiB",
        f"{name}: tuning 0.0 s · 12.0 s in all · 200 MiB",
        f"{name}: drawing 0.0 s · tuning 100 of 200 · 3 diverging · 12.0 s in all · 200 MiB",
    ]


def test_a_terminal_has_bars():
    file = io.StringIO()
    console = Console(file=file, width=160, force_terminal=True, color_system=None)
    with show_sampling(make_run().case, SamplingPlan(), console=console) as display:
        display(Started(monotonic_seconds=0.0))
        display(began("tuning"))
        display(MemoryNow(at_seconds=0.1, rss_bytes=100 * MIB, processes=1))
        display(DrawsNow(tuned=100, drawn=0, divergences=4))
        display(began("drawing"))
        display(DrawsNow(tuned=100, drawn=7, divergences=4))
    drawn = file.getvalue()
    for expected in ("pymc on jax: drawing", "100 MiB", "100/100", "4 diverging", "7/20"):
        assert expected in drawn


def test_a_run_that_stood_still_says_so_and_one_that_did_not_says_nothing():
    texts = [
        " ".join(render(make_result(make_run(suspended_seconds=seconds)), Form.TERMINAL).split())
        for seconds in (8.0, 0.0)
    ]
    assert "suspended 8.00 s: its times are not the sampler's, so run it again" in texts[0]
    assert "suspended" not in texts[1]
