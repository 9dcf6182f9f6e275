"""Advice for draws: planted first draws and paces, who is first, who is done first, and what is typed."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from firstgrad.advising.advice import OfferedChoice, find_offers, make_advice
from firstgrad.advising.answer import AdvicePlan, conclude
from firstgrad.advising.samples import AdviceSamples, list_wanted_draws
from firstgrad.advising.workload import Counted, Workload
from firstgrad.case import BackendName, Sampler, Scenario, Target
from firstgrad.cli.app import app
from firstgrad.errors import FirstgradError, SpecError
from firstgrad.show.advice import advice_sentences
from firstgrad.store import Store, export_jsonl
from helpers import write_model
from planted_advice import MODEL, OVERTAKEN, asked, planted_draw, planted_draws, planted_samples

RUNNER = CliRunner()
PLAN = ("--chains", "2", "--cores", "2")


def workload(**fields):
    return Workload.of_sampling(here=2, **{"chains": 2, "cores": 2} | fields)


def advise(records, **fields):
    planned = workload(**fields)
    wanted = [case for case in asked(records) if case.sampler is not Sampler.AUTO]
    return make_advice(find_offers(records, wanted, planned), planned)


def typed(records, **fields):
    """The lines of Python to type."""
    plan = AdvicePlan(workload=workload(**fields), ways=tuple(asked(records)))
    lines = conclude(plan, AdviceSamples(records=tuple(records), place="here")).lines
    return [line for line in lines if not line.startswith("export ")]


def sentences(advice):
    return " ".join(advice_sentences(advice))


def run(*arguments):
    result = RUNNER.invoke(app, ["advise", *arguments])
    if isinstance(result.exception, FirstgradError):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    path = tmp_path_factory.mktemp("draws") / "draws.jsonl"
    export_jsonl(planted_draws(noise=(1.0, 1.0, 1.0)), path)
    return str(path)


def test_the_soonest_and_the_one_that_is_done_first_are_two():
    advice = advise(planted_draws(), draws=1000, tune=1000)
    cold = advice.of_scenario(Scenario.COLD)
    assert cold.leader.choice.name == "nutpie numba"
    assert cold.leader.total.value == pytest.approx(40.0 + 2000 * 0.01)
    assert cold.is_decided
    assert "nutpie jax draws first, after 4.00 s" in sentences(advice)
    assert "certain to be the soonest" in sentences(advice)
    assert "At 2,000 draws nutpie numba takes 60.0 s" in sentences(advice)


def test_the_planted_crossing_is_in_draws():
    advice = advise(planted_draws(noise=(1.0, 1.0, 1.0)))
    (crossing,) = advice.of_scenario(Scenario.WARM).breakeven.crossings
    assert crossing.evaluations.value == pytest.approx(OVERTAKEN)
    assert "nutpie jax is ahead up to 400 draws, then nutpie numba; never ahead: pymc numba" in sentences(advice)


def test_few_draws_turn_the_advice_and_the_line_to_type():
    assert typed(planted_draws(), draws=50, tune=50) == [
        'pm.sample(draws=50, tune=50, chains=2, cores=2, nuts_sampler="nutpie", backend="jax")'
    ]
    assert typed(planted_draws()) == ['pm.sample(chains=2, cores=2, nuts_sampler="nutpie", backend="numba")']


def test_where_cold_and_warm_differ_both_lines_are_told():
    cold = planted_draws(scenarios=(Scenario.COLD,))
    warm = planted_draws({("nutpie", "numba"): (40.0, 0.01), ("pymc", "c"): (1.0, 0.01)}, scenarios=(Scenario.WARM,))
    empty, first, filled, second = typed([*cold, *warm])
    assert (empty, filled) == ("# with empty caches:", "# with filled caches, in later processes:")
    assert 'nuts_sampler="nutpie", backend="numba"' in first
    assert 'nuts_sampler="pymc", backend="c"' in second


def test_of_choices_that_are_nearly_as_good_one_is_typed_for_both():
    cold = planted_draws({("nutpie", "jax"): (4.0, 0.01), ("pymc", "jax"): (4.2, 0.01)}, scenarios=(Scenario.COLD,))
    warm = planted_draws({("nutpie", "jax"): (3.0, 0.01), ("pymc", "jax"): (2.9, 0.01)}, scenarios=(Scenario.WARM,))
    assert typed([*cold, *warm]) == ['pm.sample(chains=2, cores=2, nuts_sampler="nutpie", backend="jax")']


def test_who_leads_with_filled_caches_since_the_best_was_not_measured_so_is_not_typed():
    cold = planted_draws({("nutpie", "jax"): (4.0, 0.01), ("pymc", "c"): (90.0, 0.01)}, scenarios=(Scenario.COLD,))
    warm = planted_draws({("pymc", "c"): (30.0, 0.01)}, scenarios=(Scenario.WARM,))
    assert typed([*cold, *warm]) == ['pm.sample(chains=2, cores=2, nuts_sampler="nutpie", backend="jax")']


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (
            OfferedChoice(backend=BackendName.JAX, sampler="nutpie", gradient_backend="jax"),
            'nuts_sampler="nutpie", backend="jax", compile_kwargs={"gradient_backend": "jax"})',
        ),
        (
            OfferedChoice(backend=BackendName.JAX_DIRECT, sampler="firstgrad"),
            "firstgrad.sample(model, chains=2, cores=2)",
        ),
        (OfferedChoice(backend=BackendName.JAX, sampler="numpyro"), 'cores=2, nuts_sampler="numpyro")'),
        (
            OfferedChoice(backend=BackendName.JAX_FAST, sampler="pymc"),
            'nuts_sampler="pymc", compile_kwargs={"mode": firstgrad.fast_mode()})',
        ),
        (
            OfferedChoice(backend=BackendName.JAX, sampler="pymc", is_frozen=True),
            'nuts_sampler="pymc", backend="jax", model=freeze_dims_and_data(model))',
        ),
        (OfferedChoice(backend=BackendName.NUMBA), 'gradient = model.compile_dlogp(mode="NUMBA")'),
        (
            OfferedChoice(backend=BackendName.C),
            'gradient = model.compile_dlogp(mode=pytensor.compile.mode.Mode("cvm", "fast_run"))',
        ),
        (
            OfferedChoice(backend=BackendName.JAX_QUICK, is_frozen=True),
            'gradient = firstgrad.fast_gradient(freeze_dims_and_data(model), effort="least")',
        ),
    ],
)
def test_what_is_typed_is_python_with_its_imports(choice, words):
    lines = choice.lines(workload(), Target.DLOGP)
    compile("\n".join(lines), "typed", "exec")
    assert lines[-1].endswith(words)
    imports = " ".join(lines[:-1])
    for name in ("firstgrad", "pytensor", "freeze_dims_and_data"):
        assert (name in imports.replace("firstgrad.", "")) == (f"{name}." in words or f"{name}(" in words)


def test_a_sample_of_auto_stands_for_the_sampler_that_was_taken():
    records = planted_draws({("nutpie", "jax"): (4.0, 0.1)}, asked="auto")
    wanted = asked(planted_draws({("nutpie", "jax"): (4.0, 0.1), ("pymc", "jax"): (4.0, 0.1)}))
    advice = make_advice(find_offers(records, wanted, workload()), workload())
    assert [offer.choice.name for offer in advice.of_scenario(Scenario.COLD).offers] == ["nutpie jax"]
    assert {one.choice.name for one in advice.left_out} == {"pymc jax"}


def test_leapfrog_steps_that_are_given_scale_what_was_counted():
    offer = advise(planted_draws(noise=(1.0, 1.0)), leapfrog=20.0).of_scenario(Scenario.COLD).leader
    assert offer.steps == pytest.approx(10.0)
    assert offer.option.evaluation.value == pytest.approx(2 * 0.01)


def test_chains_in_turns_wait_for_each_other():
    planned = workload(chains=5, cores=2, draws=100, tune=100)
    assert (planned.evaluations, planned.in_a_row) == (1000, 600)
    assert "5 chains take 3 turns, so 600 draws wait" in " ".join(planned.assumptions())
    assert "turns" not in " ".join(workload().assumptions())


def test_defaults_are_those_of_pm_sample():
    plans = [Workload.of_sampling(here=here) for here in (1, 2, 16)]
    assert [(one.chains, one.cores, one.tune, one.draws) for one in plans] == [
        (2, 1, 1000, 1000),
        (2, 2, 1000, 1000),
        (4, 4, 1000, 1000),
    ]


def test_draws_that_are_not_finite_are_an_alarm():
    bad = planted_draw(1.0, 0.01, not_finite=("sigma",))
    advice = advise([*planted_draws(), bad])
    assert [one.choice.name for one in advice.alarms] == ["nutpie jax"]
    assert "nutpie jax" not in [offer.choice.name for offer in advice.of_scenario(Scenario.COLD).offers]


def test_one_without_a_pace_is_left_out_with_its_first_draw():
    costs = {("nutpie", "jax"): (4.0, 0.1), ("numpyro", "jax"): (6.0, None)}
    (left, _) = advise(planted_draws(costs)).left_out
    assert (left.choice.name, left.reason) == (
        "numpyro jax",
        "its first draw comes after 6.00 s, but what the next ones cost isn't known",
    )


def test_without_any_pace_it_is_about_the_first_draw_alone(tmp_path):
    costs = {key: (first, None) for key, (first, _) in {("nutpie", "jax"): (4.0, 0), ("pymc", "c"): (9.0, 0)}.items()}
    export_jsonl(planted_draws(costs), tmp_path / "first.jsonl")
    told = run(MODEL.reference, "--from", str(tmp_path / "first.jsonl"), *PLAN).stdout
    assert "If your cache is warm, nutpie jax draws first, after 4.00 s" in told
    assert "0.44 [" in told
    assert "isn't known" in told
    assert "2,000 draws nutpie" not in told
    assert "steps a draw" not in told


def test_near_the_crossing_the_last_draw_is_undecided():
    assert "do not allow a decision" in sentences(advise(planted_draws(), draws=OVERTAKEN // 2, tune=OVERTAKEN // 2))


def test_an_export_is_told_and_written_as_json(export, tmp_path):
    arguments = (MODEL.reference, "--from", export, *PLAN)
    told = run(*arguments).stdout
    assert "Planned: 4,000 draws (2 chains x (1,000 + 1,000) draws)." in told
    assert "steps a draw" in told
    assert told.rstrip().endswith('\npm.sample(chains=2, cores=2, nuts_sampler="nutpie", backend="numba")')
    document = json.loads(run(*arguments, "--json", "--output", str(tmp_path / "draws.svg")).stdout)
    assert (document["draws_in_all"], document["draws_in_a_row"], document["chains"]) == (4000, 2000, 2)
    first, *_ = document["scenarios"][0]["offers"]
    assert (first["sampler"], first["backend"], first["steps_a_draw"]) == ("nutpie", "numba", 10.0)
    assert first["first_draw_seconds"]["value"] == pytest.approx(40.0)
    assert first["draw_seconds"]["value"] == pytest.approx(0.01)
    assert document["type"][-1].startswith("pm.sample(")
    assert "draws, tuning included" in (tmp_path / "draws.svg").read_text()
    assert "| steps a draw |" in run(*arguments, "--markdown").stdout


def test_samples_of_one_chain_answer_where_there_are_no_others(tmp_path):
    export_jsonl(planted_draws(chains=1), tmp_path / "one.jsonl")
    told = run(MODEL.reference, "--from", str(tmp_path / "one.jsonl"), *PLAN).stdout
    assert "These samples are of one chain" in told
    assert "nutpie numba takes 60.0 s" in told


def test_without_first_draws_gradients_answer_where_the_steps_are_given(tmp_path):
    path = str(tmp_path / "gradients.jsonl")
    export_jsonl(planted_samples(), path)
    told = run(MODEL.reference, "--from", path, "--chains", "2", "--cores", "1", "--leapfrog", "10").stdout
    assert "No first draws are among these samples" in told
    assert "jax is ahead up to 40,000" in told
    with pytest.raises(SpecError, match=r"no samples of this model, target first_draw\. It has dlogp"):
        run(MODEL.reference, "--from", path, *PLAN)


def test_samplers_are_chosen_and_each_takes_its_own_backends():
    both = (BackendName.C, BackendName.NUMBA, BackendName.JAX, BackendName.JAX_FAST, BackendName.JAX_DIRECT)
    wanted = list_wanted_draws(MODEL, both, tuple(Sampler)[1:], workload=workload(), timed=100, time_limit_seconds=60.0)
    cold = [OfferedChoice.of(case).name for case in wanted if case.scenario is Scenario.COLD]
    assert cold == [
        *(
            "pymc c",
            "pymc numba",
            "pymc jax",
            "pymc jax_fast",
            "nutpie numba",
            "nutpie jax",
            "nutpie jax (jax's gradient)",
        ),
        *("numpyro jax", "blackjax jax", "firstgrad jax_direct"),
    ]
    assert {(case.target, case.chains) for case in wanted} == {(Target.FIRST_DRAW, 2)}
    assert [case.timed_draws for case in wanted] == [100] * 14 + [0] * 4 + [100] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "dlogp"), "--leapfrog: samples of gradients don't tell"),
        (("--target", "first_draw", "--evaluations", "5"), "--target: first_draw is for draws"),
        (("--sampler", "stan"), "--sampler: expected some of pymc, nutpie"),
        (("--sampler", "auto"), "--sampler: expected some of pymc, nutpie"),
        (("--draws", "9" * 20), "--draws: expected a whole number <= "),
        (("--chains", "9" * 20), "--chains: expected a whole number <= "),
        (("--timed", "9" * 20), "--timed: expected a whole number <= "),
        (("--sampler", "nutpie", "--backend", "c"), "--sampler, --backend: none of these samplers"),
    ],
)
def test_wrong_use_is_refused(arguments, message):
    with pytest.raises(SpecError, match=message):
        run(MODEL.reference, *arguments)


def test_what_is_missing_is_measured_once_with_its_pace(tmp_path):
    body = """
