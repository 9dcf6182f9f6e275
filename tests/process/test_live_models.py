"""Live models on their way to workers: from a script, and from a notebook with its cells, displays and interrupts."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from helpers import is_alive, linux_only, wait_for, write_model

pytestmark = pytest.mark.compiles


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    pytest.importorskip("jax")
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("live_model.py")],
        cwd=tmp_path_factory.mktemp("live"),
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_live_model_is_measured_in_a_worker_with_its_own_densities_and_operations(answers):
    assert answers["status"] == "ok", answers["failure"]
    assert (answers["model"], answers["groups"], answers["slope"]) == ("live:slow", 1, False)
    digest, of_another_made_alike, of_another = answers["digests"]
    assert digest == of_another_made_alike != of_another


def test_a_result_can_be_shown_and_taken_apart(answers):
    assert "time to first gradient" in answers["repr"]
    assert answers["html"].startswith('<div class="firstgrad">')
    assert "<td" in answers["html"]
    assert "| time to first gradient" in answers["markdown"].replace("**", "")
    assert answers["frame"] == [{"reference": "live:slow", "backend": "jax", "status": "ok"}]
    assert answers["figure"] == "Figure"


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("lock", "Halved (of term): its attribute helper, a lock (TypeError: cannot pickle '_thread.lock' object)"),
        ("closure", "Halved (of term): its attribute helper, the variable lock around the function <lambda>, a lock"),
    ],
)
def test_what_cannot_be_pickled_is_named(answers, name, where):
    assert f"model: it can't be sent to a worker: {where}" in answers["broken"][name]


CELLS = {
    "model": """
import pymc as pm, pytensor.tensor as pt, firstgrad
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

class Doubled(Op):
    def make_node(self, x):
        return Apply(self, [pt.as_tensor_variable(x)], [pt.dscalar()])
    def perform(self, node, inputs, outputs):
        outputs[0][0] = 2 * inputs[0]

with pm.Model() as cell_model:
    level = pm.Normal("level")
    pm.Potential("term", Doubled()(level))
""",
    "measure": "firstgrad.measure(cell_model, backend='fake')",
    "plot": "firstgrad.measure(cell_model, backend='fake').plot()",
    "lines": """
from firstgrad.backends.live import pack, unpack
import linecache
content = pack(cell_model).content
linecache.cache.clear()
frames = unpack(content, "live:x")["term"].tag.trace[0]
frame = next(frame for frame in frames if "Potential" in frame[3])
print(frame[3], "|", linecache.getline(*frame[:2]).strip())
""",
    "wait": "firstgrad.measure({reference!r}, backend='fake')",
    "after": "print('still here')",
}


@linux_only
def test_a_notebook_shows_progress_and_results_and_can_be_interrupted(tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.chdir(tmp_path)
    pid_file = tmp_path / "pid"
    reference = write_model(
        tmp_path, f"Path({str(pid_file)!r}).write_text(str(os.getpid()))\ntime.sleep(300)\nreturn Model()"
    )
    texts = {name: text.replace("{reference!r}", repr(reference)) for name, text in CELLS.items()}
    cells = {name: nbformat.v4.new_code_cell(text) for name, text in texts.items()}
    client = nbclient.NotebookClient(
        nbformat.v4.new_notebook(cells=list(cells.values())), timeout=100, kernel_name="python3", allow_errors=True
    )
    pids = []

    def interrupt():
        wait_for(lambda: pid_file.exists() and pid_file.read_text(), seconds=90, what="the worker")
        pids.append(int(pid_file.read_text()))
        client.km.provisioner.process.send_signal(2)

    interrupter = threading.Thread(target=interrupt, daemon=True)
    interrupter.start()
    client.execute()
    interrupter.join(timeout=10)

    def outputs(name):
        return [json.loads(json.dumps(one)) for one in cells[name].outputs]

    (progress, result) = outputs("measure")
    assert progress["output_type"] == "display_data"
    assert not progress["data"]["text/plain"].strip()  # it is gone when the result is there
    assert result["data"]["text/html"].startswith('<div class="firstgrad">')
    assert result["data"]["text/plain"].startswith("live:cell_model, fake, dlogp, cold\n")
    assert any("image/png" in one.get("data", {}) for one in outputs("plot"))
    line = 'pm.Potential("term", Doubled()(level))'
    assert outputs("lines")[0]["text"].strip() == f"{line} | {line}"
    assert [one["ename"] for one in outputs("wait") if one["output_type"] == "error"] == ["KeyboardInterrupt"]
    assert outputs("after")[0]["text"].strip() == "still here"
    assert len(pids) == 1
    wait_for(lambda: not is_alive(pids[0]), what="the worker's end")
