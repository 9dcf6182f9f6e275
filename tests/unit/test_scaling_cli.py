import json

import pytest
from typer.testing import CliRunner

from builders import make_record
from firstgrad.case import BackendName, Case
from firstgrad.cli.app import app
from firstgrad.errors import FirstgradError, SpecError, StoreError
from firstgrad.model import make_model
from firstgrad.store import Store, export_jsonl
from planted_sweep import planted_records

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "sweep.jsonl"
    export_jsonl([*planted_records(), *planted_records(1, label="other")[:1]][:-1], path)
    return str(path)


def run(*arguments):
    result = RUNNER.invoke(app, ["scaling", *arguments])
    if isinstance(result.exception, FirstgradError):
        raise result.exception
    return result


def test_tables_have_laws_and_ratios(export):
    shown = run("--from", export).stdout
    for text in ("time to first gradient along timesteps", "does not grow", "along directions", "HMM S=2 scan, cold"):
        assert text in shown
    assert "hmm: ratio of time to first gradient along timesteps" in shown
    assert "at 1000" in shown


def test_json_has_the_planted_numbers(export):
    document = json.loads(run("--from", export, "--json", "--axis", "directions").stdout)
    (law,) = [
        law for law in document["laws"] if (law["metric"], law["name"]) == ("time_to_first_gradient", "no HMM, cold")
    ]
    assert law["exponent"]["low"] < 1.5 < law["exponent"]["high"]
    assert law["unit"] == "seconds"
    overall = [
        ratio for ratio in document["ratios"] if ratio["metric"] == "time_to_first_gradient" and ratio["size"] is None
    ]
    assert len(overall) == 2
    assert all(ratio["interval"]["low"] < 2 < ratio["interval"]["high"] for ratio in overall)


def test_a_store_gives_the_same_as_its_export(export, tmp_path):
    path = tmp_path / "results.sqlite"
    with Store.open(path) as store:
        for record in planted_records():
            store.add(record)
    arguments = ("--json", "--label", "planted", "--metric", "time_to_first_gradient")
    assert run("--store", str(path), *arguments).stdout == run("--from", export, *arguments).stdout


def test_several_models_stand_by_steepness_with_their_mean_over_models(tmp_path):
    exponents = {"flat.py:build": 0.5, "steep.py:build": 1.5, "middle.py:build": 1.0}
    records = [
        make_record(
            record_id=f"{reference}-{n}-{number}",
            case=Case(model=make_model(reference, {"n": n}), backend=BackendName.JAX),
            time_to_first_gradient_seconds=n**exponent * (1 + 0.01 * number),
        )
        for reference, exponent in exponents.items()
        for n in (10, 30, 100, 300)
        for number in range(3)
    ]
    path = tmp_path / "models.jsonl"
    export_jsonl(records, path)
    metric = ("--from", str(path), "--metric", "time_to_first_gradient")
    rows = [line.split("|")[1].strip() for line in run(*metric, "--markdown").stdout.splitlines()[2:] if "|" in line]
    references = ["steep.py:build", "middle.py:build", "flat.py:build"]
    assert [row for row in rows if "build" in row] == references
    (mean,) = json.loads(run(*metric, "--json").stdout)["means"]
    assert mean["exponent"]["value"] == pytest.approx(1.0, abs=0.02)
    # Student's of 0.5, 1.0, 1.5: a standard error of 0.5 / sqrt(3), times 4.303
    assert mean["exponent"]["low"] == pytest.approx(1.0 - 4.303 * 0.5 / 3**0.5, abs=0.03)
    assert mean["growth"]["value"] == pytest.approx(30.0, rel=0.05)
    only = run("steep.py:build", "flat.py:build", *metric, "--markdown").stdout
    assert "middle.py" not in only
    assert "mean of models, jax, dlogp, cold" in only
    assert "mean of models" not in run("steep.py:build", *metric, "--markdown").stdout
    with pytest.raises(SpecError, match=r"there are no records of other.py:build"):
        run("other.py:build", *metric)


def test_figures_go_to_a_folder(export, tmp_path):
    shown = run("--from", export, "--axis", "timesteps", "--metric", "peak_memory", "--output", str(tmp_path)).stdout
    names = sorted(path.name for path in tmp_path.glob("*.svg"))
    assert names == [
        "ratio-hmm-timesteps-peak_memory.svg",
        "scaling-timesteps-jax-cold.svg",
        "scaling-timesteps-jax-warm.svg",
    ]
    assert str(tmp_path / "scaling-timesteps-jax-cold.png") in shown


def test_wrong_use_names_what_is_there(export, tmp_path):
    for arguments, kind, message in (
        (
            ("--axis", "cameras"),
            SpecError,
            "--axis: 'cameras' doesn't vary here. There are timesteps, directions, nodes",
        ),
        (("--metric", "speed"), SpecError, "--metric: there is no 'speed'"),
        (("--contrast", "colour"), SpecError, "--contrast: expected some of hmm"),
        (("--label", "nobody"), SpecError, "--axis: no size varies in these 0 samples"),
        (("--store", "here.sqlite"), SpecError, "--store, --from: give one of them"),
    ):
        with pytest.raises(kind, match=message):
            run("--from", export, *arguments)
    with pytest.raises(StoreError, match="there is no store here"):
        run("--store", str(tmp_path / "nothing.sqlite"))