from firstgrad.record import DrawCheck, Pace
class Drawn(Model):
    def sample(self, case, sampler, drew):
        for chain in range(case.chains):
            drew(chain)
        return DrawCheck(moved=case.chains)
    def pace(self, case, sampler):
        return Pace(draws=case.timed_draws, seconds_a_draw=0.5 if sampler == "pymc" else 0.25, steps_a_draw=7.0)
return Drawn()
"""
    reference = write_model(tmp_path, body)
    store = str(tmp_path / "results.sqlite")
    arguments = (reference, "--backend", "fake", "--sampler", "pymc,nutpie", "--samples", "2", "--store", store, *PLAN)
    arguments += ("--time-budget", "none")
    first = json.loads(run(*arguments, "--json").stdout)
    offers = first["scenarios"][0]["offers"]
    assert [one["sampler"] for one in offers] == ["nutpie", "pymc"]
    assert [one["draw_seconds"]["value"] for one in offers] == [0.25, 0.5]
    assert offers[0]["total_seconds"]["samples"] == 2
    with Store.open(store) as kept:
        assert len(kept) == 8
    assert json.loads(run(*arguments, "--json").stdout)["scenarios"] == first["scenarios"]


def test_a_sampler_that_tells_of_all_at_once_is_not_measured_again_and_again(tmp_path):
    reference = write_model(tmp_path, "return Model()")
    store = str(tmp_path / "results.sqlite")
    arguments = (reference, "--backend", "fake", "--sampler", "numpyro", "--samples", "1", "--store", store, *PLAN)
    for _ in range(2):
        told = run(*arguments).stdout
        assert "so this is about the first alone" in told
        assert "numpyro fake draws first" in told
        with Store.open(store) as kept:
            assert len(kept) == 2


def test_words_of_what_is_counted():
    assert [one.first for one in Counted] == ["first gradient", "first draw", "first draw"]
