"""A script's trace on a terminal, in Markdown, as JSON, and for trace viewers."""

from __future__ import annotations

import json

import pytest
from test_profile_trace import check_tracks

import planted_trace as planted
from firstgrad.codec import from_json, to_json
from firstgrad.profiling.trace import TraceFormat
from firstgrad.show.result import Form, render
from firstgrad.show.trace_page import write_script_trace, write_trace_files
from firstgrad.show.traces import trace_result
from firstgrad.tracing.record import ScriptTrace
from planted_trace import compiled


def shown(trace, form=Form.TERMINAL, width=120):
    return render(trace_result(trace), form, width=width)


def test_the_terminal_has_the_slowest_compiles_in_order_of_time_and_the_sentences():
    text = shown(planted.twice())
    lines = [line for line in text.splitlines() if "│" in line and "line " in line]
    assert len(lines) == 10
    assert [line.split("│")[3].strip() for line in lines[:5]] == ["500 ms", "2.00 s", "1.00 s", "6.00 s", "3.00 s"]
    assert "Draws began after 14.0 s (nutpie, line 12): 12.5 s of it were 5 compiles." in text
    assert "`compiled = nutpie.compile_pymc_model(model)`" in text


def test_what_is_cheap_is_counted_and_left_out():
    many = [compiled(number, 3, 0.001, began=float(number)) for number in range(2, 40)]
    text = shown(planted.trace(compiled(1, 3, 50.0), *many))
    assert "38 shorter compiles left out" in text
    assert sum("│" in line and "line 3" in line for line in text.splitlines()) == 1


def test_a_narrow_terminal_gets_fewer_columns():
    narrow = shown(planted.twice(), width=80)
    assert "peak memory" in shown(planted.twice())
    assert "peak memory" not in narrow
    assert "6.00 s" in narrow


def test_nothing_compiled_is_said_so():
    assert "Nothing was compiled." in shown(planted.trace())


def test_markdown_reads_nothing_of_what_is_hostile_and_marks_code():
    text = shown(planted.large(), Form.MARKDOWN)
    assert "<script>" not in text.replace("\\<", "")
    assert "\x1b" not in text
    assert "`pm.sample`" in shown(planted.twice(), Form.MARKDOWN)


def test_the_terminal_is_not_steered():
    text = shown(planted.large())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "What could not be seen:" in text


def test_json_has_the_trace_what_is_needless_and_the_sentences():
    document = json.loads(shown(planted.twice(), Form.JSON))
    assert set(document) == {"trace", "redundant", "sentences"}
    assert from_json(json.dumps(document["trace"]), ScriptTrace) == planted.twice()
    assert [work["kind"] for work in document["redundant"]] == ["same_graph", "never_kept"]
    assert document["redundant"][0]["compiles"] == [[0, number] for number in range(6, 11)]


def test_a_trace_is_kept_whole_by_json():
    for trace in (planted.clean(), planted.large()):
        assert from_json(to_json(trace), ScriptTrace) == trace


@pytest.mark.parametrize("name", ["clean", "twice", "loop", "large"])
def test_every_thread_is_a_track_for_speedscope_and_for_chrome(name):
    trace = getattr(planted, name)()
    document = check_tracks(write_script_trace(trace, TraceFormat.SPEEDSCOPE))
    threads = {(one.process, one.thread) for one in trace.compiles}
    assert len(document["profiles"]) == max(len(threads), len(trace.processes))
    events = json.loads(write_script_trace(trace, TraceFormat.CHROME))["traceEvents"]
    assert {(event["pid"], event["tid"]) for event in events} == {
        (process + 1, number) for number, (process, _) in enumerate(sorted(threads), 1)
    }


def test_compiles_are_around_their_phases_and_these_around_units():
    document = check_tracks(write_script_trace(planted.large(), TraceFormat.SPEEDSCOPE))
    names = [frame["name"] for frame in document["shared"]["frames"]]
    events = [(event["type"], names[event["frame"]]) for event in document["profiles"][0]["events"][:2]]
    assert events == [("O", "1 gradient (pm.sample)"), ("O", "rewrite")]


def test_the_files_of_a_folder(tmp_path):
    write_trace_files(planted.clean(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "trace.chrome.json",
        "trace.html",
        "trace.speedscope.json",
    ]
