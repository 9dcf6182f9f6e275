"""The figures that only this project's documentation has: finiteness, the headline, power; and all of them by make."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.figures.finiteness import finiteness_picture
from benchmarks.figures.headline import headline_picture
from benchmarks.figures.power import PowerPoint, power_picture, read_power
from benchmarks.headline.sides import Quantity, Size, Way
from benchmarks.headline.table import Sample
from drawn import texts, title, widths
from firstgrad.case import BackendName
from firstgrad.pose.spec import Missing, PoseSpec
from firstgrad.record import GroupFiniteness
from firstgrad.store import export_jsonl, import_jsonl
from helpers import make_case, make_record
from planted import along_releases
from planted_sweep import planted_records

ROOT = Path(__file__).parents[2]


def planted(missing, nan):
    record = make_record(case=make_case(model=PoseSpec(missing=missing)))
    groups = (
        GroupFiniteness(group="rho", values=5, nan=0, infinite=0),
        GroupFiniteness(group="raw_u_1", values=300, nan=nan, infinite=0),
    )
    return replace(record, check=replace(record.check, finiteness=groups))


def test_a_panel_a_record_and_a_bar_a_group():
    records = [planted(Missing.NAIVE, 75), planted(Missing.SAFE, 0)]
    naive, safe = finiteness_picture(records).draw().axes
    assert title(naive) == "masked after the arithmetic:\n75 of 305 not finite"
    assert title(safe) == "masked before it:\n0 of 305 not finite"
    assert widths(naive) == [1.0, 0.75, 0.0, 0.25]
    assert "75 of 300" in texts(naive)
    told = finiteness_picture(records).description
    assert "masked after the arithmetic: 75 of 305 not finite (raw_u_1 75 of 300)" in told
    assert "masked before it: 0 of 305 not finite." in told


def headline(way, quantity, states, *seconds):
    size = Size(directions=5, states=states)
    return [
        Sample(way=way, size=size, quantity=quantity, round=number, wall=wall) for number, wall in enumerate(seconds)
    ]


HEADLINE = (
    *headline(Way.FIRSTGRAD, Quantity.FIRST_GRADIENT, 0, 1.0, 1.2, 1.4),
    *headline(Way.DEFAULT, Quantity.FIRST_GRADIENT, 0, 60.0, 65.0),
    *headline(Way.DEFAULT, Quantity.SECOND_DRAW, 2, 20.0),
    *headline(Way.LOOPS, Quantity.FIRST_GRADIENT, 0, 3.0),
)


def test_the_headline_has_a_row_a_quantity_and_a_panel_without_and_with_an_hmm():
    without, with_hmm = headline_picture(HEADLINE).draw().axes
    assert (title(without), title(with_hmm)) == ("K=5, no HMM", "K=5, HMM on, S=2")
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in without.lines if len(line.get_xdata()) == 1]
    assert dots == [(62.5, 0), (1.2, 0)]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in with_hmm.lines][1:] == [(20.0, 3)]
    told = headline_picture(HEADLINE).description
    assert "K=5, no HMM, first gradient: PyMC's default 62.5 s, firstgrad 1.20 s. " in told
    assert "K=5, HMM on, S=2, first draw, second process: PyMC's default 20.0 s." in told


POINTS = tuple(
    PowerPoint(tool=tool, factor=factor, rounds=rounds, hits=rounds * steep, trials=100)
    for factor in (1.05, 1.1)
    for tool, steep in (("firstgrad compare", 3), ("asv", 1))
    for rounds in (3, 10, 30)
)


def test_a_panel_a_slowdown_and_a_line_a_tool_with_its_own_marker():
    panels = power_picture(POINTS).draw().axes
    assert [title(axes) for axes in panels] == ["HEAD slower by 5%", "HEAD slower by 10%"]
    for axes in panels:
        lines = [line for line in axes.get_lines() if list(line.get_xdata()) == [3, 10, 30]]
        assert [list(line.get_ydata()) for line in lines] == [[0.09, 0.3, 0.9], [0.03, 0.1, 0.3]]
        assert len({line.get_marker() for line in lines}) == 2
    assert set(texts(panels[-1])) == {"firstgrad compare", "asv"}
    told = power_picture(POINTS).description
    assert "HEAD slower by 5%: firstgrad compare: 9% with 3, 30% with 10, 90% with 30; asv: 3% with 3" in told


def test_what_the_judge_wrote_is_read(tmp_path):
    path = tmp_path / "report.json"
    point = {"tool": "asv", "factor": 1.05, "rounds": 3, "found": {"hits": 3, "trials": 100}}
    path.write_text(json.dumps({"curve": [point], "tools": []}))
    assert read_power(path) == (POINTS[3],)


@pytest.mark.parametrize(
    ("picture", "problem"),
    [(finiteness_picture, "no groups"), (headline_picture, "no sample"), (power_picture, "no trials")],
)
def test_nothing_to_draw_is_refused(picture, problem):
    with pytest.raises(ValueError, match=problem):
        picture(())


def test_make_plots_draws_what_the_data_folder_has(tmp_path):
    data, plots = tmp_path / "data", tmp_path / "plots"
    command = [sys.executable, "-m", "benchmarks.figures", plots, data]
    export_jsonl(import_jsonl(ROOT / "docs/data/first-gradient.jsonl"), data / "first-gradient.jsonl")
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    assert {path.name for path in plots.iterdir()} == {"phases.png", "phases.svg"}
    export_jsonl(along_releases(), data / "releases.jsonl")
    export_jsonl(planted_records(2, backends=(BackendName.JAX, BackendName.NUMBA)), data / "growth.jsonl")
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    names = {path.stem for path in plots.glob("*.svg")}
    assert names == {
        "phases", "releases", "scaling-timesteps-jax-cold", "scaling-timesteps-numba-cold",
        "scaling-directions-jax-cold", "ratio-hmm", "phases-scenarios", "memory", "breakeven",
    }  # fmt: skip
    assert str(plots / "breakeven.png") in done.stdout
