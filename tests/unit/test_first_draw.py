"""A first draw as a target: what can be asked, what is kept of it, and the window by a planted sampler's clock."""

from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

from builders import make_case, make_environment, make_record, phase, phases, sample, store_of
from firstgrad.backends.base import BuiltModel
from firstgrad.backends.draws import check_draws
from firstgrad.backends.fake import FakeBackend
from firstgrad.case import BackendName, Case, GradientBackend, Sampler, Target
from firstgrad.codec import from_json, to_json
from firstgrad.columns import cells_of, first_metric, metrics_of, samples_table
from firstgrad.comparing.comparison import compare
from firstgrad.comparing.judge import Gate, Thresholds
from firstgrad.doubts import find_doubts
from firstgrad.errors import SpecError, WorkerError
from firstgrad.measuring.first_draw import DrawStages, carve_jax, find_never_kept, first_draw
from firstgrad.measuring.phases import PhaseTimer
from firstgrad.observe.compiles import WITHOUT_CACHE, CacheCounts, CompileKind, CompilePhase, Purpose, TracedCompile
from firstgrad.observe.events import CacheMiss, CompiledUnit, SpanKind, TimeSpan, UnitKind
from firstgrad.observe.tracer import report_compiles
from firstgrad.observe.units import NO_ENTRY
from firstgrad.phase import Phase
from firstgrad.plugins.asv import GradientBenchmarks
from firstgrad.plugins.pytest_benchmark import bench, worker_clock
from firstgrad.record import CacheUse, Check, Doubt, DrawCheck, FirstDraw, Record, Verdict
from firstgrad.show.answers import answers
from firstgrad.show.bars import phases_picture
from firstgrad.show.lines import make_lines, make_rows, prepare_samples
from firstgrad.show.records import record_parts, verdict_text
from firstgrad.show.result import Facts
from firstgrad.store import Store
from firstgrad.sweep.grid import make_grid, models_of
from helpers import FakeClock, write_model

DRAW = {"target": Target.FIRST_DRAW}


def drawn(**fields) -> Record:
    """A record of a first draw that took nine seconds, in two stretches of linking."""
    known = {
        "case": make_case(**DRAW, sampler=Sampler.NUTPIE, chains=2),
        "phases": (
            *phases({Phase.IMPORT: 1.0, Phase.BUILD: 0.5, Phase.START_POINT: 2.0, Phase.LINK: 1.0}),
            phase(Phase.WRAPPERS, 3.0, began=4.5),
            phase(Phase.LINK, 2.0, began=7.5),
            phase(Phase.FIRST_DRAW, 1.0, began=9.5),
        ),
        "time_to_first_draw_seconds": 9.0,
        "time_to_first_draw_cpu_seconds": 9.0,
        "draw": FirstDraw(sampler=Sampler.NUTPIE, reason="it is there", seconds=(8.5, 9.0)),
        "check": Check(verdict=Verdict.DREW, draws=DrawCheck(moved=2)),
    }
    return make_record(**known | fields)


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"sampler": Sampler.PYMC}, "--sampler: is for --target first_draw"),
        ({"chains": 2}, "--chains: is for --target first_draw"),
        ({"gradient_backend": GradientBackend.JAX}, "--gradient-backend: is for --target first_draw"),
        (DRAW | {"backend": BackendName.C, "sampler": Sampler.NUTPIE}, "nutpie takes numba or jax, not c"),
        (DRAW | {"backend": BackendName.NUMBA, "sampler": Sampler.NUMPYRO}, "numpyro takes jax, not numba"),
        (DRAW | {"backend": BackendName.JAX_FAST}, "pm.sample takes c or numba or jax, not jax_fast"),
        (DRAW | {"backend": BackendName.NUMBA, "gradient_backend": GradientBackend.JAX}, "not with numba"),
        (
            DRAW | {"backend": BackendName.JAX, "sampler": Sampler.PYMC, "gradient_backend": GradientBackend.JAX},
            "is nutpie's; pymc has no such choice",
        ),
        (DRAW | {"chains": 0}, "chains: expected a whole number >= 1"),
    ],
)
def test_what_no_sampler_can_do_is_refused_by_its_option(asked, problem):
    with pytest.raises(SpecError, match=problem):
        make_case(**asked)


