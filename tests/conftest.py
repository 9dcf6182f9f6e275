"""Settings for all tests: private compile caches, set before anything imports PyTensor."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from firstgrad.measuring.private import worker_variables
from golden.kept import Golden

# In-process compiles of the contract tests go into a folder of their own, never into the user's.
_FOLDER = Path(tempfile.mkdtemp(prefix="firstgrad-tests-"))
for _name in ("caches", "tmp"):
    (_FOLDER / _name).mkdir()
_WANTED = worker_variables(_FOLDER, os.environ)
_WANTED.pop("TMPDIR")
_WANTED.pop("PYTHONHASHSEED")
_WANTED["FIRSTGRAD_CACHE"] = "0"  # tests count compiles; those of what is kept switch it on
os.environ.update(_WANTED)
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)

# Programs that tests start are on their own: pytest-benchmark measures nothing where it sees xdist's variables.
for _name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
    del os.environ[_name]

# A shell's background jobs ignore Ctrl-C, and so does all that they start; tests of Ctrl-C need it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SECONDS_OF_A_COMPILE = 450
"""A test that compiles may take so long, on a machine that does other things too; all others 120 s (pyproject.toml)."""


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("compiles") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SECONDS_OF_A_COMPILE))


def pytest_addoption(parser):
    parser.addoption("--golden-update", action="store_true", help="keep what tests/golden sees now as what it expects")


@pytest.fixture
def golden(pytestconfig):
    """Compare with the files in tests/golden/files, or with --golden-update keep them."""
    return Golden(update=pytestconfig.getoption("--golden-update"))
