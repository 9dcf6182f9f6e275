"""The race with a planted clock and planted ways: who is tried first, who is stopped, what is known in the end."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import pytest

from builders import make_environment, phase
from firstgrad.advising.advice import OfferedChoice, Trouble
from firstgrad.advising.answer import AdvicePlan, conclude, look_at_graph, make_answer
from firstgrad.advising.race import Race, prior_seconds, run_race
from firstgrad.advising.samples import AdviceSamples, list_wanted, list_wanted_draws
from firstgrad.advising.workload import Workload
from firstgrad.case import BackendName, Sampler, Scenario, Target
from firstgrad.linting import launch
from firstgrad.linting.finding import Finding, FindingName, Harm, LintReport
from firstgrad.measuring.environment import describe_environment
from firstgrad.measuring.events import MemoryNow, PhaseBegan, Started
from firstgrad.measuring.launch import STOPPED
from firstgrad.measuring.session import SampleStopped
from firstgrad.phase import Phase
from firstgrad.record import Failure, Status
from firstgrad.show.advice import advice_document, advice_parts, guess_sentences, left_out_sentences, lint_parts
from firstgrad.show.result import Form, Result, render
from firstgrad.sources import read_source
from firstgrad.store import Keeper
from firstgrad.sweep.rounds import SampleProgress
from helpers import FakeClock, write_model
from planted_advice import MODEL, planted_draw, planted_sample

IMPORT_SECONDS, STEP_SECONDS = 2.0, 0.25
ALL = (BackendName.C, BackendName.NUMBA, BackendName.JAX, BackendName.JAX_DIRECT)
COSTS = {"c": (80.0, 1e-3), "numba": (50.0, 1e-3), "jax": (10.0, 1e-3), "jax_direct": (8.0, 1e-3)}
SHAPES = "Shapes must be 1D sequences of concrete values of integer type"


@dataclass
class Planted:
    """An executor whose samples take planted seconds of a planted clock, and end when they are stopped.

    `costs` are the seconds of the first and of the next one by a choice's name; a text instead is why it fails.
    """

    costs: dict[str, tuple[float, float] | str]
    clock: FakeClock = field(default_factory=FakeClock)
    environment: object = field(default_factory=make_environment)
    timed_seconds: float = 1.0
    begun: list[str] = field(default_factory=list)

    def run(self, jobs, tell):
        for job in jobs:
            name = f"{OfferedChoice.of(job.case).name} {job.case.scenario}"
            self.begun.append(name)
            yield job, replace(self._sample(job, tell, name), environment=self.environment)

    def _sample(self, job, tell, name):
        cost = self.costs.get(name, self.costs.get(name.rpartition(" ")[0]))
        number, began = len(self.begun), self.clock()
        stages = [(None, IMPORT_SECONDS)]
        if isinstance(cost, str):
            cost, failure = (1.0, 0.0), Failure(kind="TypeError", message=cost, phase=Phase.LINK)
        else:
            failure = None
        stages += [
            (Phase.FIRST_DRAW if job.case.is_draw else Phase.BUILD, cost[0]),
            (Phase.EVALUATE, self.timed_seconds),
        ]
        phases = []
        try:
            tell(SampleProgress(job=job, event=Started(monotonic_seconds=began)))
            for stage, seconds in stages:
                at = self.clock() - began
                if stage is not None:
                    tell(SampleProgress(job=job, event=PhaseBegan(phase=stage, at_seconds=at)))
                for _ in range(round(seconds / STEP_SECONDS)):
                    self.clock.tick(STEP_SECONDS)
                    tell(SampleProgress(job=job, event=MemoryNow(at_seconds=0.0, rss_bytes=1, processes=1)))
                phases.append(phase(stage or "import", seconds, began=at))
        except SampleStopped as stop:
            after = self.clock() - began
            reached = [stage for stage, _ in stages][len(phases)]
            failure = Failure(kind=STOPPED, message=f"stopped after {after:.3g} s: {stop}", phase=reached)
            record = planted_sample(1.0, 1.0, number=number)
            return replace(
                record,
                case=replace(job.case, time_limit_seconds=after),
                status=Status.TIMEOUT,
                failure=failure,
                phases=tuple(phases),
                record_id=f"stopped-{name}-{number}-{began}",
            )
        if failure is not None:
            record = planted_sample(1.0, 1.0, number=number)
            return replace(record, case=job.case, status=Status.FAILED, failure=failure, record_id=f"failed-{number}")
        if job.case.is_draw:
            return replace(planted_draw(*cost), case=job.case, record_id=f"{name}-{number}")
        return replace(planted_sample(*cost), case=job.case, record_id=f"{name}-{number}-{began}")


def race(costs=None, *, backends=ALL, evaluations=1000, budget=180.0, samples=1, known=(), ways=None, **planted):
    """Run one; returns the executor, the race and its records."""
    executor, records = Planted(costs or COSTS, **planted), list(known)
    workload = Workload(evaluations=evaluations)
    ways = ways or list_wanted(MODEL, backends, target=Target.DLOGP, time_limit_seconds=3600.0)
    run = Race(ways, workload, known=known, samples=samples, budget_seconds=budget, clock=executor.clock)
    run_race(run, executor, keep=records.append, tell=lambda _: None)
    return executor, run, records


def answer(run, records, evaluations=1000):
    plan = AdvicePlan(workload=Workload(evaluations=evaluations), ways=run.ways)
    return conclude(plan, AdviceSamples(records=tuple(records), place="here"), run.untried())


def told(run, records, evaluations=1000):
    return render(Result(parts=list(advice_parts(answer(run, records, evaluations)))), Form.TERMINAL)


@pytest.mark.parametrize("warm", ["slow from the first", "so slow that it could be stopped"])
def test_a_choice_is_no_rival_of_its_own(warm):
    seconds = {"slow from the first": 2.0, "so slow that it could be stopped": 40.0}[warm]
    executor, _, records = race({"jax cold": (1.0, 1e-6), "jax warm": (seconds, 1e-6)}, backends=ALL[2:3], samples=2)
    assert sorted(executor.begun) == ["jax cold", "jax cold", "jax warm", "jax warm"]
    assert not [record for record in records if record.status is Status.TIMEOUT]


def test_the_soonest_come_first_and_one_of_each_before_a_second_of_any():
    executor, _, _ = race(budget=10_000.0, costs=dict.fromkeys(map(str, ALL), (4.0, 1e-3)), samples=2)
    cold = ["jax_direct cold", "jax cold", "numba cold", "c cold"]
    warm = [name.replace("cold", "warm") for name in cold]
    assert executor.begun[:4] == cold
    assert sorted(executor.begun[4:8]) == sorted(warm)
    assert sorted(executor.begun[8:12]) == sorted(cold)
    assert sorted(executor.begun[12:]) == sorted(warm)


def test_one_that_can_no_longer_win_is_stopped_and_its_record_is_censored_there():
    executor, run, records = race()
    # jax_direct takes 8 + 1000 x 1 ms = 9 s; half as much again, 13.5 s, is beyond scatter.
    stopped = {str(record.case.backend): record for record in records if record.status is Status.TIMEOUT}
    assert set(stopped) == {"numba", "c"}
    for record in stopped.values():
        assert record.case.time_limit_seconds == pytest.approx(IMPORT_SECONDS + 13.5, abs=2 * STEP_SECONDS)
        assert record.case.question in {way.question for way in run.ways}
    offers = answer(run, records).advice.scenarios[0].offers
    assert [offer.choice.name for offer in offers] == ["jax_direct", "jax"]
    (line, *_) = left_out_sentences(answer(run, records).advice)
    assert line.startswith("Stopped, since it could no longer win: jax_direct takes 9.00 s for all that is planned: ")
    assert "numba, cold after 15.8 s" in line
    assert "numba warm" not in executor.begun
    assert "Not tried, since filling its cache was stopped: c, warm; numba, warm" in told(run, records)


def test_a_slower_compile_that_may_win_by_its_calls_runs_to_its_end():
    costs = {"jax": (10.0, 0.05), "numba": (30.0, 1e-3)}
    _, run, records = race(costs, backends=(BackendName.JAX, BackendName.NUMBA))
    assert all(record.status is Status.OK for record in records)
    assert answer(run, records).advice.scenarios[0].leader.choice.name == "numba"
    assert answer(run, records).lines[-1] == 'gradient = model.compile_dlogp(mode="NUMBA")'


def test_what_is_known_of_calls_counts_at_once():
    # With filled caches jax would begin as soon as it likes: each of its calls is known to take 60 ms.
    costs = {"jax": (10.0, 0.06), "numba": (30.0, 1e-3)}
    executor, run, records = race(costs, backends=(BackendName.JAX, BackendName.NUMBA))
    assert executor.begun == ["jax cold", "numba cold", "numba warm"]
    reason = "it takes 40.0 s or more, and numba 31.0 s for all that is planned: jax, warm"
    assert f"Not tried, since {reason}" in told(run, records)
    # Known within the race: what the first calls of c took is counted for the sample with filled caches.
    costs = {"jax": (10.0, 1e-3), "c": (8.0, 0.012), "c warm": (30.0, 0.012)}
    _, _, records = race(costs, backends=(BackendName.JAX, BackendName.C))
    (stopped,) = [record for record in records if record.status is Status.TIMEOUT]
    assert (stopped.case.backend, stopped.case.scenario) == (BackendName.C, Scenario.WARM)
    # 1.5 x 11 s, less 12 s of calls.
    assert stopped.case.time_limit_seconds == pytest.approx(IMPORT_SECONDS + 4.5, abs=2 * STEP_SECONDS)


def test_the_end_of_the_budget_ends_what_runs_and_begins_nothing_more():
    executor, run, records = race({"numba": (50.0, 1e-3), "c": (80.0, 1e-3)}, backends=ALL[:2], budget=60.0)
    assert executor.clock() - 100.0 == pytest.approx(60.0, abs=2 * STEP_SECONDS)
    assert executor.begun == ["numba cold", "c cold"]
    assert "time budget of 60.0 s was over" in records[-1].failure.message
    final = told(run, records)
    assert "numba is the only choice" in final
    assert "Stopped, since the time budget of 60.0 s was over: c, cold after 7 s" in final
    assert "Not tried, since the time budget was over: numba, warm" in final
    assert final.rstrip().endswith('gradient = model.compile_dlogp(mode="NUMBA")')


def test_without_a_budget_nothing_is_stopped():
    executor, _, records = race(budget=None, samples=2)
    assert len(executor.begun) == 2 * 2 * len(ALL)
    assert {record.status for record in records} == {Status.OK}


def test_with_a_budget_those_far_behind_get_no_second_sample_and_none_is_cut_by_the_leader():
    costs = {"jax": (1.25, 1e-6), "jax_direct": (1.0, 1e-6), "numba": (2.5, 1e-6)}
    executor, _, records = race(costs, backends=ALL[1:], samples=2, budget=10_000.0)
    again = executor.begun[6:]
    assert sorted(again) == ["jax cold", "jax warm", "jax_direct cold", "jax_direct warm"]
    assert {record.status for record in records} == {Status.OK}


def test_what_was_stopped_before_is_not_tried_again_where_it_still_could_not_win():
    _, _, records = race()
    executor, run, _ = race(known=records)
    assert not executor.begun
    assert "could no longer win" in told(run, records)
    # For so many evaluations the leader takes longer than they were seen to take.
    executor, _, _ = race(known=records, evaluations=60_000)
    assert executor.begun[:2] == ["numba cold", "c cold"]


def test_jax_that_refuses_data_without_a_shape_is_tried_with_constants_in_the_same_race():
    costs = COSTS | {"jax": SHAPES, "jax (frozen data)": (9.0, 1e-3)}
    executor, run, records = race(costs, backends=ALL[:3])
    assert executor.begun[:2] == ["jax cold", "jax (frozen data) cold"]
    final = answer(run, records)
    assert final.advice.leader.choice.name == "jax (frozen data)"
    *_, imports, line = final.lines
    assert imports == "from pymc.model.transform.optimization import freeze_dims_and_data"
    assert line == 'gradient = freeze_dims_and_data(model).compile_dlogp(mode="JAX")'
    assert f"No numbers, since failed in link: TypeError: {SHAPES}: jax, cold" in told(run, records)
    # Again: what refused is known.
    executor, _, _ = race(costs, backends=ALL[:3], known=records)
    assert not executor.begun


def test_a_refusal_of_constants_as_well_leaves_the_others():
    executor, run, records = race(COSTS | {"jax": SHAPES, "jax (frozen data)": SHAPES}, backends=ALL[:3])
    assert executor.begun == ["jax cold", "jax (frozen data) cold", "numba cold", "c cold", "numba warm"]
    assert answer(run, records).advice.leader.choice.name == "numba"


@pytest.mark.parametrize(
    ("failing", "begun"),
    [
        (("jax_direct", "jax"), ["jax_direct cold", "numba cold"]),  # nobody writes the density itself in JAX
        (("jax",), ["jax_direct cold", "jax cold", "numba cold"]),  # only its gradient
    ],
)
def test_an_operation_that_jax_does_not_know_rules_out_those_that_need_it(failing, begun):
    unknown = "No JAX conversion for the given `Op`: Orbit"
    executor, run, records = race(COSTS | dict.fromkeys(failing, unknown), backends=ALL[1:])
    assert executor.begun[: len(begun)] == begun
    assert not any("frozen" in name for name in executor.begun)
    left = {one.choice.name: one for one in answer(run, records).advice.left_out if one.scenario is Scenario.COLD}
    assert left["jax"].trouble is Trouble.NO_NUMBERS
    assert "Orbit" in left["jax"].reason


def test_without_jax_the_answer_comes_from_numba_and_c():
    _, run, records = race(backends=ALL[:2], budget=120.0)
    final = answer(run, records)
    assert final.advice.leader.choice.name == "numba"
    assert final.lines[-1].endswith('compile_dlogp(mode="NUMBA")')


def test_a_sample_cut_after_its_first_still_tells_that_one():
    executor, run, records = race({"jax": (10.0, 1e-3)}, backends=ALL[2:3], budget=20.0, timed_seconds=30.0)
    assert executor.begun == ["jax cold"]
    final = answer(run, records)
    assert not final.advice.scenarios
    assert "jax, cold after 20 s (its first gradient came after 10.0 s)" in told(run, records)
    assert "jax had its first gradient after 10.0 s; what an evaluation costs after it isn't known." in list(
        guess_sentences(final)
    )
    assert final.lines[-1] == 'gradient = model.compile_dlogp(mode="JAX")'


def test_something_is_known_beforehand_of_every_backend():
    assert all(prior_seconds(OfferedChoice(backend=backend)) > 0 for backend in BackendName)


def test_draws_race_by_all_that_is_planned():
    workload = Workload.of_sampling(here=2, chains=2, cores=2)
    ways = list_wanted_draws(
        MODEL, ALL[:3], (Sampler.PYMC, Sampler.NUTPIE), workload=workload, timed=100, time_limit_seconds=3600.0
    )
    first, after = 4.0, 0.01  # 2,000 of them wait for each other: 24 s
    costs = {"nutpie jax (jax's gradient)": (first, after), "nutpie jax": (6.0, after), "pymc jax": (30.0, 1e-4)}
    costs |= {"nutpie numba": (60.0, 1e-4), "pymc numba": (50.0, 1e-4), "pymc c": (90.0, 1e-4)}
    executor = Planted(costs)
    run = Race(ways, workload, samples=1, budget_seconds=300.0, clock=executor.clock)
    records = []
    run_race(run, executor, keep=records.append, tell=lambda _: None)
    # 1.5 x 24 s: pymc jax gets as far, and nobody after it, for by then it takes 30.2 s at the least.
    assert {OfferedChoice.of(one.case).name for one in records if one.status is Status.TIMEOUT} == {
        *("nutpie numba", "pymc numba", "pymc c")
    }
    assert executor.begun[:3] == [f"{name} cold" for name in costs][:3]


def test_a_short_run_that_takes_longer_than_all_of_the_leaders_work_is_stopped():
    workload = Workload.of_sampling(here=1, chains=1, cores=1)
    ways = list_wanted_draws(MODEL, ALL[2:3], (Sampler.PYMC,), workload=workload, timed=100, time_limit_seconds=3600.0)
    leader = replace(planted_draw(4.0, 0.003), case=replace(ways[0], sampler=Sampler.NUTPIE))  # 10 s for 2,000 draws
    executor = Planted({"pymc jax": (8.0, 0.1)}, timed_seconds=60.0)
    ways = (leader.case, *ways)
    run = Race(ways, workload, known=[leader], samples=1, budget_seconds=300.0, clock=executor.clock)
    records = []
    run_race(run, executor, keep=records.append, tell=lambda _: None)
    stopped = next(record for record in records if record.status is Status.TIMEOUT)
    assert stopped.case.sampler is Sampler.PYMC
    # 15 s of the short run: 8 s of them at most compile again, so what is left are draws.
    assert stopped.case.time_limit_seconds == pytest.approx(IMPORT_SECONDS + 8 + 15, abs=2 * STEP_SECONDS)


def test_an_answer_keeps_its_budget_and_the_next_one_begins_with_what_is_known(tmp_path):
    reference = write_model(tmp_path, "return Model()")
    ways = list_wanted(replace(MODEL, reference=reference), ALL[:3], target=Target.DLOGP, time_limit_seconds=3600.0)
    plan = AdvicePlan(workload=Workload(evaluations=1000), ways=ways, samples=1, budget_seconds=40.0)

    finding = Finding(
        name=FindingName.SAME_SUBGRAPH, harm=Harm.COMPILE, fact="one line stands 100 times in the graph", instead="f(z)"
    )
    looks = []

    def look(plan):
        looks.append(plan.budget_seconds)
        return LintReport(model="some", findings=(finding,)) if plan.budget_seconds else None

    def ask(plan):
        environment = replace(describe_environment(), source_digest=read_source(reference).digest)
        executor = Planted(COSTS, environment=environment)
        with Keeper(str(tmp_path / "results.sqlite")) as keeper:
            return executor, make_answer(
                plan,
                keeper,
                show=lambda *_: nullcontext(lambda _: None),
                look=look,
                executor=executor,
                clock=executor.clock,
            )

    nothing, empty = ask(replace(plan, budget_seconds=0.0))
    assert not nothing.begun
    assert [left.choice.name for left in empty.guesses] == ["jax", "numba", "c"]
    assert any("jax, numba, c" in sentence for sentence in guess_sentences(empty))
    assert empty.lines[-1] == 'gradient = model.compile_dlogp(mode="JAX")'
    executor, first = ask(plan)
    assert executor.clock() - 100.0 <= 40.0 + 2 * STEP_SECONDS
    assert first.advice.leader.choice.name == "jax"
    lines = render(Result(parts=list(advice_parts(first))), Form.TERMINAL).splitlines()
    assert lines[0].startswith("same-subgraph (time to compile): one line stands 100 times in the graph")
    assert lines[-1] == 'gradient = model.compile_dlogp(mode="JAX")'
    assert advice_document(first)["lint"]["findings"] == (finding,)
    _, again = ask(replace(plan, budget_seconds=0.0))
    assert again.advice.leader.total.value == pytest.approx(11.0)
    assert {one.trouble for one in again.advice.left_out if one.scenario is Scenario.COLD} == {Trouble.STOPPED}


def test_lint_takes_a_part_of_the_budget_and_none_where_nothing_real_is_asked_for(monkeypatch):
    limits = []
    monkeypatch.setattr(launch, "lint", lambda _, *, time_limit_seconds, **_more: limits.append(time_limit_seconds))
    plan = AdvicePlan(
        workload=Workload(evaluations=1),
        ways=list_wanted(MODEL, ALL, target=Target.DLOGP, time_limit_seconds=1.0),
        budget_seconds=60.0,
    )
    fake = list_wanted(MODEL, (BackendName.FAKE,), target=Target.DLOGP, time_limit_seconds=1.0)
    for asked in (
        plan,
        replace(plan, budget_seconds=None),
        replace(plan, budget_seconds=0.0),
        replace(plan, ways=fake),
    ):
        look_at_graph(asked)
    assert limits == [30.0, 60.0]


def test_that_lint_could_not_look_is_said():
    report = LintReport(model="some", failure=Failure(kind="ModelError", message="no data"))
    assert render(Result(parts=list(lint_parts(report))), Form.TERMINAL).startswith(
        "lint could not look at the graph: ModelError: no data"
    )