def test_a_case_says_who_draws():
    case = make_case(**DRAW, sampler=Sampler.NUTPIE, gradient_backend=GradientBackend.JAX, chains=2)
    assert str(case) == "some/file.py:build, fake, first_draw by nutpie with jax's gradient, 2 chains, cold"


def test_a_gradients_case_is_written_as_before_there_were_draws():
    written = json.loads(to_json(make_case()))
    assert not {"sampler", "chains", "gradient_backend"} & written.keys()
    assert make_case().id == "6079871b1d0e658b"
    assert from_json(to_json(make_case()), Case) == make_case()


def test_a_gradients_record_is_written_as_before_and_read():
    written = json.loads(to_json(make_record()))
    assert not {"draw", "time_to_first_draw_seconds"} & written.keys()
    assert "draws" not in written["check"]
    assert from_json(to_json(drawn()), Record) == drawn()


def test_stretches_of_a_phase_are_put_together():
    record = drawn()
    assert record.phase(Phase.LINK).wall_seconds == 3.0
    assert [one.phase for one in record.whole_phases][3:] == [Phase.LINK, Phase.WRAPPERS, Phase.FIRST_DRAW]
    assert record.longest_phase.phase in (Phase.WRAPPERS, Phase.LINK)
    assert record.unaccounted_seconds == 0.0


def test_a_draws_line_has_its_time_and_no_gradients():
    cells = cells_of(drawn())
    assert (cells["time_to_first_draw"], cells["time_to_first_gradient"]) == (9.0, None)
    assert (cells["sampler"], cells["drew"], cells["chains"]) == ("nutpie", "nutpie", 2.0)
    assert cells_of(make_record())["sampler"] is None


def test_metrics_are_those_of_the_target():
    draws, gradients = ({one.name for one in metrics_of(target)} for target in (Target.FIRST_DRAW, Target.DLOGP))
    assert draws - gradients >= {"time_to_first_draw", "phase_wrappers", "phase_start_point"}
    calls = {"evaluation", "evaluation_on_device", "to_device", "from_device"}
    assert gradients - draws == {"time_to_first_gradient", "time_to_first_gradient_cpu", *calls}
    assert first_metric(Target.FIRST_DRAW).name == "time_to_first_draw"


def test_time_without_a_phase_and_values_that_are_not_finite_are_doubted():
    assert find_doubts(drawn()) == ()
    assert find_doubts(drawn(time_to_first_draw_seconds=9.5)) == (Doubt.UNACCOUNTED_TIME,)
    bad = Check(verdict=Verdict.DREW, draws=DrawCheck(not_finite=("twice",)))
    assert find_doubts(drawn(check=bad)) == (Doubt.NOT_FINITE,)
    assert "NOT FINITE: twice" in verdict_text(drawn(check=bad))


def test_a_record_says_who_drew_and_why():
    (facts,) = [part for part in record_parts(drawn()) if isinstance(part, Facts)]
    shown = dict(facts.facts)
    assert shown["sampler"] == "nutpie: it is there"
    assert shown["first draws"] == "8.50 s, 9.00 s"
    assert "2 chains drew: every value and log-density is finite" in shown["verdict"]


def test_samplers_are_an_axis_where_they_draw_and_none_elsewhere():
    models, _ = models_of("pose", {})
    grid = make_grid(
        models,
        backends=(BackendName.C, BackendName.JAX),
        targets=(Target.DLOGP, Target.FIRST_DRAW),
        samplers=(Sampler.PYMC, Sampler.NUTPIE),
        gradient_backend=GradientBackend.JAX,
    )
    assert [(case.backend, case.sampler, case.gradient_backend) for case in grid.cases if case.is_draw] == [
        ("c", "pymc", None),
        ("jax", "pymc", None),
        ("jax", "nutpie", "jax"),
    ]
    assert sum(not case.is_draw for case in grid.cases) == 2
    assert [(one.what, one.reason) for one in grid.omitted] == [("nutpie on c", "nutpie takes numba or jax, not c")]
    with pytest.raises(SpecError, match="first_draw"):
        make_grid(models, backends=(BackendName.JAX,), samplers=(Sampler.PYMC,))


