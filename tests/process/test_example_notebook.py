"""The example notebooks, executed as a reader would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.compiles

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"


def test_a_slow_model_becomes_a_fast_one(tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("jax")
    notebook = nbformat.read(FOLDER / "slow_to_fast.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    told = nbformat.v4.new_code_cell(
        "import json\n"
        "slow_seconds, fast_seconds = frame['time_to_first_gradient']\n"
        "print(json.dumps({'found': [str(one.name) for one in found.findings],"
        " 'left': left.report.is_clean, 'line': found.findings[0].lines[0].text, 'told': repr(found),"
        " 'ratio': slow_seconds / fast_seconds, 'statuses': [r.status for r in (*before.records, *after.records)],"
        " 'checked': checked.record.check.slope.differs}))"
    )
    notebook.cells.append(told)
    monkeypatch.chdir(tmp_path)
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3").execute()
    answer = json.loads(told.outputs[-1]["text"])
    assert "same-subgraph" in answer["found"]
    assert answer["line"].startswith("concentration = concentration + dose / volume")
    assert "the cell, line 8" in answer["told"]
    assert answer["left"]
    assert answer["statuses"] == ["ok", "ok"]
    assert not answer["checked"]
    assert answer["ratio"] > 1.5
