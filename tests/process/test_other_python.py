"""Measuring with another Python: its packages are described, this firstgrad measures, in the folder of the side."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from firstgrad.case import Scenario
from firstgrad.errors import PythonEnvironmentError, SpecError
from firstgrad.measuring.interpreter import ask_interpreter, require_same_protocol, source_folder
from firstgrad.measuring.launch import measure
from firstgrad.record import Status
from helpers import linux_only, make_case, write_model

pytestmark = linux_only

WHERE = """
import firstgrad, cattrs, os
seen = firstgrad.__file__
Path({log!r}).write_text("\\n".join([sys.prefix, seen, os.path.realpath(seen), cattrs.__file__, os.getcwd()]))
return Model()
"""


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """An environment of its own, which sees this one's packages, and has one of another version in front."""
    folder = tmp_path_factory.mktemp("other") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    here = {str(Path(path).resolve()) for path in sys.path if path.endswith("site-packages")}
    (site / "here.pth").write_text("\n".join(here))
    information = site / "numba-0.0.7.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: numba\nVersion: 0.0.7\n")
    return folder


def test_another_pythons_packages_are_described_and_this_firstgrad_measures(other, tmp_path):
    interpreter = ask_interpreter(other)
    assert dict(interpreter.describe().versions)["numba"] == "0.0.7"
    log = tmp_path / "log"
    (tmp_path / "elsewhere").mkdir()
    write_model(tmp_path / "elsewhere", WHERE.format(log=str(log)))
    case = make_case("user_model.py:build")  # seen from the side's folder
    (record,) = measure(case, label="other", interpreter=replace(interpreter, folder=tmp_path / "elsewhere"))
    assert (record.status, record.failure) == (Status.OK, None)
    assert record.environment.versions == interpreter.describe().versions
    assert record.environment.label == "other"
    assert record.memory.peak_rss_bytes > 0
    prefix, seen, own, cattrs, folder = log.read_text().splitlines()
    assert (prefix, folder) == (str(other), str(tmp_path / "elsewhere"))
    assert Path(own) == source_folder() / "__init__.py"
    assert seen != own  # through a folder that holds nothing else
    assert "site-packages" in cattrs


def test_warm_samples_of_another_python_are_proven(other, tmp_path):
    case = replace(make_case(write_model(tmp_path, "return Model()")), scenario=Scenario.WARM)
    (record,) = measure(case, interpreter=ask_interpreter(other), keep_filled=tmp_path / "kept")
    assert record.caches.is_proven
    assert (tmp_path / "kept").is_dir()


def test_the_users_search_path_stays_behind_firstgrad(other, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    variables = ask_interpreter(other).variables(tmp_path, {"PYTHONPATH": str(tmp_path)})
    assert variables["PYTHONPATH"] == f"{tmp_path / 'path'}:{tmp_path}"
    assert [entry.name for entry in (tmp_path / "path").iterdir()] == ["firstgrad"]
    own = replace(ask_interpreter(other), has_own_firstgrad=True)
    assert own.variables(tmp_path, {"HOME": "/h"}) == {"HOME": "/h"}
    with pytest.raises(SpecError, match=r"TMPDIR: .* has a ':'"):
        ask_interpreter(other).variables(tmp_path / "a:b" / "firstgrad-x", {})


def test_a_python_without_what_a_worker_needs_is_refused_with_the_next_step(tmp_path):
    folder = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    with pytest.raises(PythonEnvironmentError, match=r"lacks cattrs, numpy, psutil.*pip install cattrs numpy psutil"):
        ask_interpreter(folder)


def test_what_is_no_python_is_refused(tmp_path):
    for path, said in ((tmp_path, "does not run"), (Path("/bin/false"), "ended with 1")):
        with pytest.raises(PythonEnvironmentError, match=said):
            ask_interpreter(path)


def test_an_older_python_is_refused(tmp_path):
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\necho \'{"version": "3.9.1", "is_old": true, "packages": {}, "missing": []}\'\n')
    old.chmod(0o755)
    with pytest.raises(PythonEnvironmentError, match=r"is Python 3\.9\.1.*python3\.12"):
        ask_interpreter(old)


def test_a_firstgrad_that_understands_this_ones_tasks_is_taken_and_another_is_not(tmp_path):
    here = ask_interpreter(Path(sys.executable), has_own_firstgrad=True)
    require_same_protocol(here)
    package = tmp_path / "firstgrad"
    package.mkdir()
    (package / "__init__.py").touch()
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with pytest.raises(PythonEnvironmentError, match=r"another protocol.*No module named"):
        require_same_protocol(replace(here, python=python))
