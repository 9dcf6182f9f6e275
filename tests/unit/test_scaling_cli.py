import json

import pytest
from typer.testing import CliRunner

from firstgrad.cli.app import app
from firstgrad.errors import FirstgradError, SpecError, StoreError
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
