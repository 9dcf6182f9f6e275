"""The display around real compiles, in processes of their own: what it sees, and that it leaves nothing behind."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

import pyte
import pytest

from firstgrad.measuring.private import worker_variables
from firstgrad.observe.events import Stage
from helpers import linux_only

SCRIPT = Path(__file__).with_name("compile_with_progress.py")
ROWS, COLUMNS = 20, 100
LIMIT_SECONDS = 300.0

pytestmark = [pytest.mark.compiles, linux_only]


def surroundings(folder: Path) -> dict[str, str]:
    for name in ("caches", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    return worker_variables(folder, os.environ) | {"XDG_CACHE_HOME": str(folder / "user"), "TERM": "xterm-256color"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Run the script once for each backend and way to end."""

    @cache
    def run(backend: str, how: str = "plain"):
        folder = tmp_path_factory.mktemp(f"{backend}-{how}")
        done = subprocess.run(
            [sys.executable, str(SCRIPT), backend, how],
            env=surroundings(folder),
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1]), done.stderr, folder

    return run


BACKENDS = pytest.mark.parametrize(
    ("backend", "kind"), [("jax", "xla_module"), ("numba", "jitted_function"), ("c", "c_module")]
)


@BACKENDS
def test_stages_and_units_of_a_cold_compile_are_seen(compiled, backend, kind):
    told, _, _ = compiled(backend)
    assert {Stage.REWRITE, Stage.LINK} <= set(told["looks"])
    assert told["units"][kind] > 0
    if backend != "c":
        assert Stage.FIRST_CALL in told["looks"]


@BACKENDS
def test_few_looks_find_nothing_known(compiled, backend, kind):
    del kind
    looks = compiled(backend)[0]["looks"]
    assert looks.get(Stage.OTHER, 0) < 0.1 * sum(looks.values())


@BACKENDS
def test_results_are_the_same_to_the_last_bit(compiled, backend, kind):
    del kind
    assert compiled(backend)[0]["equal"]


@BACKENDS
def test_nothing_is_left_behind(compiled, backend, kind):
    del kind
    left = compiled(backend)[0]
    assert left["after"]["threads"] == []
    assert left["after"]["streams"] == [True, True]
    assert left["after"]["handlers"] == left["before"]["handlers"]
    assert left["after"].get("numba", 0) == 0
    if backend == "jax":
        # What JAX itself registers (none, to date) counts as well: ours come on top of it and must be gone.
        assert left["after"]["jax"] == left["before"].get("jax", left["after"]["jax"])


@pytest.mark.parametrize(("how", "raised"), [("error", "ValueError"), ("interrupt", "KeyboardInterrupt")])
def test_an_end_by_an_exception_leaves_nothing_behind(compiled, how, raised):
    told, stderr, folder = compiled("jax", how)
    assert told["raised"] == raised
    assert told["after"]["threads"] == []
    assert told["after"]["jax"] == [0, 0]
    # JAX's callback of the garbage collector may swallow a Ctrl-C, and says so: the script sends another.
    assert stderr.count("Traceback") == stderr.count("Exception ignored in")
    assert not (folder / "user" / "firstgrad").exists(), "only a compile that came to its end is remembered"


@BACKENDS
def test_a_log_has_lines_of_stages_and_a_conclusion(compiled, backend, kind):
    del kind
    text = compiled(backend)[1]
    lines = [line for line in text.splitlines() if line.startswith("tiny: ")]
    assert len(lines) >= 2
    assert "s in all" in lines[0]
    assert lines[-1].startswith("tiny: done in ")
    assert "compiled" in lines[-1]
    _, _, sentences = text.partition(f"{lines[-1]}\n")
    assert " took " in sentences.partition("\n")[0], "as firstgrad trace says it"


def test_a_finished_compile_is_remembered(compiled):
    _, _, folder = compiled("jax")
    (line,) = (folder / "user" / "firstgrad" / "compiles.jsonl").read_text().splitlines()
    run = json.loads(line)
    assert (run["backend"], run["device"]) == ("jax", "cpu")
    assert run["seconds"] > 0


def in_terminal(argv: list[str], folder: Path) -> tuple[set[str], list[str]]:
    """Run a program in a pseudo terminal; return all rows that were ever shown, and the last screen."""
    # No fork of this process: other tests imported JAX, whose threads don't survive one.
    terminal, its_side = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    ends = {"stdin": its_side, "stdout": its_side, "stderr": its_side}
    process = subprocess.Popen(argv, env=surroundings(folder), start_new_session=True, **ends)
    os.close(its_side)
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    seen: set[str] = set()
    killer = threading.Timer(LIMIT_SECONDS, process.kill)
    killer.daemon = True  # it must not hold this process up
    killer.start()
    with suppress(OSError):  # as a terminal that everyone has left reads
        while part := os.read(terminal, 65536):
            stream.feed(part)
            seen.update(row.rstrip() for row in screen.display)
    os.close(terminal)
    assert process.wait() == 0
    killer.cancel()
    return seen, [row.rstrip() for row in screen.display]


def test_a_terminal_shows_a_live_line_and_is_left_clean(tmp_path):
    seen, last = in_terminal([sys.executable, str(SCRIPT), "jax", "plain"], tmp_path)
    assert any("tiny: link and compile" in row for row in seen)
    assert any("s in all" in row and "MiB" in row for row in seen)
    assert not any("tiny: " in row or "s in all" in row for row in last)
    assert any(" took " in row for row in last), "as firstgrad trace says it"


NOTEBOOK = """
import firstgrad, numpy as np, pymc as pm
with pm.Model() as model:
    x = pm.Normal("x", 0, 1, shape=3)
with firstgrad.compile_progress(model, title="cell", history=False):
    model.compile_dlogp(mode="JAX")(model.initial_point())
"""


def test_a_notebook_updates_one_output_and_keeps_the_conclusion(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    for name, value in surroundings(tmp_path).items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK)])
    nbclient.NotebookClient(notebook, timeout=int(LIMIT_SECONDS), kernel_name="python3").execute()
    shown = [output for output in notebook.cells[0].outputs if output.output_type == "display_data"]
    assert len(shown) == 1
    assert shown[0]["data"]["text/plain"].startswith("cell: done in ")
