"""``firstgrad advise`` through typer's runner: exports, stores, what is missing, what goes wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firstgrad.advising.samples import installed_backends
from firstgrad.case import BackendName, Case, Scenario, Target
from firstgrad.cli.app import app
from firstgrad.errors import FirstgradError, SpecError, StoreError
from firstgrad.model import Model
from firstgrad.record import Doubt, Status, Verdict
from firstgrad.store import Store, export_jsonl
from helpers import write_model
from planted_advice import MODEL, planted_samples

RUNNER = CliRunner()
GROWTH = Path(__file__).parents[2] / "docs" / "data" / "growth.jsonl"


def run(*arguments):
    result = RUNNER.invoke(app, ["advise", *arguments])
    if isinstance(result.exception, FirstgradError):
        raise result.exception
    return result


@pytest.fixture
def export(tmp_path):
    path = tmp_path / "planted.jsonl"
    export_jsonl(planted_samples(noise=(1.0, 1.0, 1.0)), path)
    return str(path)


def test_the_planted_crossing_is_told(export):
    done = run(MODEL.reference, "--evaluations", "20000", "--from", export)
    assert done.exit_code == 0
    assert "If your cache is warm: jax is ahead up to 40,000 evaluations, then numba." in done.stdout
    assert "At 20,000 evaluations jax takes 30.0 s" in done.stdout
    assert "import beside" in done.stdout


def test_the_kept_sweep_gives_advice_on_the_pose_model(tmp_path):
    chart = tmp_path / "advice.png"
    done = run("pose", "--evaluations", "20000", "--from", str(GROWTH), "--output", str(chart))
    assert done.exit_code == 0
    assert "If your cache is empty (cold): jax vectorised is ahead up to" in done.stdout
    assert "then numba per_joint" in done.stdout
    assert "never ahead" in done.stdout
    assert "Not tried, since no samples: c vectorised, cold and warm; numba vectorised, cold and warm" in done.stdout
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_json_has_the_numbers_and_the_sentences(export, tmp_path):
    chart = tmp_path / "new" / "advice.svg"
    done = run(MODEL.reference, "--from", export, "--evaluations", "50000", "--json", "--output", str(chart))
    document = json.loads(done.stdout)
    cold, warm = document["scenarios"]
    assert (cold["scenario"], warm["scenario"]) == ("cold", "warm")
    assert [each["backend"] for each in cold["offers"]] == ["numba", "jax"]
    assert cold["crossings"][0]["evaluations"]["value"] == pytest.approx(40_000)
    assert cold["is_decided"]
    assert any("then numba" in each for each in document["sentences"])
    assert "<svg" in chart.read_text()


def test_evaluations_are_derived_from_sampling(export):
    asked = (MODEL.reference, "--from", export, "--json", "--target", "dlogp")
    planned = ("--chains", "2", "--tune", "10", "--draws", "40", "--leapfrog", "7.5")
    document = json.loads(run(*asked, *planned, "--cores", "2").stdout)
    assert (document["evaluations"], document["evaluations_in_a_row"]) == (750, 375)
    document = json.loads(run(*asked, *planned, "--cores", "1").stdout)
    assert document["evaluations_in_a_row"] == 750
    assert "one after the other on one core" in document["assumptions"][0]


def test_a_wrong_gradient_is_said_first_and_ends_with_one(tmp_path):
    records = planted_samples()
    bad = [replace(records[0], status=Status.MISMATCH, check=replace(records[0].check, verdict=Verdict.DISAGREES))]
    bad.append(replace(records[-1], doubts=(Doubt.NOT_FINITE,)))
    export_jsonl([*bad, *records[1:-1]], tmp_path / "bad.jsonl")
    done = run(MODEL.reference, "--evaluations", "10", "--from", str(tmp_path / "bad.jsonl"))
    assert done.exit_code == 1
    first, second, *_ = done.stdout.splitlines()
    assert first.startswith("WARNING: jax, cold, gives WRONG numbers")
    assert second.startswith("WARNING: numba, warm, gives a gradient that is not finite")


def test_unlike_conditions_are_never_put_together(tmp_path):
    other = [replace(each, record_id=f"o{each.record_id}") for each in planted_samples({"c": (1.0, 1e-6)})]
    other = [replace(each, environment=replace(each.environment, python="3.12.1")) for each in other]
    export_jsonl([*planted_samples(), *other], tmp_path / "both.jsonl")
    done = run(MODEL.reference, "--evaluations", "10", "--from", str(tmp_path / "both.jsonl"))
    assert "6 samples of unlike conditions are left out." in done.stdout
    assert "Python 3.13.0" in done.stdout


def test_backends_without_devices_stand_beside_jax_on_one_device_only(tmp_path):
    gpu, cpu = "cuda, NVIDIA H100", "cpu"
    records = [*planted_samples({"numba": (30.0, 0.5e-3)}), *planted_samples({"jax": (10.0, 1e-3)}, device=gpu)]
    export_jsonl(records, tmp_path / "gpu.jsonl")
    done = run(MODEL.reference, "--evaluations", "10", "--from", str(tmp_path / "gpu.jsonl"))
    assert "jax is ahead up to 40,000" in done.stdout
    assert "unlike conditions" not in done.stdout
    both = [*records, *planted_samples({"jax": (50.0, 1e-3)}, device=cpu, scenarios=[Scenario.COLD])]
    export_jsonl(both, tmp_path / "both.jsonl")
    done = run(MODEL.reference, "--evaluations", "10", "--from", str(tmp_path / "both.jsonl"))
    assert "jax is ahead up to 40,000" in done.stdout
    assert "3 samples of unlike conditions are left out." in done.stdout


def test_a_store_without_measuring_answers_or_says_what_is_missing(tmp_path):
    from firstgrad.measuring import environment

    place = str(tmp_path / "results.sqlite")
    here = environment.describe_environment()
    with Store.open(place) as store:
        for record in planted_samples():
            store.add(replace(record, environment=here))
        for record in planted_samples({"jax": (1.0, 1e-9)}):  # of another host
            store.add(replace(record, record_id=f"o{record.record_id}"))
    arguments = ("--no-measure", "--store", place, "--backend", "jax,numba", "--evaluations", "20000")
    done = run(MODEL.reference, *arguments)
    assert done.exit_code == 0
    assert "jax is ahead up to 40,000 [" in done.stdout
    nothing = run("other/file.py:build", *arguments)
    assert nothing.exit_code == 3
    assert "No way of running this model was measured to its end" in nothing.stdout
    assert "the soonest first (JAX before Numba before C): jax, numba." in nothing.stdout
    assert nothing.stdout.rstrip().endswith('gradient = model.compile_dlogp(mode="JAX")')
    with pytest.raises(StoreError, match="there is no store here"):
        run(MODEL.reference, "--no-measure", "--store", str(tmp_path / "none.sqlite"))


def test_what_is_missing_is_measured_once(tmp_path):
    reference = write_model(tmp_path, "return Model()")
    arguments = ("--backend", "fake", "--samples", "2", "--evaluations", "1000", "--json")
    arguments = (reference, *arguments, "--store", str(tmp_path / "results.sqlite"))
    first = json.loads(run(*arguments).stdout)
    assert [each["scenario"] for each in first["scenarios"]] == ["cold", "warm"]
    assert first["scenarios"][0]["offers"][0]["total_seconds"]["samples"] == 2
    with Store.open(tmp_path / "results.sqlite") as store:
        assert set(store.samples().label) == {"advise"}
        assert len(store) == 4
    assert json.loads(run(*arguments).stdout)["scenarios"] == first["scenarios"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--evaluations", "10", "--chains", "2"), "--chains: says what --evaluations says"),
        (("--backend", "torch"), "--backend: expected some of c, numba"),
        (("--store", "none"), "--store: what is measured is kept"),
        (("--store", "a", "--from", "b"), "--store, --from: give one of them"),
        (("--output", "advice.pdf", "--from", str(GROWTH)), "--output: expected a file that ends in"),
        (("--time-budget", "-1"), "--time-budget: .*expected a duration.*none for no end"),
        (("--timesteps", "7", "--from", str(GROWTH)), "has no samples of this model"),
    ],
)
def test_wrong_use_is_refused(arguments, message):
    with pytest.raises(SpecError, match=message):
        run("pose", *arguments)


def test_the_backends_are_those_of_the_registry_that_are_installed(monkeypatch):
    from firstgrad.measuring import environment

    monkeypatch.setattr(environment, "compiler_version", lambda: "")
    monkeypatch.setattr(environment, "installed_version", lambda name: "1.0" if name == "jax" else "")
    known = {each for each in BackendName if str(each).startswith("jax")}
    assert set(installed_backends()) == known
    monkeypatch.setattr(environment, "compiler_version", lambda: "g++ 12")
    monkeypatch.setattr(environment, "installed_version", lambda _: "1.0")
    assert set(installed_backends()) == set(BackendName) - {
        BackendName.INTERPRETER,
        BackendName.FAKE,
    }  # they compile nothing


def test_the_target_and_parameters_belong_to_the_question(tmp_path):
    case = Case(
        model=Model(reference=MODEL.reference, parameters=(("n", 3),)),
        backend=BackendName.JAX,
        target=Target.LOGP_DLOGP,
        scenario=Scenario.COLD,
    )
    export_jsonl([replace(each, case=case) for each in planted_samples()[:3]], tmp_path / "one.jsonl")
    given = (MODEL.reference, "--from", str(tmp_path / "one.jsonl"), "--evaluations", "5")
    assert "the only choice" in run(*given, "--param", "n=3", "--target", "logp_dlogp").stdout
    with pytest.raises(SpecError, match="has no samples of this model, target dlogp"):
        run(*given, "--param", "n=3")


def test_samplers_of_a_package_that_is_not_installed_are_named(monkeypatch, tmp_path):
    from firstgrad.advising import samples

    with Store.open(str(tmp_path / "s.sqlite")) as store:
        wanted = [Case(model=Model(reference="m.py:build"), backend=BackendName.JAX, target=Target.FIRST_DRAW)]
        assert samples.from_store(store, wanted).notes == ()
        monkeypatch.setattr(samples, "find_spec", lambda name: None if name == "nutpie" else name)
        (note,) = samples.from_store(store, wanted).notes
        gradients = [replace(wanted[0], target=Target.DLOGP)]
        assert samples.from_store(store, gradients).notes == ()
    assert note == "Not tried, since nutpie isn't installed: nutpie, firstgrad. pip install nutpie"