def test_a_store_of_before_takes_draws(tmp_path):
    path = store_of([make_record()], tmp_path / "old.sqlite")
    with sqlite3.connect(path) as old:
        for column in ("sampler", "chains", "time_to_first_draw"):
            old.execute(f"ALTER TABLE samples DROP COLUMN {column}")
    old.close()
    with Store.open(path) as store:
        store.add(drawn(record_id="r2"))
        table = store.samples()
        assert list(table["time_to_first_draw"].fillna(0)) == [0, 9.0]
        assert list(table["sampler"].fillna("")) == ["", "nutpie"]


def window_of(sample, clock, **asked):
    """The window of a planted sampler, and the phases that were timed."""
    timer = PhaseTimer(lambda _: None, wall=clock, cpu=clock)
    case = make_case(**DRAW, **asked)
    model = SimpleNamespace(sample=lambda _case, _sampler, drew: sample(drew))
    return first_draw(FakeBackend(), lambda: BuiltModel(model, {}), case, timer), timer.records


def test_the_window_ends_with_the_last_chains_first_draw_and_not_with_the_run():
    clock = FakeClock()

    def sample(drew):
        clock.tick(4.0)
        drew(1)
        clock.tick(1.0)
        drew(0)
        clock.tick(0.5)
        drew(1)  # its second draw
        clock.tick(10.0)  # packs the trace
        return DrawCheck(moved=2)

    window, timed = window_of(sample, clock, chains=2)
    assert window.spent.wall_seconds == 5.0
    assert window.draw.seconds == (5.0, 4.0)
    assert [(one.phase, one.wall_seconds) for one in timed] == [(Phase.BUILD, 0.0), (Phase.FIRST_DRAW, 5.0)]


def test_a_chain_that_nobody_told_of_is_no_first_draw():
    with pytest.raises(WorkerError, match="1 of 2 chains"):
        window_of(lambda drew: drew(0), FakeClock(), chains=2)


def traced(**groups):
    """What ``pm.sample`` returns, as far as it is looked at: groups of variables by chain and draw."""
    made = {
        name: {var: np.asarray(value, dtype=float) for var, value in variables.items()}
        for name, variables in groups.items()
    }

    class Group(dict):
        data_vars = property(dict.keys)

    trace = {name: Group(variables) for name, variables in made.items()}
    return type("Trace", (dict,), {"groups": property(tuple)})(trace)


def test_draws_are_looked_at_by_chain():
    stuck = traced(
        warmup_posterior={"a": [[1.0], [2.0]], "b": [[[0.0, 0.0]], [[0.0, 0.0]]]},
        posterior={"a": [[1.0], [3.0]], "b": [[[0.0, 0.0]], [[0.0, np.inf]]]},
        sample_stats={"diverging": [[0], [1]], "lp": [[-1.0], [np.nan]]},
    )
    assert check_draws(stuck) == DrawCheck(not_finite=("b", "log-density"), draws=2, moved=1, diverging=1)
    alone = traced(posterior={"a": [[1.0]]})
    assert check_draws(alone) == DrawCheck(not_finite=(), draws=1, moved=None, diverging=0)


def test_a_chain_that_stands_still_is_doubted_but_not_after_few_draws():
    stuck = DrawCheck(draws=11, moved=1)
    assert find_doubts(drawn(check=Check(verdict=Verdict.DREW, draws=stuck))) == (Doubt.STUCK_CHAIN,)
    for fine in (DrawCheck(draws=11, moved=2), DrawCheck(draws=2, moved=0), DrawCheck(draws=1)):
        assert find_doubts(drawn(check=Check(verdict=Verdict.DREW, draws=fine))) == ()


STAGES = [
    (Purpose.GRADIENT, CompilePhase.REWRITE, Phase.REWRITE),
    (Purpose.LOGP, CompilePhase.FIRST_CALL, Phase.FIRST_CALL),
    (Purpose.GRADIENT, CompilePhase.COMPILE, Phase.FIRST_CALL),
    (Purpose.START_POINT, CompilePhase.LINK, Phase.START_POINT),
    (Purpose.WRAPPER, CompilePhase.COMPILE, Phase.WRAPPERS),
    (Purpose.EXPAND, CompilePhase.REWRITE, Phase.OTHER_FUNCTIONS),
    (Purpose.OTHER, CompilePhase.LINK, Phase.OTHER_FUNCTIONS),
]


