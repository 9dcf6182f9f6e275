"""What is recorded is what was imported: a folder that a worker happens to run in changes nothing, a clone is named."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from builders import git, run_firstgrad
from firstgrad.case import BackendName
from firstgrad.measuring.environment import describe_environment, packages_here, source_folder
from firstgrad.measuring.interpreter import ask_interpreter
from firstgrad.measuring.launch import measure
from firstgrad.pose.spec import PoseSpec
from firstgrad.record import Status
from firstgrad.store import Store
from helpers import linux_only, make_case, write_model

pytestmark = linux_only

IMPORTING = "import pymc; assert pymc.__version__ == '9.9.9', pymc.__version__; return Model()"
NEIGHBOURS = (
    "random.py",
    "types.py",
    "json.py",
    "numpy.py",
    "subprocess.py",
    "psutil.py",
    "cattrs.py",
    "sitecustomize.py",
)


def run(reference, **options):
    (record,) = measure(make_case(reference, time_limit_seconds=60.0), **options)
    return record


def write_clone(folder, name="pymc", *, version="9.9.9"):
    """A flat clone with one commit, as developers have it."""
    package = folder / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"__version__ = {version!r}\n")
    (package / "other.py").write_text("")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return package


@pytest.fixture
def clone(tmp_path):
    """A clone of PyMC that nobody asked for yet."""
    return write_clone(tmp_path / "clone")


@pytest.fixture
def asked_for(clone, monkeypatch):
    """The same, named in PYTHONPATH."""
    monkeypatch.setenv("PYTHONPATH", str(clone.parent))
    return clone


@pytest.fixture
def traps(tmp_path):
    """A folder of modules that none but Python's own search would take for others, and each of which tells."""
    folder = tmp_path / "traps"
    for name in ("firstgrad", "pymc", "pytensor", "jax"):
        write_clone(folder / f"of-{name}", name)
        (folder / f"of-{name}" / name).rename(folder / name)
    told = folder / "told"
    for path in (*(folder / name for name in NEIGHBOURS), *folder.glob("*/__init__.py")):
        path.write_text(f"open({str(told)!r}, 'a').write(__name__ + chr(10)); raise RuntimeError(__file__)\n")
    return folder


def test_the_present_folder_is_not_searched_by_accident(traps, tmp_path, monkeypatch):
    write_model(traps, "import helper, random, json, numpy, wave; numpy.zeros(random.randint(1, 2)); return Model()")
    (traps / "helper.py").write_text("import random, types")
    (traps / "wave.py").write_text("raise RuntimeError('nor what the standard library has and nobody imported yet')")
    words = ("measure", "user_model.py:build", "--backend", "fake", "--store", "s.sqlite")
    done = run_firstgrad(*words, cwd=traps)
    assert (done.returncode, (traps / "told").exists()) == (0, False), done.stderr
    with Store.open(traps / "s.sqlite") as store:
        (record,) = store.records()
    assert (record.status, record.environment.clones) == (Status.OK, ())
    # Another Python, asked and started there, with a path whose empty parts nobody meant.
    monkeypatch.chdir(traps)
    monkeypatch.setenv("PYTHONPATH", f":{tmp_path / 'absent'}:")
    interpreter = replace(ask_interpreter(Path(sys.executable)), folder=traps)
    assert run("user_model.py:build", interpreter=interpreter).failure is None
    assert not (traps / "told").exists()


def test_a_module_of_the_present_folder_is_found_beside_what_must_not_be(traps, monkeypatch):
    monkeypatch.chdir(traps)
    for name in ("of_mine", "code"):  # the second is one of Python's own, too
        (traps / name).mkdir()
        (traps / name / "__init__.py").touch()
        write_model(traps / name, "import json; json.dumps(1); return Model()", name="models")
        record = run(f"{name}.models:build")
        assert (record.status, record.failure, (traps / "told").exists()) == (Status.OK, None, False)


@pytest.mark.compiles
def test_the_installed_pymc_is_measured_in_the_root_of_a_clone(traps, monkeypatch):
    monkeypatch.chdir(traps)
    case = replace(make_case(), model=PoseSpec(n_timesteps=2, n_directions=1), backend=BackendName.JAX_QUICK)
    (record,) = measure(case)
    assert (record.status, record.failure, record.environment.clones) == (Status.OK, None, ())
    assert not (traps / "told").exists()


def test_a_clone_that_is_asked_for_is_named_with_its_version_and_commit(asked_for, tmp_path):
    announced = describe_environment()
    record = run(write_model(tmp_path, IMPORTING))
    (kept,) = record.environment.clones
    assert (record.status, record.failure) == (Status.OK, None)
    assert dict(record.environment.versions)["pymc"] == "9.9.9"
    commit = git(asked_for, "rev-parse", "HEAD")
    assert (kept.name, kept.folder, kept.git_commit, kept.changes) == ("pymc", str(asked_for), commit, "")
    assert dict(record.environment.packages)["pymc"] == f"git {commit}"
    assert replace(announced, bytecode=record.environment.bytecode).conditions == record.environment.conditions
    doctor = run_firstgrad("doctor", "--json", cwd=tmp_path)
    assert f"{asked_for}: git {commit}" in {each["found"] for each in json.loads(doctor.stdout)}


