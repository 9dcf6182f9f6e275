"""Several models at once, as a shell sees them: a table, the worst first; one that fails stops nobody."""

from __future__ import annotations

import json
import subprocess

import pytest

from builders import FIRSTGRAD
from helpers import write_model

SUITE = """
models = ["models/*.py:build"]
backends = ["fake"]
evaluations = 0

[parameters]
n = [1, 2]

[tiers.sound]
models = "models/g*.py"
parameters.n = 3
"""


def run(folder, *arguments):
    return subprocess.run([FIRSTGRAD, *arguments], capture_output=True, text=True, check=False, cwd=folder, timeout=100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    (folder / "models").mkdir()
    write_model(folder / "models", "return Model()", parameters="n=0", name="good")
    write_model(folder / "models", "raise RuntimeError('no data today')", name="bad")
    (folder / "models/importing.py").write_text("import nothing_of_this\ndef build(): ...\n")
    (folder / "models/helper.py").write_text("SIZE = 3\n")
    (folder / "firstgrad.toml").write_text(SUITE)
    return folder


def test_a_failing_model_is_a_row_and_the_others_are_measured(folder):
    done = run(folder, "measure", "suite", "--store", "none", "--markdown")
    assert done.returncode == 3, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| `")]
    named = [row.split("`")[1] for row in rows]
    assert set(named[:3]) == {"models/helper.py", "models/bad.py:build", "models/importing.py:build"}
    assert sorted(named[3:]) == ["models/good.py:build(n=1)", "models/good.py:build(n=2)"]
    assert "RuntimeError: no data today" in done.stdout
    assert "No module named 'nothing_of_this'" in done.stdout
    assert "| geometric mean | " in done.stdout


def test_a_sweep_of_them_goes_on_where_it_stopped_and_says_the_same_again(folder):
    first, again = (run(folder, "sweep", "suite", "--samples", "2") for _ in range(2))
    assert "8 samples to measure" in first.stderr
    assert "0 samples to measure, 6 are there already" in again.stderr
    assert (first.returncode, again.returncode) == (3, 3)
    tables = [
        done.stderr[done.stderr.index("numbers that count") : done.stderr.index("Next:")] for done in (first, again)
    ]
    assert (
        tables[0].partition("Records")[0].rpartition("\n")[0] == tables[1].partition("Records")[0].rpartition("\n")[0]
    )


def test_a_report_has_the_models_beside_each_other(folder):
    done = run(folder, "report", "suite", "--output", "-")
    assert done.returncode == 0, done.stderr
    table = done.stdout.partition('id="cases"')[2].partition("<section")[0]
    assert table.index("models/bad.py:build") < table.index("models/good.py:build(n=1)")
    alone = run(folder, "report", "models/good.py", "--output", "-")
    assert "models/good.py:build(n=1)" in alone.stdout
    assert "models/bad.py" not in alone.stdout


def test_checks_of_several_models_are_a_table(folder):
    done = run(folder, "check", "models/good.py:build", "models/bad.py:build", "--backend", "fake", "--markdown")
    assert done.returncode == 3
    rows = [line for line in done.stdout.splitlines() if line.startswith("| `")]
    assert ["no data today" in row for row in rows] == [True, False]


@pytest.mark.parametrize(
    "words", [["suite", "--tier", "sound"], ["models/good.py", "models/helper.py", "--param", "n=3"]]
)
def test_nothing_wrong_is_good(folder, words):
    done = run(folder, "measure", *words, "--backend", "fake", "--evaluations", "0", "--store", "none", "--json")
    assert done.returncode == 0, done.stderr
    (record,) = map(json.loads, done.stdout.splitlines())
    assert record["case"]["model"] == {"reference": "models/good.py:build", "parameters": [["n", 3]]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["measure", "suite", "--tier", "sond"], "--tier: there is no 'sond'. Did you mean 'sound'? There are: sound"),
        (["measure", "models", "--timesteps", "3"], "--timesteps: belongs to the pose model"),
        (["measure", "suite", "--param", "m=3"], "no model has 'm'. There are: n"),
        (
            ["profile", "models"],
            "MODEL: expected one, got models. measure, sweep, lint, check and compare take several",
        ),
    ],
)
def test_wrong_use_is_said_before_anything_starts(folder, arguments, message):
    done = run(folder, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