@pytest.mark.parametrize(("purpose", "stage", "phase"), STAGES)
def test_the_innermost_stage_is_the_phase_until_it_is_over(purpose, stage, phase):
    clock = FakeClock()
    timer = PhaseTimer(lambda _: None, wall=clock, cpu=clock)
    stages = DrawStages(timer)
    timer.begin(Phase.FIRST_DRAW)
    clock.tick(1.0)
    stages.entered(1, Purpose.START_POINT, CompilePhase.REWRITE)
    clock.tick(2.0)
    stages.entered(2, purpose, stage)  # within the first one
    clock.tick(4.0)
    stages.entered(2, purpose, None)
    clock.tick(8.0)
    stages.entered(1, Purpose.START_POINT, None)
    clock.tick(16.0)
    stages.end(timer.read())
    stages.entered(3, purpose, stage)  # after the window
    clock.tick(32.0)
    spent = {}
    for one in timer.records:
        spent[one.phase] = spent.get(one.phase, 0.0) + one.wall_seconds
    wanted = {Phase.FIRST_DRAW: 17.0, Phase.START_POINT: 10.0}
    assert spent == wanted | {phase: wanted.get(phase, 0.0) + 4.0}


def fails(error):
    raise error


@pytest.mark.parametrize("is_explained", [True, False])
def test_a_failure_stands_in_the_innermost_stage_that_it_left(monkeypatch, is_explained):
    near = SimpleNamespace(is_near=lambda: True, find=lambda: fails)
    monkeypatch.setattr("firstgrad.measuring.first_draw._STAGES", ((near, Phase.FIRST_CALL),))
    timer = PhaseTimer(lambda _: None)
    stages = DrawStages(timer)
    timer.begin(Phase.FIRST_DRAW)

    def sample():
        with suppress(KeyError):
            fails(KeyError("x"))  # PyMC tried something
        try:
            fails(TypeError("no"))
        except TypeError as error:
            raise (ValueError("said in other words") if is_explained else error) from (error if is_explained else None)

    with pytest.raises(ValueError if is_explained else TypeError), stages.heard():
        sample()
    assert timer.current is Phase.FIRST_CALL


def compiled(number=1, **fields) -> TracedCompile:
    """A compile of JAX that took two seconds."""
    spans = tuple(
        TimeSpan(kind=SpanKind.PHASE, name="compile", began_seconds=at, wall_seconds=1.0) for at in (11.0, 14.0)
    )
    known = {"kind": CompileKind.JAX_FUNCTION, "purpose": Purpose.GRADIENT, "phases": spans}
    known |= {"began_seconds": 11.0, "wall_seconds": 2.0, "cpu_seconds": None}
    return TracedCompile(number=number, **known | fields)


def test_what_jax_compiled_is_carved_out_of_the_draw_and_nothing_is_lost():
    timed = (phase(Phase.START_POINT, 1.0, began=9.0), phase(Phase.FIRST_DRAW, 10.0, began=10.0, cpu=20.0))
    carved = carve_jax(timed, [compiled()])
    assert [(str(one.phase), one.began_seconds, one.wall_seconds, one.cpu_seconds) for one in carved] == [
        ("start_point", 9.0, 1.0, 1.0),
        ("first_draw", 10.0, 1.0, 2.0),
        ("first_call", 11.0, 1.0, 2.0),
        ("first_draw", 12.0, 2.0, 4.0),
        ("first_call", 14.0, 1.0, 2.0),
        ("first_draw", 15.0, 5.0, 10.0),
    ]
    (alone,) = carve_jax(timed[1:], [])
    assert alone == timed[1]
    assert carve_jax(timed, [compiled(kind=CompileKind.PYTENSOR_FUNCTION)]) == list(timed)


