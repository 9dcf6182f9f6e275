"""``firstgrad.precompile``: what the next compile finds is all there, and what it would have made itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.compiles
HERE = Path(__file__).parent


def ask(folder: Path, backend: str, way: str) -> dict:
    """Run a user's process with an empty cache of its own."""
    variables = os.environ | {"PYTENSOR_FLAGS": f"base_compiledir={folder / way}", "PYTHONPATH": str(HERE)}
    command = [sys.executable, str(HERE / "precompiled_parent.py"), backend, way]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("backend", ["numba", "c"])
def test_the_next_compile_finds_all_and_computes_the_same_bits(tmp_path, backend):
    alone, ahead = ask(tmp_path, backend, "alone"), ask(tmp_path, backend, "ahead")
    assert (alone["known"], alone["read"]) == (0, 0)
    assert alone["written"] > 3, "an empty cache is filled"
    assert ahead["known"] >= ahead["entries"], "PyTensor's own helpers lie there, too"
    assert ahead["known"] >= alone["written"]
    assert (ahead["contradiction"], ahead["written"]) == (None, 0)
    assert ahead["read"] > 0
    assert (ahead["failed"], ahead["left"]) == (False, [])
    # Not those of the process that compiled: Numba's code, loaded from its cache, may round otherwise.
    again = ask(tmp_path, backend, "alone")
    assert (again["contradiction"], again["read"]) == (None, ahead["read"])
    assert ahead["values"] == again["values"]
    assert ahead["children"] == [0, 1], "both processes compile"
    assert ahead["columns"] == ["name", "child", "wall_seconds", "compiled", "left"]
    assert f"compiled for {backend}" in ahead["repr"]
    if backend == "numba":
        assert ahead["peak"] < alone["peak"], "the compilers' memory died with the children"


def test_a_unit_that_cannot_be_compiled_is_named_and_the_others_are_kept(tmp_path):
    told = ask(tmp_path, "numba", "broken")
    assert told["failed"]
    assert told["entries"] > 0
    (name, why), *rest = told["left"]
    assert name.startswith("add_to_text")
    assert "No implementation of function" in why
    assert all(f"needs {name}" in reason for _, reason in rest)
    assert name in told["repr"]