def test_states_of_a_clone_are_unlike_conditions_wherever_it_lies(asked_for, tmp_path, monkeypatch):
    def state(*, measured=True):
        environment = run(write_model(tmp_path, IMPORTING)).environment if measured else describe_environment()
        assert replace(environment, clones=()).conditions != environment.conditions or not environment.clones
        return dict(environment.packages)["pymc"]

    seen = [state()]
    (asked_for / "other.py").write_text("changed = True")
    seen.append(state())
    (asked_for / "other.py").write_text("changed = 'again'")
    seen.append(state())
    git(asked_for.parent, "commit", "--quiet", "--all", "--message", "second")
    seen.append(state())
    (asked_for / "new.py").write_text("")  # git doesn't know it
    seen.append(state())
    monkeypatch.delenv("PYTHONPATH")
    seen.append(state(measured=False))
    assert len(set(seen)) == len(seen)

    git(asked_for.parent, "worktree", "add", "--quiet", str(tmp_path / "elsewhere"), "HEAD~1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "elsewhere"))
    assert state() == seen[0]


def test_a_clone_without_git_is_known_by_its_files(asked_for, tmp_path):
    (asked_for.parent / ".git").rename(tmp_path / "no-git")
    (first,) = run(write_model(tmp_path, IMPORTING)).environment.clones
    (asked_for / "__pycache__").mkdir(exist_ok=True)
    (asked_for / "__pycache__" / "other.pyc").touch()
    (asked_for / ".other.py.swp").touch()
    assert run(write_model(tmp_path, IMPORTING)).environment.clones == (first,)
    (asked_for / "other.py").write_text("changed = True")
    (second,) = run(write_model(tmp_path, IMPORTING)).environment.clones
    assert first.git_commit == second.git_commit == ""
    assert first.changes != second.changes


def test_what_git_ignores_is_not_of_its_commit(asked_for, tmp_path):
    git(asked_for.parent, "rm", "-r", "--quiet", "--cached", "pymc")
    (asked_for.parent / ".gitignore").write_text("pymc")
    git(asked_for.parent, "commit", "--quiet", "--all", "--message", "not mine")
    (kept,) = run(write_model(tmp_path, IMPORTING)).environment.clones
    assert (kept.git_commit, bool(kept.changes)) == ("", True)


def test_a_clone_that_is_installed_for_editing_is_one_and_what_is_installed_is_none(clone, tmp_path):
    folder = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    here = dict.fromkeys(str(Path(path).resolve()) for path in sys.path if path.endswith("site-packages"))
    (site / "a.pth").write_text("\n".join([str(clone.parent), *here]))
    for name in ("pymc-9.0.dist-info", "numba-0.0.7.dist-info"):
        (site / name).mkdir()
        package, _, version = name.removesuffix(".dist-info").partition("-")
        (site / name / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        (site / name / "RECORD").touch()
    (site / "numba").mkdir()
    (site / "numba" / "__init__.py").write_text("__version__ = '0.0.7+local'")
    model = write_model(tmp_path, f"import numba; {IMPORTING}")
    record = run(model, interpreter=ask_interpreter(folder))
    assert (record.status, record.failure) == (Status.OK, None)
    assert [kept.folder for kept in record.environment.clones] == [str(clone)]
    versions = dict(record.environment.versions)
    assert (versions["pymc"], versions["numba"]) == ("9.9.9", "0.0.7")

    (site / "numba" / "__init__.py").write_text("__version__ = '0.0.8'")
    failure = run(model, interpreter=ask_interpreter(folder)).failure
    assert failure.kind == "OtherImport"
    assert f"numba in {site / 'numba'} says that it is 0.0.8, and 0.0.7 is installed there" in failure.message


def test_what_was_imported_from_elsewhere_is_a_failure_that_names_both_places(clone, tmp_path):
    (installed,) = (package.folder for package in packages_here() if package.name == "pymc")
    record = run(write_model(tmp_path, f"sys.path.insert(0, {str(clone.parent)!r}); {IMPORTING}"))
    assert (record.status, record.failure.kind) == (Status.FAILED, "OtherImport")
    for words in (
        f"pymc 9.9.9 was imported from {clone}",
        f"announced was {installed}",
        "name its folder in PYTHONPATH",
    ):
        assert words in record.failure.message


def test_another_firstgrad_does_not_answer_for_this_one(tmp_path, monkeypatch):
    package = tmp_path / "path" / "firstgrad"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"__path__.append({str(source_folder())!r})")
    model = write_model(tmp_path, "return Model()")
    assert run(model).failure is None
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    failure = run(model).failure
    assert failure.kind == "OtherImport"
    assert str(package) in failure.message
    assert str(source_folder()) in failure.message


def test_a_clone_that_changes_while_it_is_measured_is_a_failure(asked_for, tmp_path):
    (asked_for / "__pycache__").mkdir(exist_ok=True)
    body = f"Path({str(asked_for / '__pycache__' / 'x.pyc')!r}).touch(); {IMPORTING}"
    assert run(write_model(tmp_path, body)).failure is None
    body = f"Path({str(asked_for / 'other.py')!r}).write_text('changed = True'); {IMPORTING}"
    failure = run(write_model(tmp_path, body)).failure
    assert (failure.kind, f"the sources of pymc in {asked_for} were git" in failure.message) == ("OtherImport", True)