def test_what_no_cache_keeps_is_named_and_what_is_kept_is_not():
    kept = CacheMiss(name="exp", reason=NO_ENTRY)
    refused = CacheMiss(name="_make_c_logp_func", reason=WITHOUT_CACHE)
    wrapper = compiled(
        purpose=Purpose.WRAPPER,
        cache=CacheCounts(read=1, never_kept=1, never_kept_seconds=5.0, misses=(kept, refused)),
    )
    plain = compiled(2, cache=CacheCounts(written=1, misses=(kept,)))
    (one,) = find_never_kept([plain, wrapper])
    assert (one.names, one.units, one.seconds, one.reason) == (("_make_c_logp_func",), 1, 5.0, WITHOUT_CACHE)
    record = drawn(
        caches=CacheUse(entries_before=9, entries_read=2, entries_written=0, bytes_written=0, never_kept=(one,))
    )
    (facts,) = [part for part in record_parts(record) if isinstance(part, Facts)]
    assert dict(facts.facts)["no cache keeps"].startswith("_make_c_logp_func (wrapper, 1 unit), 5.00 s: whoever")
    unit = CompiledUnit(kind=UnitKind.JITTED_FUNCTION, name="f", phase=None, own_seconds=1.0, wall_seconds=1.0)
    span = TimeSpan(kind=SpanKind.UNIT, name="f", began_seconds=5.0, wall_seconds=1.0)
    told = report_compiles([compiled(units=(unit,), unit_spans=(span,)), wrapper], record.phases)
    assert ([one.phase for one in told.units], told.spans) == ([Phase.WRAPPERS], (span,))
    assert told.cache_misses == (kept, refused)
    assert (cells_of(record)["never_kept_units"], cells_of(record)["never_kept"]) == (1.0, 5.0)


def test_the_figure_of_phases_has_a_draws_own():
    picture = phases_picture([drawn()])
    figure = picture.draw()
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "Time to first draw, by phase"
    assert {"wrappers", "first_draw"} <= {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert "of it wrappers 33%" in picture.description or "of it link 33%" in picture.description


def test_the_page_tells_draws_apart_from_gradients():
    records = [drawn(), sample(2.0, case=make_case(), number=7)]
    samples = prepare_samples(samples_table(records))
    rows = make_rows(make_lines(samples))
    assert list(rows["time_to_first_gradient"]) == [9.0, 2.0]
    (said,) = [one for one in answers(samples, rows, None, {}) if "longest" in one[0]]
    assert said[0] == "The longest time to first draw of 2 cases is 9.00 s: "


def test_a_slower_first_draw_is_an_alarm_and_its_phases_are_none():
    def side(label, seconds):
        return [
            drawn(
                record_id=f"{label}{number}",
                environment=make_environment(label=label),
                time_to_first_draw_seconds=seconds + number / 1000,
                time_to_first_draw_cpu_seconds=seconds + number / 1000,
            )
            for number in range(8)
        ]

    for gate in Gate:
        rules = Thresholds(gate=gate)
        sides = (*side("a", 9.0), *side("b", 12.0))
        comparison = compare(sides, "a", "b", thresholds=rules, resolve=lambda _: None)
        (case,) = comparison.cases
        verdicts = {one.metric: one.verdict for one in case.metrics}
        assert verdicts["time_to_first_draw"] == verdicts["time_to_first_draw_cpu"] == "slower"
        assert "time_to_first_gradient" not in verdicts
        assert comparison.has_regression is (gate is Gate.SECONDS)


def test_an_asv_suite_of_draws_has_their_metrics_and_samplers_as_an_axis():
    class Suite(GradientBenchmarks):
        model = "some/file.py:build"
        backends = ("jax",)
        target = "first_draw"
        samplers = ("auto", "numpyro")
        metrics = ("all",)

    assert Suite.param_names == ["backend", "scenario", "sampler"]
    tracks = {name for name in vars(Suite) if name.startswith("track_")}
    assert {"track_time_to_first_draw", "track_phase_wrappers", "track_never_kept_units"} <= tracks
    assert not {"track_time_to_first_gradient", "track_evaluation"} & tracks
    case = Suite().case(backend="jax", scenario="cold", sampler="numpyro")
    assert (case.target, case.sampler) == (Target.FIRST_DRAW, Sampler.NUMPYRO)


def test_pytest_benchmark_times_a_draws_window_unless_told_otherwise(tmp_path):
    body = "class Model:\n    free_RVs = [1]\n    def compile_fn(self): ...\nreturn Model()"
    timed = []

    class Fixture:
        group, enabled, extra_info = None, True, {}

        def pedantic(self, target, *, setup, rounds, **_):
            for _ in range(rounds):
                setup()
                before = worker_clock()
                target()
                timed.append(worker_clock() - before)

    fixture = Fixture()
    case = make_case(write_model(tmp_path, body), **DRAW, chains=2)
    (record,) = bench(fixture, case, rounds=1)
    assert timed == [record.time_to_first_draw_seconds]
    assert fixture.extra_info["metric"] == "time_to_first_draw"
    assert "first_draw" in fixture.extra_info["phases"]
    assert fixture.extra_info["verdict"] == ["drew"]
