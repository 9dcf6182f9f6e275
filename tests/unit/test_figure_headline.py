from __future__ import annotations

import json
from dataclasses import replace

import pytest

from firstgrad.case import BackendName
from firstgrad.estimates import estimate_median
from firstgrad.figures.headline import Way, describe_headline, draw_headline, read_ways
from firstgrad.spec import Formulation, HmmSpec, PoseSpec
from firstgrad.store import export_jsonl
from helpers import make_case, make_record


def way(name, has_hmm, *seconds):
    return Way(name=name, has_hmm=has_hmm, seconds=estimate_median(seconds))


WAYS = (
    way("fast", False, 1.0, 1.2, 1.4),
    way("default", False, 60.0, 65.0),
    way("default", True, 110.0),
    way("fast", True, 3.0),
)


def test_a_panel_without_and_with_an_hmm_and_the_slowest_way_first():
    without, with_hmm = draw_headline(WAYS).axes
    assert (without.get_title(loc="left"), with_hmm.get_title(loc="left")) == ("no HMM", "HMM on")
    assert [label.get_text() for label in without.get_yticklabels()] == ["default", "fast"]
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in without.lines if len(line.get_xdata()) == 1]
    assert dots == [(1.2, 1), (62.5, 0)]


def test_the_description_has_every_number():
    told = describe_headline(WAYS)
    assert "Without an HMM: default 62.5 s, fast 1.20 s. With an HMM: default 110 s, fast 3.00 s." in told


def test_records_and_densities_by_hand_are_read(tmp_path):
    spec = PoseSpec(hmm=HmmSpec(n_states=2), formulation=Formulation.VECTORISED)
    record = make_record(case=make_case(model=spec, backend=BackendName.JAX))
    export_jsonl([replace(record, time_to_first_gradient_seconds=3.5)], tmp_path / "headline.jsonl")
    stages = [{"name": "import", "wall_seconds": 9.0}, {"name": "trace", "wall_seconds": 0.5}]
    stages.append({"name": "compile", "wall_seconds": 1.0})
    by_hand = [["JAX, plain", 0, {"stages": stages}], ["numba, warm", 0, {"stages": stages}]]
    (tmp_path / "headline.json").write_text(json.dumps(by_hand))
    found = {(each.name, each.has_hmm): each.seconds.value for each in read_ways(tmp_path)}
    assert found == {("vectorised, jax", True): 3.5, ("JAX, plain, by hand", False): 1.5}


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="no way"):
        draw_headline(())
