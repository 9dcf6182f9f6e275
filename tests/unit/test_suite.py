"""Suites: which models words name, and what a suite file says."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from builders import firstgrad, make_case, make_record
from firstgrad.case import BackendName, Scenario
from firstgrad.errors import SpecError
from firstgrad.linting.finding import LintReport
from firstgrad.suite import SUITE_FILE, find_models, read_suite, suite_of

GOOD = """
import pymc as pm
def build(n=3, seed=1):
    with pm.Model() as model:
        pm.Normal('x')
    return model
"""
FILES = {
    "models/good.py": GOOD,
    "models/annotated.py": "from lib import make\ndef build_it(k: int = 2) -> 'pm.Model':\n    return make(k)\n",
    "models/wrapped.py": GOOD.replace("build", "_make") + "def build(**more):\n    return _make(**more), {}\n",
    "models/helper.py": "def sizes():\n    return [1]\ndef fit():\n    with pm.Model():\n        return pm.sample()\n",
    "models/two.py": GOOD + GOOD.replace("build", "build_large"),
    "models/script.py": "import pymc as pm\nwith pm.Model() as model:\n    pm.Normal('x')\n",
    "models/guarded.py": GOOD + "if __name__ == '__main__':\n    with build() as model:\n        pm.sample()\n",
    "models/broken.py": "def build(:\n",
    "models/_private.py": GOOD,
    "models/test_good.py": GOOD,
    "models/deep/inner.py": GOOD,
    "models/notes.txt": "build",
}
FOUND = (
    "models/annotated.py:build_it",
    "models/good.py:build",
    "models/guarded.py:build",
    "models/script.py",
    "models/wrapped.py:build",
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, text, name=SUITE_FILE):
    (folder / name).write_text(textwrap.dedent(text))
    return folder / name


@pytest.mark.parametrize("word", ["models", "models/", "models/*.py", "./models/*.py"])
def test_a_folder_is_asked_file_by_file(word):
    references, omitted = find_models([word])
    assert references == FOUND
    assert {one.what: (one.reason, one.is_failure) for one in omitted} == {
        "models/broken.py": ("line 1: syntax error: invalid syntax", True),
        "models/helper.py": ("has no function that makes a model", False),
        "models/two.py": (
            "makes 2 models. Name one: models/two.py:build (line 3), models/two.py:build_large (line 9)",
            True,
        ),
    }


def test_what_the_shell_expanded_is_the_same_but_for_what_was_named():
    words = sorted(str(path) for path in Path("models").glob("[!_t]*.py"))
    references, omitted = find_models([*words, "models/two.py:build", "./models/good.py:build", "pose"])
    assert references == (*FOUND, "models/two.py:build", "pose")
    assert [(one.what, one.is_failure) for one in omitted] == [("models/broken.py", True), ("models/helper.py", False)]
    assert find_models(["models/helper.py"]) == (("models/helper.py",), ())


def test_a_pattern_with_a_function_names_the_files_that_lack_it():
    references, omitted = find_models(["models/**/[gidsh]*.py:build"])
    assert references == ("models/deep/inner.py:build", "models/good.py:build", "models/guarded.py:build")
    assert [(one.what, one.reason) for one in omitted] == [
        ("models/helper.py", "models/helper.py has no function 'build'. It has: fit, sizes"),
        ("models/script.py", "models/script.py has no function 'build'. It has: none"),
    ]


def test_what_only_a_cluster_has_is_not_looked_for(folder):
    words = ["models/missing.py:build", "nowhere.module:build", "models/good.py:build"]
    assert find_models(words, are_here=False) == (tuple(words), ())
    (folder / "pose").mkdir()
    assert find_models(["pose"]) == (("pose",), ())  # whatever stands here


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["models/missing.py:build"], "no file models/missing.py"),
        (["models/good.py", "models/missing.py"], "no file models/missing.py"),
        (["models/good.py:bild", "pose"], "has no function 'bild'. It has: build"),
        (["nowhere/*.py"], "no Python file for a model in nowhere/*.py"),
        (["models/deep/*.txt"], "no Python file for a model in models/deep/*.txt"),
        (["models/helper.py", "models/two.py"], "there is no model: models/helper.py has no function"),
        (["pose", "posse"], "expected 'pose', 'path/file.py:function'"),
        (["suite", "pose"], "a suite stands alone"),
        (["other.toml"], "other.toml: No such file"),
        (["suite"], "no firstgrad.toml in"),
    ],
)
def test_wrong_words_are_refused(words, message):
    with pytest.raises(SpecError, match=r"(?i)^model: ") as caught:
        suite_of(words).grid()
    assert message in str(caught.value)


def test_parameters_are_axes_of_the_models_that_have_them(folder):
    file = write(
        folder,
        """
        models = ["models/[agw]*.py", "models/two.py:build", "pose"]
        backends = ["jax", "c"]
        scenarios = "warm"
        samples = 2
        evaluations = 0
        memory_limit = "2GiB"
        time_limit = 90

        [parameters]
        n = [10, 20]
        timesteps = 7

        [parameters."models/two.py"]
        n = 5
        seed = [1, 2]

        [tiers.quick]
        backends = ["fake"]
        parameters.n = 3

        [tiers.quick.parameters."models/w*.py:build"]
        k = 4
        """,
    )
    suite = read_suite(file)
    assert suite == suite_of(["suite"]) == read_suite()
    cases = suite.grid().cases
    assert sorted({str(case.model) for case in cases}) == [
        "models/annotated.py:build_it",
        "models/good.py:build(n=10)",
        "models/good.py:build(n=20)",
        "models/guarded.py:build(n=10)",
        "models/guarded.py:build(n=20)",
        "models/two.py:build(n=5, seed=1)",
        "models/two.py:build(n=5, seed=2)",
        "models/wrapped.py:build",
        "pose T=7 K=5 no HMM",
    ]
    assert {(case.backend, case.scenario) for case in cases} == {
        (BackendName.JAX, Scenario.WARM),
        (BackendName.C, Scenario.WARM),
    }
    assert {(case.evaluations, case.memory_limit_bytes, case.time_limit_seconds) for case in cases} == {
        (0, 2 * 2**30, 90.0)
    }
    quick = suite.tier("quick")
    assert (quick.samples, quick.backends, quick.tiers) == (2, (BackendName.FAKE,), {})
    assert [str(case.model) for case in quick.grid().cases] == [
        "models/annotated.py:build_it",
        "models/good.py:build(n=3)",
        "models/guarded.py:build(n=3)",
        "models/wrapped.py:build(k=4)",
        "models/two.py:build(n=5, seed=1)",
        "models/two.py:build(n=5, seed=2)",
        "pose T=7 K=5 no HMM",
    ]


def test_files_are_seen_from_the_suite_and_references_from_here(folder, monkeypatch):
    file = write(folder, 'models = ["good.py", "deep"]', "models/suite.toml")
    assert [case.model.reference for case in read_suite(file.relative_to(folder)).grid().cases] == [
        "models/good.py:build",
        "models/deep/inner.py:build",
    ]
    monkeypatch.chdir(folder / "models/deep")
    references = [case.model.reference for case in read_suite("../suite.toml").grid().cases]
    assert references == [f"{folder}/models/good.py:build", "inner.py:build"]


def test_pyproject_may_hold_it(folder):
    file = write(
        folder, '[tool.firstgrad]\nmodels = ["models"]\n[tool.firstgrad.tiers.x]\nsamples = 3', "pyproject.toml"
    )
    assert read_suite() == read_suite(file)
    assert read_suite().tier("x").samples == 3
    write(folder, "[tool.other]", "pyproject.toml")
    with pytest.raises(SpecError, match=r"pyproject.toml: has no table \[tool.firstgrad\]"):
        read_suite(file)
    with pytest.raises(SpecError, match=r"no firstgrad.toml in"):
        read_suite()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "backend = 'c'",
            "firstgrad.toml, backend: there is no key 'backend'. Did you mean 'backends'? There are: name",
        ),
        ("backends = ['c', 'numbaa']", "backends: there is no 'numbaa'. Did you mean 'numba'? There are: c, numba"),
        ("backends = ['c', 'c']", "backends: 'c' is given twice"),
        ("scenarios = []", "scenarios: expected at least one"),
        ("metrics = ['time_to_first_gradint']", "metrics: there is no metric 'time_to_first_gradint'. Did you mean"),
        ("samples = 0", "samples: expected a whole number >= 1, got 0"),
        ("one_at_a_time = 1", "one_at_a_time: expected true or false, got 1"),
        ("memory_limit = '4 apples'", "memory_limit: expected a size"),
        ("parameters = 3", "parameters: expected a table, got 3"),
        ("tiers.quick = 3", "firstgrad.toml, [tiers] quick: expected a table, got 3"),
        ("parameters.n = [[1]]", "firstgrad.toml, [parameters] n: expected numbers, texts, true or false, got [1]"),
        ("[tiers.quick]\nsample = 3", "firstgrad.toml, [tiers.quick] sample: there is no key 'sample'. Did you mean"),
        ("[tiers.quick.parameters]\nn = nan", "firstgrad.toml, [tiers.quick.parameters] n: expected numbers"),
        ("[tiers.quick.tiers.x]", "firstgrad.toml, [tiers.quick] tiers: there is no key 'tiers'"),
        ("name = [", "firstgrad.toml: is no TOML: "),
        ("parameters.m = 3", "parameters: no model has 'm'. There are: n, seed"),
        (
            "[parameters.'models/god.py']\nn = 3",
            "there is no model 'models/god.py'. Did you mean 'models/good.py:build'?",
        ),
    ],
)
def test_an_error_of_the_file_names_file_table_key_and_the_nearest(folder, text, message):
    file = write(folder, f"models = ['models/good.py']\n{text}")
    with pytest.raises(SpecError) as caught:
        read_suite(file).grid()
    assert message in str(caught.value)


def test_a_model_of_a_suite_file_that_is_not_there_names_the_file_and_not_the_command_line(folder):
    with pytest.raises(SpecError, match=r"^suite file in .*, models: no file models/missing.py"):
        read_suite(write(folder, "models = 'models/missing.py'")).grid()


def test_a_suite_names_models(folder):
    with pytest.raises(SpecError, match="models: name at least one, such as"):
        read_suite(write(folder, "name = 'none'"))
    with pytest.raises(SpecError, match=r"--tier: there is no 'quik'. Did you mean 'quick'\? There are: quick, full"):
        read_suite(write(folder, "models = 'pose'\n[tiers.quick]\n[tiers.full]")).tier("quik")


def test_lint_and_check_take_a_tier_of_a_suite(folder, monkeypatch):
    asked = []

    def look(model, **_):
        asked.append(str(model))
        return LintReport(model=str(model))

    monkeypatch.setattr("firstgrad.linting.launch.lint", look)
    monkeypatch.setattr(
        "firstgrad.measuring.ways.check_gradient_of", lambda model, *_, **__: make_record(case=make_case(model=model))
    )
    write(folder, 'models = ["models/good.py"]\nparameters.n = [1, 2]\n[tiers.large]\nparameters.n = [7, 9]')
    assert firstgrad("lint", "suite", "--tier", "large").code == 0
    assert firstgrad("lint", "suite").code == 0
    assert asked == ["models/good.py:build(n=7)", "models/good.py:build(n=1)"]
    assert "n=7" in firstgrad("check", "suite", "--tier", "large").out
    for verb in ("lint", "check", "measure"):
        ended = firstgrad(verb, "models/good.py", "--tier", "large")
        assert (ended.code, "--tier: is of a suite file" in ended.err) == (2, True)
