"""Seconds by line of planted profiles: what each line costs is known, and all of it adds up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firstgrad.case import BackendName, Target
from firstgrad.codec import from_json, to_json
from firstgrad.observe.events import WHOLE_GRAPH, CodeLine, LineNodes, SourceFile, UnitKind
from firstgrad.phase import Phase
from firstgrad.profiling import Profile
from firstgrad.profiling.lines import find_line_costs
from firstgrad.show.page import render_page
from firstgrad.show.profiles import profile_page, profile_parts
from firstgrad.show.result import Form, Result, render
from planted_profile import planted_profile, planted_rewriter, planted_unit

SOURCE = """import pymc as pm

with pm.Model():
    for number in range(50):
        total = total + f(number)
    y = pm.Normal('y')
"""
LOOP = CodeLine(file="/home/me/model.py", line=5, function="<module>", text="total = total + f(number)")
SEEN = CodeLine(file="/home/me/model.py", line=6, function="<module>", text="y = pm.Normal('y')")
LINES = (
    LineNodes(line=None, density=10, before=20, after=10, operations=20),
    LineNodes(line=SEEN, density=0, before=20, after=10, operations=60),
    LineNodes(line=LOOP, density=10, before=60, after=30, operations=120),
)


def lined_profile(**attribution):
    """A profile in which the loop has 5.65 of 10 s, the last line 2.2 s, and no line 2.15 s."""
    known = {
        "lines": LINES,
        "sources": (SourceFile(file=LOOP.file, text=SOURCE),),
        "rewriters": (
            replace(planted_rewriter("local_add", 1.5, 40), lines=((2, 1.0),)),
            planted_rewriter("local_mul", 0.25, 7),
        ),
        "units": (
            planted_unit(0, 2.0, op=WHOLE_GRAPH),
            planted_unit(1, 1.5, lines=((1, 0.5), (2, 0.5))),
            planted_unit(2, 0.5, within="kernel_1"),
            planted_unit(3, 0.5),
        ),
    }
    return planted_profile(attribution=known | attribution)


def written(profile):
    """A profile as a terminal shows it, with the breaks of indents as blanks."""
    parts = list(profile_parts(profile, top=10))
    return render(Result(parts=parts, document=None), Form.TERMINAL).replace("\u00a0", " ")


def test_each_line_has_what_was_planted_and_all_of_it_adds_up():
    costs = find_line_costs(lined_profile())
    assert [cost.line for cost in costs.costs] == [LOOP, SEEN, None]
    assert [cost.seconds for cost in costs.costs] == pytest.approx([5.65, 2.2, 2.15])
    assert sum(cost.share for cost in costs.costs) == pytest.approx(1.0)
    loop, seen, nowhere = costs.costs
    assert loop.phases == pytest.approx(
        {Phase.LOGP_GRAPH: 0.15, Phase.GRAD_GRAPH: 0.3, Phase.REWRITE: 2.4, Phase.LINK: 0.6, Phase.FIRST_CALL: 2.2}
    )
    assert nowhere.phases[Phase.BUILD] == pytest.approx(0.2)
    assert (loop.nodes_before, seen.nodes_after) == (60, 10)
    assert (loop.units, seen.units, nowhere.units) == (1, 1, 2)
    assert (costs.replaced_seconds, costs.rewriting_seconds) == (1.5, 3.0)


def test_units_compiled_side_by_side_never_take_more_than_their_phase():
    units = tuple(planted_unit(number, 5.0, lines=((2, 1.0),)) for number in range(4))
    costs = find_line_costs(lined_profile(units=units))
    assert sum(cost.seconds for cost in costs.costs) == pytest.approx(10.0)
    assert costs.costs[0].phases[Phase.FIRST_CALL] == pytest.approx(5.0)


def test_a_module_of_xla_that_no_node_asked_for_is_the_whole_graph_s():
    units = (planted_unit(0, 5.0, op="", kind=UnitKind.XLA_MODULE),)
    costs = find_line_costs(lined_profile(units=units))
    assert costs.costs[0].phases[Phase.FIRST_CALL] == pytest.approx(3.0)


def test_nothing_is_said_of_lines_where_none_were_seen():
    assert find_line_costs(planted_profile()) is None
    assert find_line_costs(lined_profile(lines=())) is None
    profile = lined_profile()
    case = replace(profile.record.case, target=Target.FIRST_DRAW, backend=BackendName.FAKE)
    assert find_line_costs(replace(profile, record=replace(profile.record, case=case))) is None
    text = written(planted_profile())
    assert "by line" not in text
    assert "lines" not in to_json(planted_profile())


def test_the_profile_ends_with_the_line_that_costs_most():
    lines = written(lined_profile()).rstrip().splitlines()
    assert lines[-1].startswith(
        "model.py:5 costs most: 5.65 s, 57% of the time to the first gradient (rewriting 2.40 s"
    )
    assert lines[-1].endswith("with 60 of 100 nodes: total = total + f(number)")


def test_lines_stand_in_the_order_of_the_source_with_their_indent_and_no_line_has_a_row():
    text = written(lined_profile())
    table = text[text.index("seconds by line") :]
    assert (
        table.index("        total = total + f(number)")
        < table.index("    y = pm.Normal('y')")
        < table.index("of no line")
    )
    assert "in all" in table
    assert "100.0%" in table


def test_the_page_shows_the_whole_source_with_numbers_and_escapes_it():
    profile = lined_profile(sources=(SourceFile(file=LOOP.file, text=SOURCE + "# <script>alert(1)</script>\n"),))
    page = render_page(profile_page(profile, top=10))
    assert "with pm.Model():" in page
    assert "5.65 s" in page
    assert "<script>alert" not in page
    assert "a median over samples" not in page
    assert page.index("Seconds by line") < page.index("Where the compilers spent it")


def test_lines_of_a_file_that_is_gone_are_shown_all_the_same():
    page = render_page(profile_page(lined_profile(sources=()), top=10))
    assert "total = total + f(number)</code>" in page
    assert "5.65 s" in page
    assert "        total" not in written(lined_profile(sources=()))


def test_a_profile_with_lines_is_read_as_it_was_written():
    profile = lined_profile()
    assert from_json(to_json(profile), Profile) == profile
