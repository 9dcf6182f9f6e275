"""What ``firstgrad init`` writes: the models that files tell of, the workflow, ignore lines; nothing is overwritten."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from builders import git
from firstgrad.case import BackendName
from firstgrad.cli.init import init_result
from firstgrad.errors import SpecError, StoreError
from firstgrad.project import IGNORED, WORKFLOW, FileState, plan_files, write_files
from firstgrad.show.result import Items, Verbatim
from firstgrad.suite import SUITE_FILE, read_suite

ROOT = Path(__file__).parents[2]
MODEL = "import pymc as pm\n\n\ndef {name}({arguments}):\n    return pm.Model()\n"
JAX = [BackendName.JAX]


def model(name="build", arguments=""):
    return MODEL.format(name=name, arguments=arguments)


def put(place, files):
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


@pytest.mark.parametrize("url", ["", "https://example.org/firstgrad.git"])
def test_a_firstgrad_that_no_package_index_has_is_told_of(url, tmp_path, monkeypatch):
    info = tmp_path / "firstgrad-1.dist-info"
    put(
        info,
        {"METADATA": "Name: firstgrad\nVersion: 1\n"} | ({"direct_url.json": json.dumps({"url": url})} if url else {}),
    )
    monkeypatch.syspath_prepend(tmp_path)
    (steps,) = (part.items for part in init_result([], is_dry=False).parts if isinstance(part, Items))
    assert [step for step in steps if "line of Install" in step and url in step] == steps[1:2] * bool(url)
    assert len(steps) == 2 + bool(url)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def states(files):
    return {file.path: str(file.state) for file in files}


def suite_text(files):
    return next(file.content for file in files if file.path == SUITE_FILE)


def install_line(files):
    workflow = yaml.safe_load(next(file.content for file in files if file.path == WORKFLOW))
    return next(step["run"] for step in workflow["jobs"]["compare"]["steps"] if step.get("name") == "Install")


def test_models_are_those_of_the_files_and_the_rest_is_said_with_why(project):
    put(
        project,
        {
            "models/one.py": model(arguments="n=3") + model("sized", "n, *, deep"),
            "models/paged.py": "\x0c\n" + model("paged"),
            "models/_helper.py": model("helper"),
            "models/conftest.py": model("fixture"),
            "tests/data.py": model("tested"),
            ".hidden/a.py": model("hidden"),
            "env/pyvenv.cfg": "",
            "env/lib/site.py": model("installed"),
            "fit.py": "import pymc as pm\nwith pm.Model() as m:\n    pm.Normal('x')\npm.sample()\n",
            "broken.py": "x = (\n",
            "other.py": "def plain():\n    return 3\n",
        },
    )
    text = suite_text(plan_files(project, backends=JAX))
    assert tomllib.loads(text)["models"] == ["models/one.py:build", "models/paged.py:paged"]
    said = [line for line in text.splitlines() if line.startswith('# "')]
    assert said == [
        "# \"broken.py\": line 1: syntax error: '(' was never closed",
        '# "fit.py": a script, which would be run as far as its model',
        '# "models/one.py:sized": needs deep, n, from a table [parameters."models/one.py"]',
    ]


def test_a_packages_models_are_named_by_module_where_commits_are_installed(project):
    files = {"src/lib/__init__.py": "", "src/lib/deep/__init__.py": "", "src/lib/deep/m.py": model(), "own.py": model()}
    put(project, files)
    assert tomllib.loads(suite_text(plan_files(project)))["models"] == ["own.py:build", "src/lib/deep/m.py:build"]
    put(project, {"pyproject.toml": '[project]\nname = "lib"\n'})
    assert tomllib.loads(suite_text(plan_files(project)))["models"] == ["own.py:build", "lib.deep.m:build"]


def test_what_git_ignores_has_no_models(project):
    put(project, {"a.py": model(), "ignored.py": model(), ".gitignore": "ignored.py\n"})
    git(project, "init", "--quiet")
    files = plan_files(project)
    assert tomllib.loads(suite_text(files))["models"] == ["a.py:build"]


def test_the_suite_file_is_read_as_a_suite(project):
    put(project, {"a.py": model(), 'odd "name.py': model()})
    write_files(project, plan_files(project, backends=[BackendName.JAX, BackendName.NUMBA]))
    suite = read_suite()
    assert (suite.backends, suite.targets) == (("jax", "numba"), ("logp_dlogp",))
    assert [case.model.reference for case in suite.grid().cases][::2] == ["a.py:build", 'odd "name.py:build']


def test_named_models_are_taken_as_they_are_named(project):
    put(project, {"m/a.py": model("one") + model("two"), "m/b.py": model("one")})
    assert tomllib.loads(suite_text(plan_files(project, ["m/*.py:one"])))["models"] == ["m/*.py:one"]
    with pytest.raises(SpecError, match=r"no file m/c\.py"):
        plan_files(project, ["m/c.py:one"])


def test_a_project_without_models_is_told_what_to_name(project):
    put(project, {"a.py": model(arguments="n")})
    with pytest.raises(SpecError, match=r"makes a model without arguments\. Name what does(.|\n)*a\.py:build: needs n"):
        plan_files(project)
    assert sorted(path.name for path in project.iterdir()) == ["a.py"]


def test_nothing_is_overwritten_and_a_second_time_nothing_is_written(project):
    put(project, {"a.py": model(), SUITE_FILE: "mine", "asv.conf.json": "mine"})
    (project / ".github/workflows").mkdir(parents=True)
    (project / WORKFLOW).symlink_to("nowhere")
    files = plan_files(project, with_asv=True, with_pytest=True)
    assert states(files) == {
        SUITE_FILE: "left as it is",
        WORKFLOW: "left as it is",
        ".gitignore": "written",
        "asv.conf.json": "left as it is",
        "benchmarks/__init__.py": "written",
        "benchmarks/bench_gradients.py": "written",
        "bench/pytest_gradients.py": "written",
    }
    write_files(project, files)
    assert (project / SUITE_FILE).read_text() == (project / "asv.conf.json").read_text() == "mine"
    assert not (project / ".github/workflows/nowhere").exists()
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    again = plan_files(project, with_asv=True, with_pytest=True)
    assert set(states(again).values()) == {"left as it is"}
    write_files(project, again)
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_a_file_that_comes_up_meanwhile_stays(project):
    put(project, {"a.py": model()})
    files = plan_files(project)
    put(project, {SUITE_FILE: "somebody's"})
    with pytest.raises(StoreError, match=r"firstgrad\.toml: somebody wrote it just now"):
        write_files(project, files)
    assert (project / SUITE_FILE).read_text() == "somebody's"


@pytest.mark.parametrize(
    ("there", "after"),
    [
        (None, ".asv/\n.firstgrad/\n"),
        ("", ".asv/\n.firstgrad/\n"),
        ("a\n", "a\n.asv/\n.firstgrad/\n"),
        ("a", "a\n.asv/\n.firstgrad/\n"),
        ("/.asv\n", "/.asv\n.firstgrad/\n"),
        ("a\r\n.firstgrad/\r\n", "a\r\n.firstgrad/\r\n.asv/\r\n"),
        (".asv/\n  .firstgrad\nb\n", ".asv/\n  .firstgrad\nb\n"),
        ("#.asv/\n.asvx\n.firstgrad/\n", "#.asv/\n.asvx\n.firstgrad/\n.asv/\n"),
    ],
)
def test_ignore_lines_are_added_once(project, there, after):
    put(project, {"a.py": model(), **({} if there is None else {".gitignore": there})})
    if there is not None:
        (project / ".gitignore").write_bytes(there.encode())
    write_files(project, plan_files(project))
    assert (project / ".gitignore").read_bytes().decode() == after
    write_files(project, plan_files(project))
    assert (project / ".gitignore").read_bytes().decode() == after


def test_ignore_lines_of_an_unreadable_file_are_left(project):
    put(project, {"a.py": model()})
    (project / ".gitignore").write_bytes(b"\xff\xfe")
    (file,) = (one for one in plan_files(project) if one.path == ".gitignore")
    assert (file.state, file.content) == (FileState.KEPT, "")


def test_below_a_repositorys_root_the_workflow_is_left_out(project):
    git(project, "init", "--quiet")
    put(project / "part", {"a.py": model()})
    (file,) = (one for one in plan_files(project / "part") if one.path == WORKFLOW)
    assert file.state is FileState.LEFT_OUT
    assert f"{project}/.github alone" in file.note
    write_files(project / "part", [file])
    assert not list(project.rglob(".github"))


@pytest.mark.parametrize(
    ("extra", "before"),
    [
        ({"pyproject.toml": '[project]\nname = "x"\n'}, ". "),
        ({"setup.py": ""}, ". "),
        ({"pyproject.toml": "[tool.ruff]\n", "requirements.txt": "pymc\n"}, "-r requirements.txt "),
        ({"pyproject.toml": "no = [toml\n"}, ""),
    ],
    ids=["pyproject", "setup", "requirements", "files alone"],
)
@pytest.mark.parametrize("backends", [[BackendName.C], JAX, [BackendName.NUMBA, BackendName.JAX_DIRECT]])
def test_the_workflow_installs_the_project_and_firstgrad_with_what_its_backends_need(project, extra, before, backends):
    put(project, {"a.py": model(), **extra})
    line = install_line(plan_files(project, backends=backends))
    start, _, requirement = line.partition('"')
    assert start == f"python -m pip install {before}"
    wanted, known = Requirement(requirement.strip('"')), tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (wanted.name, str(wanted.specifier)) == ("firstgrad", f"=={known['version']}")
    assert wanted.extras == {"c": set(), "jax": {"jax"}, "numba": {"numba", "jax"}}[backends[0]]
    assert wanted.extras <= known["optional-dependencies"].keys()


def test_no_placeholder_is_left(project):
    put(project, {"a.py": model(), "pyproject.toml": '[project]\nname = "my lib"\n'})
    files = plan_files(project, with_asv=True, with_pytest=True)
    for file in files:
        assert not re.findall(r"@[A-Z]+@", file.content), file.path
    configuration = json.loads(next(file.content for file in files if file.path == "asv.conf.json"))
    assert configuration["project"] == "my-lib"
    assert len(configuration["build_command"]) == 1
    plain = put(project / "plain", {"a.py": model()})
    files = plan_files(plain, with_asv=True)
    assert json.loads(next(file.content for file in files if file.path == "asv.conf.json"))["build_command"] == []


def test_a_dry_run_shows_what_would_be_in_the_files(project):
    put(project, {"a.py": model(), ".gitignore": "x\n"})
    shown = init_result(plan_files(project), is_dry=True).parts
    assert [row[1] for row in shown[0].rows] == ["would be written", "would be written", "lines would be added"]
    lines = [line for part in shown if isinstance(part, Verbatim) for line in part.lines]
    assert {"models = [", "name: firstgrad", *IGNORED} <= set(lines)
