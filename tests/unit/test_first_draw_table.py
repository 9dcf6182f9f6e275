"""The benchmarks of first draws and of compile memory: what is measured, in which order, and what the tables say."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from benchmarks.compile_memory import run as memory
from benchmarks.compile_memory import table as memory_table
from benchmarks.figures.compile_memory import compile_memory_picture
from benchmarks.first_draw.rows import HERE, OLDER, POSE, POSE_HMM, TITLES, Row, all_rows
from benchmarks.first_draw.run import measure_all, plan, recipe_of
from benchmarks.first_draw.table import markdown, row_of
from builders import make_environment, make_record
from firstgrad.case import BackendName, Sampler
from firstgrad.record import Counts, Failure, FirstDraw, Status
from helpers import FakeClock


def test_rows_are_many_unlike_and_the_newest_release_comes_first():
    rows = all_rows()
    assert len(set(rows)) == len(rows)
    assert {row.model for row in rows if row.release == HERE} == set(TITLES)
    assert len(TITLES) == 7
    assert {row.release for row in rows} == {HERE, *OLDER}
    first_older = next(number for number, row in enumerate(rows) if row.release != HERE)
    assert all(row.release != HERE for row in rows[first_older:])
    for release in OLDER:
        assert {row.model for row in rows if row.release == release} >= {POSE, POSE_HMM}
    assert all(row.warm.sampler is row.sampler and str(row.warm.scenario) == "warm" for row in rows)


@pytest.mark.parametrize("release", OLDER)
def test_a_release_is_pinned_with_its_nutpie(release):
    try:
        recipe = recipe_of(release)
    except SystemExit as error:
        pytest.skip(str(error))
    names = dict(each.partition("==")[::2] for each in recipe.requirements)
    assert names["pymc"] == release
    assert {"pytensor", "numba", "jax", "nutpie"} <= {name for name, number in names.items() if number}
    assert {"cattrs", "psutil"} <= names.keys()


def test_a_plan_goes_round_by_round_and_on_where_it_stopped():
    rows = all_rows()[:3]
    assert list(plan(rows, [], 2)) == [*rows, *reversed(rows)]
    assert list(plan(rows, [rows[0], rows[1]], 1)) == [rows[2]]
    assert list(plan(rows, [*rows, rows[0]], 2)) == [rows[2], rows[1]]
    assert list(plan(rows, rows, 1)) == []


def test_what_was_begun_is_kept_and_nothing_is_begun_after_the_time():
    clock, kept = FakeClock(), []

    def measure(row):
        clock.tick(50.0)
        return [row]

    measure_all(iter(all_rows()), measure, kept.extend, minutes=1.5, clock=clock)
    assert kept == list(all_rows()[:2])


def drawn(row, scenario, seconds, units=0, pymc="6.4.0"):
    versions = (("pymc", pymc), ("pytensor", "3.3.8"))
    record = make_record(case=row.warm if scenario == "warm" else row.cold, environment=make_environment())
    return replace(
        record,
        environment=replace(record.environment, versions=versions),
        time_to_first_draw_seconds=seconds,
        time_to_first_draw_cpu_seconds=2 * seconds,
        counts=Counts(groups=1, values=1, compiled_units=units),
        draw=FirstDraw(sampler=Sampler.NUTPIE if row.sampler is Sampler.AUTO else row.sampler, reason="planted"),
    )


NUTPIE = Row(model=POSE, sampler=Sampler.NUTPIE, backend=BackendName.NUMBA)
PYMC = Row(model=POSE, sampler=Sampler.PYMC, backend=BackendName.NUMBA)
OLD = Row(model=POSE, sampler=Sampler.AUTO, backend=BackendName.NUMBA, release="6.2.0")


def rows_in(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| pose")]


def test_ways_are_told_the_soonest_first_with_what_no_cache_holds():
    records = [drawn(NUTPIE, "cold", 50.0, 466), drawn(NUTPIE, "warm", 10.0, 43), drawn(PYMC, "cold", 40.0, 300)]
    records += [drawn(NUTPIE, "cold", 52.0, 466)]
    assert [row_of(record) for record in records] == [NUTPIE, NUTPIE, PYMC, NUTPIE]
    text = markdown(records)
    pymc, nutpie = rows_in(text)
    assert pymc[:4] == ["pose, no HMM", "pymc, numba", "40.0 s", "80.0 s"]
    assert pymc[4] == "failed"  # its warm sample was never measured
    assert nutpie[2:8] == ["51.0 s [50.0 s, 52.0 s]", "102 s [100 s, 104 s]", "10.0 s", "20.0 s", "466", "43"]
    assert "No sample failed." in text


def test_releases_stand_below_each_other_with_the_same_way_here():
    records = [drawn(OLD, "cold", 90.0, pymc="6.2.0"), drawn(NUTPIE, "cold", 50.0), drawn(PYMC, "cold", 40.0)]
    assert row_of(records[0]) == OLD
    over = [row for row in rows_in(markdown(records)) if row[1][0].isdigit()]
    assert [row[1] for row in over] == ["6.2.0", "6.4.0"]
    assert [row[3] for row in over] == ["nutpie, numba (default)", "nutpie, numba (default)"]


def test_a_failure_is_told_with_its_reason_and_counts_in_no_cell():
    failed = replace(
        drawn(NUTPIE, "cold", 1.0),
        status=Status.FAILED,
        time_to_first_draw_seconds=None,
        time_to_first_draw_cpu_seconds=None,
        failure=Failure(kind="TypeError", message="progress_bar | twice"),
    )
    text = markdown([failed])
    assert rows_in(text)[0][2] == "failed"
    assert "- pose, no HMM, nutpie, numba, PyMC 6.4.0, cold: failed: TypeError: progress_bar \\| twice" in text


def sample(way="nutpie", likelihood="gamma", terms=4, mib=100, **more):
    numba = {"functions": 9, "passes": [["native_lowering", 2**26, 1.0]], "most_memory": [["impl", 2**20, 0.5]]}
    numbers = {"before_bytes": 2**28, "peak_bytes": 2**28 + mib * 2**20, "cpu_seconds": 3.0, "nodes": 7}
    numbers |= {"most_inputs": 50, "numba": None if way == "nutpie_jax" else numba}
    kept = {"releases": "pymc 6.4.0", "is_again": False, "began": "2026-11-27T00:00:00", "failure": ""}
    return memory_table.Sample(way=way, likelihood=likelihood, terms=terms, **kept | {"numbers": numbers} | more)


def test_memory_is_told_by_way_and_number_of_terms():
    samples = [sample(terms=4), sample(terms=8, mib=150), sample("pymc", terms=8, mib=90)]
    samples += [sample(terms=8, is_again=True, mib=60), sample("nutpie_jax", terms=8, mib=70)]
    samples += [sample("pymc", "lognormal", terms=8, failure="above 10 GiB", numbers={})]
    text = memory_table.markdown(samples, "Where.")
    assert "| nutpie, Gamma | 100 MiB, 3.00 s | 150 MiB, 3.00 s |" in text
    assert "| PyMC's own, Gamma |  | 90.0 MiB, 3.00 s |" in text
    assert "| PyMC's own, LogNormal |  | failed: above 10 GiB |" in text
    assert "Of the growth within Numba's passes 100% happened in `native_lowering`" in text


def test_lognormal_is_compared_with_gamma_at_the_most_terms_that_have_both():
    samples = [sample("nutpie", kind, terms, mib) for kind, terms, mib in (("gamma", 2, 10), ("lognormal", 2, 30))]
    samples += [sample("nutpie", "gamma", 4, 90)]
    text = memory_table.markdown(samples, "Where.")
    assert "With 2 terms nutpie's compile takes 30.0 MiB for LogNormal and 10.0 MiB for Gamma, a ratio of 3.00." in text


def test_rows_of_memory_are_pairs_of_processes_here_and_fewer_elsewhere():
    here, elsewhere = memory.rows_of((1, 2)), memory.rows_of((4,), is_other=True)
    assert [row.terms for row in here] == sorted(row.terms for row in here)
    assert {row.processes for row in here if row.way == "nutpie" and row.likelihood != "lognormal_array"} == {2}
    assert {(row.way, row.likelihood, row.processes) for row in elsewhere} == {
        (way, likelihood, 1) for way in ("pymc", "nutpie") for likelihood in ("gamma", "lognormal")
    }


@pytest.mark.parametrize(
    ("code", "limits", "told", "why"),
    [
        ("print('noise'); print('{\"nodes\": 3}')", {}, {"nodes": 3}, ""),
        ("raise ValueError('no way')", {}, {}, "ValueError: no way"),
        ("import time; held = b'1' * 2**28; time.sleep(60)", {"limit_bytes": 2**27}, {}, "above 0.125 GiB"),
        ("import time; time.sleep(60)", {"limit_seconds": 0.2}, {}, "after 0.2 s"),
    ],
)
def test_a_process_is_heard_or_stopped_at_its_limit(code, limits, told, why, tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(code)
    monkeypatch.setattr(memory, "SCRIPT", script)
    assert memory.run_script(sys.executable, [], str(tmp_path), **limits) == (told, why)


def test_a_panel_a_likelihood_and_a_line_a_way():
    samples = [
        sample(way, kind, terms, terms)
        for way in ("pymc", "nutpie")
        for kind in ("gamma", "lognormal")
        for terms in (1, 2)
    ]
    samples += [sample("nutpie", "lognormal_array", 2, 5), sample(releases="pymc 6.2.0", mib=900)]
    gamma, lognormal = compile_memory_picture(samples).draw().axes
    assert [list(line.get_ydata()) for line in gamma.lines] == [[1, 2], [1, 2]]
    assert [list(line.get_ydata()) for line in lognormal.lines[:3]] == [[1, 2], [1, 2], [5]]  # then come the names'
    assert "With 2: PyMC's own, Gamma 2.00 MiB" in compile_memory_picture(samples).description
    with pytest.raises(ValueError, match="no samples"):
        compile_memory_picture([])
