"""Which of the user's lines each node is of, on a model of which it is known: forward, backward, after rewriting."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from firstgrad.case import BackendName, Target
from firstgrad.observe.line_counts import LineCounter
from firstgrad.observe.lines import NodeLines, deep_traces, users_frames, walk
from firstgrad.phase import Phase

MODEL = Path(__file__).with_name("lined_model.py")
LINES = {
    text.split("# LINE ")[1]: number
    for number, text in enumerate(MODEL.read_text(encoding="utf-8").splitlines(), start=1)
    if "# LINE" in text
}


@pytest.fixture(scope="module")
def graphs():
    """The model's log-density, its gradient, and what a compile makes of both."""
    import pytensor
    from tests.contract.lined_model import build

    from firstgrad.backends import load_backend
    from firstgrad.backends.base import BuiltModel

    with deep_traces():
        model = build()
    lines = NodeLines(model)
    with lines.following():
        logp = model.logp()
        lines.mark_density(logp)
        cost, gradient = outputs = load_backend(BackendName.C).grad_graph(
            BuiltModel(model, None), logp, Target.LOGP_DLOGP
        )
        function = pytensor.function(model.value_vars, outputs, mode=pytensor.compile.mode.Mode("py", "fast_run"))
    assert lines.problems == []
    return SimpleNamespace(
        lines=lines,
        model=model,
        logp=logp,
        cost=cost,
        density=list(walk([logp])),
        gradient=[node for node in walk([gradient]) if node not in set(walk([cost]))],
        compiled=function.maker.fgraph.toposort(),
    )


def named(graphs, nodes):
    """Count nodes by the name of their line."""
    names = {number: name for name, number in LINES.items()}
    lines = (graphs.lines.of(node) for node in nodes)
    return Counter(names.get(one[0].line, one[0].text) if one else None for one in lines)


def test_a_density_has_the_lines_of_its_variables_and_of_the_user(graphs):
    count = named(graphs, graphs.density)
    assert set(count) - {None, "total = slope * x"} == set(LINES) | {"steps = pytensor.scan("}
    assert count[None] == 1  # the sum of all terms
    sines = [node for node in graphs.density if str(node.op) == "Sin"]
    assert named(graphs, sines) == {"loop": 30}


def test_the_transform_of_a_variable_has_the_variable_s_line(graphs):
    value = graphs.model.rvs_to_values[graphs.model["scale"]]
    of_value = [node for node in graphs.density if value in node.inputs]
    assert len(of_value) > 1
    assert set(named(graphs, of_value)) == {"scale"}


def test_a_gradient_s_nodes_have_the_lines_of_what_they_differentiate(graphs):
    count = named(graphs, graphs.gradient)
    assert count[None] < 10  # of the sum of all terms, and what joins the parts
    cosines = [node for node in graphs.gradient if str(node.op) == "Cos"]
    assert named(graphs, cosines) == {"loop": 30}
    assert count["loop"] > count.total() / 2
    assert count["seen"]
    assert count["soft"]


def test_what_rewrites_make_has_the_lines_of_what_it_stands_for(graphs):
    assert graphs.lines.share(graphs.compiled) > 0.9
    graphs.lines.fill(graphs.compiled)
    assert graphs.lines.share(graphs.compiled) > 0.95
    names = {number: name for name, number in LINES.items()}
    origins = Counter(
        names.get(lines[0].line)
        for node in graphs.compiled
        for lines in graphs.lines.origins(node)
        if type(node.op).__name__ == "Elemwise"
    )
    assert origins["loop"] > 30


def test_a_scan_has_the_line_that_calls_it(graphs):
    scan = next(node for node in graphs.density if type(node.op).__name__ == "Scan")
    assert graphs.lines.of(scan)[0].text == "steps = pytensor.scan("


def test_outer_frames_come_after_inner_ones(graphs):
    soft = next(node for node in graphs.density if graphs.lines.of(node)[0].line == LINES["soft"])
    assert [line.line for line in graphs.lines.of(soft)][:2] == [LINES["soft"], LINES["curb"]]
    assert graphs.lines.of(soft)[0].text == "return pt.log1p(pt.exp(value))  # LINE soft"


def test_what_the_user_wrote_is_told_from_what_pymc_wrote_for_a_line(graphs):
    by_line = {graphs.lines.of(node)[0].line: node for node in graphs.density if graphs.lines.of(node)}
    assert graphs.lines.is_own(by_line[LINES["soft"]])
    assert not graphs.lines.is_own(by_line[LINES["slope"]])


def test_lines_survive_a_pickle(graphs):
    cloudpickle = pytest.importorskip("cloudpickle")
    again = cloudpickle.loads(cloudpickle.dumps(graphs.model))
    with NodeLines(again).following():
        logp = again.logp()
    lines = NodeLines(again, logp)
    assert lines.share(walk([logp])) > 0.95


def test_neither_libraries_nor_firstgrad_nor_python_are_the_user_s():
    import pymc

    from firstgrad import codec

    frames = [
        ("/home/me/model.py", 3, "build", "x = 1"),
        (pymc.__file__, 5, "f", ""),
        ("<frozen runpy>", 88, "_run_code", None),
    ]
    assert [line.line for line in users_frames(frames)] == [3]
    assert users_frames([*frames, (codec.__file__, 1, "f", ""), (pymc.__file__, 2, "g", "")]) == ()
    cell = ("/home/me/ipykernel_77/12345.py", 2, "<module>", "y = 2")
    assert [line.file for line in users_frames([*frames, cell])] == [cell[0], frames[0][0]]


def test_nodes_are_counted_by_line_and_a_fused_one_is_split(graphs):
    counter = LineCounter()
    with counter.watching():
        counter.wrote(Phase.LOGP_GRAPH, graphs.model, graphs.logp)
        counter.wrote(Phase.GRAD_GRAPH, graphs.model, [graphs.cost])
    nowhere, *lines = counter.report(graphs.compiled)
    by_line = {nodes.line.line: nodes for nodes in lines}
    assert nowhere.line is None
    assert sum(nodes.density for nodes in (nowhere, *lines)) == pytest.approx(len(graphs.density))
    assert sum(nodes.after for nodes in (nowhere, *lines)) == pytest.approx(len(graphs.compiled))
    # Thirty products, sines and squares; the sums of thirty terms are one.
    assert by_line[LINES["loop"]].density == pytest.approx(3 * 30 + 1, abs=12)
    assert by_line[LINES["loop"]].operations > by_line[LINES["loop"]].after
    assert dict(counter.shares([graphs.compiled[:1]]))
    assert {source.file for source in counter.sources()} == {str(MODEL)}
