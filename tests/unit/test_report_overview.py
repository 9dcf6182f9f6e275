"""The page of everything: planted numbers, the table and its size, figures' choices, hostile names, the verb."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_report import read

import builders
import planted
from firstgrad.case import BackendName, Case, Scenario, Target
from firstgrad.columns import samples_table
from firstgrad.comparing.comparison import compare
from firstgrad.comparing.sides import choose_side, find_last_sides
from firstgrad.errors import UnknownSideError
from firstgrad.model import make_model
from firstgrad.record import Doubt
from firstgrad.show.cases import escaped_bytes, take_fitting
from firstgrad.show.lines import make_lines, make_rows, prepare_samples
from firstgrad.show.overview import (
    breakeven_sections,
    choose_bars,
    choose_peaks,
    comparison_section,
    growth_sections,
    make_overview,
    memory_section,
    tell_bars,
)
from firstgrad.show.page import render_page
from firstgrad.show.result import Fold, Items, Picture, Span, Style, Table, Text
from firstgrad.show.words import write_command
from firstgrad.store import Store, export_jsonl
from firstgrad.store.jsonl import ExportSource
from helpers import MIB, make_environment

MOST_BYTES = 3_000_000


def overview(records, **options):
    return make_overview(
        samples_table(records), lambda wanted: [each for each in records if each.record_id in wanted], **options
    )


def part_of(section, kind):
    """The first part of a kind."""
    return next(part for part in section.parts if isinstance(part, kind))


def texts_of(section):
    """The texts of a section's paragraphs, as they read."""
    return ["".join(map(told, text if isinstance(text, tuple) else (text,))) for text in paragraphs(section)]


def paragraphs(section):
    return [part.text for part in section.parts if isinstance(part, Text)]


def told(cell):
    return cell.text if isinstance(cell, Span) else cell


def table_of(page):
    return part_of(section_of(page, "cases"), Table)


def spans_of(records):
    """The cells of the table of all cases, as they are, by the names of its columns."""
    table = table_of(overview(records))
    return [dict(zip([column.name for column in table.columns], row.cells, strict=True)) for row in table.rows]


def common_of(records):
    """The sentence on what all rows have in common."""
    return texts_of(section_of(overview(records), "cases"))[0]


def rows_of(records):
    """The rows of the table as a data frame."""
    return make_rows(make_lines(prepare_samples(samples_table(records))))


def cells_of(records):
    """What those cells say."""
    return [{name: told(cell) for name, cell in row.items()} for row in spans_of(records)]


def section_of(page, wanted):
    return next((section for section in page.sections if section.id == wanted), None)


def test_the_headline_counts_what_was_measured():
    page = overview(planted.a_sweep())
    assert page.facts[0] == (
        "18 samples of 10 cases: 6 models, compiled by c and jax, on 1 host, measured from 2025-01-01 to 2025-01-18 "
        "(UTC)."
    )
    commits = overview(planted.along_commits())
    assert commits.facts[0].startswith("18 samples of 2 cases: 1 model, compiled by jax, on 1 host, at 3 commits, ")


def mixed(**sides):
    """Nine samples of a case, as the overview's table had them: three failed, the others 3.0 to 5.5."""
    samples = [
        planted.sample(seconds, number=number, **sides)
        for number, seconds in enumerate((3.0, 3.25, 3.5, 5.0, 5.25, 5.5))
    ]
    samples += [planted.broken(planted.sample(4.0, number=6 + number, **sides)) for number in range(3)]
    return [replace(each, doubts=(Doubt.HIGH_LOAD,)) for each in samples]


def test_a_row_of_the_table_has_medians_and_what_they_are_sorted_by():
    (spans,) = spans_of(mixed(label="planted"))
    line = {name: told(cell) for name, cell in spans.items()}
    assert line["model"] == "some/file.py:build"
    # Three samples failed: the median is of the other six, 3.0 3.25 3.5 5.0 5.25 5.5.
    assert line["time to first gradient"] == "4.25 s [3.00 s, 5.50 s]"
    assert spans["time to first gradient"].number == "4.25"
    assert line["most of it"] == "link 100%"
    assert (line["peak memory"], spans["peak memory"].number) == ("425 MiB", str(f"{425 * MIB:.6g}"))
    assert (line["evaluation"], line["nodes"]) == ("4.25 ms", "678")
    assert common_of(mixed(label="planted")) == (
        "The one row has backend jax, target dlogp, scenario cold, label planted, status 6 ok, 3 failed, verdict "
        "unchecked, doubts high_load and 9 samples, and was measured on a processor, 4 cores, 8.00 GiB, Linux with "
        "Python 3.13.0."
    )


def test_what_rows_have_in_common_is_said_once_and_the_rest_has_columns():
    records = [planted.sample(1.0, number=1), planted.sample(2.0, number=2, scenario=Scenario.WARM)]
    assert [line["scenario"] for line in cells_of(records)] == ["warm", "cold"]
    assert not {"backend", "target", "label", "commit", "status", "samples", "measured with"} & set(
        cells_of(records)[0]
    )
    assert common_of(records).startswith(
        "All 2 rows have backend jax, target dlogp, status ok, verdict unchecked and 1 s"
    )


def test_of_commits_and_labels_a_row_has_the_newest_and_names_the_one_before():
    fast, slow = "f" * 40, "5" * 40
    records = [planted.sample(0.478, number=1, git_commit=fast), planted.sample(6.51, number=2, git_commit=slow)]
    (line,) = cells_of(records)
    assert (line["time to first gradient"], line["before"]) == ("6.51 s", "478 ms (commit ffffffffff)")
    labelled = planted.sample(3.0, number=3, git_commit=slow, label="mine")
    (line,) = cells_of([*records, labelled])
    assert (line["time to first gradient"], line["before"]) == ("3.00 s", "6.51 s (label none)")
    # Where git has all commits, it says what is newest, whenever that was measured.
    page = overview(records, commits={slow: "", fast: ""})
    assert told(table_of(page).rows[0].cells[1]) == "478 ms"


def test_the_worst_come_first():
    good = planted.of_model(planted.sample(900.0, number=1), size=3)
    records = [good, *planted.a_sweep(), planted.of_model(planted.broken(planted.sample(1.0, number=50)), size=64)]
    names = [line["model"].removeprefix("some/file.py:build") for line in cells_of(records)]
    assert names[:4] == ["(size=64)", "(size=32)", "(size=16)", "(size=3)"]  # failed, disagrees, stopped, slowest
    assert len(names) == 12
    seconds = [told(line["time to first gradient"]) for line in cells_of(records)[3:]]
    assert seconds == ["900 s", *["110 s [109 s, 111 s]"] * 4, *["10.0 s [9.90 s, 10.1 s]"] * 4]


def test_samples_that_only_counted_stand_beside_the_timed_ones():
    from firstgrad.case import Counting
    from firstgrad.record import Work

    timed = [planted.sample(seconds, number=number) for number, seconds in enumerate((2.0, 3.0))]
    counted = replace(
        timed[0],
        record_id="counted",
        case=replace(timed[0].case, counting=Counting.INSTRUMENTED),
        time_to_first_gradient_seconds=99.0,
        doubts=(Doubt.COUNTED,),
        work=Work(counts=(("calls_link", 40), ("calls_rewrite", 2), ("rewriters_tried", 7))),
    )
    (line,) = cells_of([*timed, counted])
    assert line["time to first gradient"] == "2.50 s [2.00 s, 3.00 s]"
    assert (line["Python calls"], line["rewriters tried"]) == ("42", "7")
    assert common_of([*timed, counted]).count("2 samples and 1 counting") == 1
    assert "counted" not in common_of([*timed, counted])
    assert "Python calls" not in cells_of(timed)[0]


def test_what_a_limit_stopped_is_shown_as_a_bound():
    spans = next(each for each in spans_of(planted.a_sweep()) if told(each["status"]) == "timeout")
    first = spans["time to first gradient"]
    assert (first.text, first.number) == ("over 600 s", "600")
    assert (spans["evaluation"].text, spans["evaluation"].number) == ("", "")


def test_a_sample_that_disagrees_has_no_numbers_that_count():
    line = next(each for each in cells_of(planted.a_sweep()) if each["status"] == "mismatch")
    assert (line["verdict"], line["time to first gradient"]) == ("disagrees", "")


def test_a_contradicted_scenario_is_a_status_of_its_own():
    record = replace(planted.sample(1.0, number=1), doubts=(Doubt.SCENARIO_CONTRADICTED,))
    (line,) = cells_of([record])
    assert line["time to first gradient"] == ""
    assert "status contradicted" in common_of([record])


def test_unlike_conditions_are_never_put_together():
    records = [planted.sample(seconds, number=number) for number, seconds in enumerate((1.0, 2.0))]
    records[1] = replace(records[1], environment=make_environment(threads=2))
    lines = cells_of(records)
    assert [line["time to first gradient"] for line in lines] == ["2.00 s", "1.00 s"]
    assert [line["measured with"] for line in lines] == ["threads 2", "threads 1"]
    listed = part_of(section_of(overview(records), "environments"), Table).rows
    assert [row[0] for row in listed] == ["threads 2", "threads 1"]


def test_conditions_are_named_by_no_more_than_what_tells_them_apart():
    versions = [(("numba", "0.68"), ("pymc", "6.4.0"), ("pytensor", f"3.3.{patch}")) for patch in (7, 8)]
    records = [planted.sample(1.0 + n, number=n, versions=one, label=f"l{n}") for n, one in enumerate(versions)]
    lines = cells_of(records)
    assert [line["measured with"] for line in lines] == ["PyTensor 3.3.8", "PyTensor 3.3.7"]
    assert "label" not in lines[0]  # it would say the same
    assert common_of(records).endswith("with PyMC 6.4.0, Numba 0.68 and Python 3.13.0.")


def test_devices_are_lines_of_their_own_and_told():
    records = [planted.sample(seconds, number=number) for number, seconds in enumerate((1.0, 2.0))]
    gpu = replace(records[1].environment, device="cuda, NVIDIA H100")
    page = overview([records[0], replace(records[1], environment=gpu)])
    assert len(table_of(page).rows) == 2
    listed = part_of(section_of(page, "environments"), Table)
    place = [column.name for column in listed.columns].index("device")
    assert [row[place] for row in listed.rows] == ["cuda, NVIDIA H100", ""]
    assert {line["measured with"] for line in cells_of([records[0], replace(records[1], environment=gpu)])} == {
        "device cpu",
        "device cuda, NVIDIA H100",
    }
    assert "device cuda, NVIDIA H100" in part_of(section_of(page, "phases"), Picture).description


def test_other_limits_are_the_same_case():
    records = [planted.sample(seconds, number=number) for number, seconds in enumerate((1.0, 3.0))]
    records[1] = replace(records[1], case=replace(records[1].case, time_limit_seconds=7.0, evaluations=9))
    (line,) = cells_of(records)
    assert line["time to first gradient"] == "2.00 s [1.00 s, 3.00 s]"


def test_models_that_read_alike_are_told_apart():
    from firstgrad.pose.spec import PoseSpec

    records = [
        replace(planted.sample(1.0, number=n), case=Case(model=PoseSpec(n_cameras=cameras), backend=BackendName.C))
        for n, cameras in enumerate((3, 5))
    ]
    names = [line["model"] for line in cells_of(records)]
    assert len(set(names)) == 2
    assert "C=5" in names[0]


def test_of_many_cases_the_worst_are_listed_and_the_page_stays_small():
    page = overview(planted.many_cases(2500))
    text = render_page(page)
    assert len(text.encode()) < MOST_BYTES
    table = table_of(page)
    assert len(table.rows) == 2000
    assert "The table has the worst 2,000 of 2,500 rows" in text
    detailed = sum(bool(row.details) for row in table.rows)
    assert 100 < detailed < 2000
    assert f"The worst {detailed:,} rows have their samples" in text
    assert "build(size=2499)" in text
    assert "build(size=499)" not in text.partition('id="cases"')[2].partition("</table>")[0]


def test_names_however_long_and_hostile_leave_the_page_small():
    longest = planted.HOSTILE * 40
    records = planted.many_cases(2500, label=longest, reference=f"{longest}.py:build")
    records = [
        replace(planted.broken(each, message=f"{place} {longest}", tail=(longest,) * 20), doubts=(Doubt.HIGH_LOAD,))
        if place % 2
        else each
        for place, each in enumerate(records)
    ]
    page = overview(records, label=longest)
    text = render_page(page)
    assert len(text.encode()) < MOST_BYTES
    listed = len(table_of(page).rows)
    assert 500 < listed < 2000
    assert f"The table has the worst {listed:,} of 2,500 rows" in text
    assert "1200 older kinds of failures are left out." in text
    assert text.count("<script") == 1


@given(sizes=st.lists(st.integers(0, 50)), most=st.integers(0, 20), most_bytes=st.integers(0, 200))
def test_what_is_taken_fits_and_one_more_would_not(sizes, most, most_bytes):
    taken = take_fitting(sizes, most, most_bytes, lambda size: size)
    assert list(taken) == sizes[: len(taken)]
    assert len(taken) <= most
    assert sum(taken) <= most_bytes
    if len(taken) < len(sizes):
        assert len(taken) == most or sum(sizes[: len(taken) + 1]) > most_bytes


def test_bytes_are_counted_as_they_are_written():
    assert escaped_bytes("<é>", "\udcff") == len(b"&lt;\xc3\xa9&gt;") + 1


def test_the_page_runs_its_own_script_and_nothing_else():
    text = render_page(overview(planted.a_sweep()))
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy == (f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'")
    assert not re.search(r"\beval\b|\bFunction\(|innerHTML|import\(|fetch|XMLHttp", script)


@pytest.mark.parametrize("records", [planted.a_sweep(), planted.hostile()], ids=["good", "hostile"])
def test_nothing_comes_from_outside_and_every_link_within_has_its_end(records):
    reader = read(render_page(overview(records)))
    assert reader.loads == ["data:,"]
    assert reader.tags.count("script") == 1
    assert not {"iframe", "object", "embed", "img", "base", "form"} & set(reader.tags)
    assert {anchor.removeprefix("#") for anchor in reader.anchors} <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))


def test_hostile_texts_stay_texts():
    records = planted.hostile()
    named = planted.of_model(records[0], size=planted.HOSTILE)
    records = [*records, replace(named, record_id="3", doubts=(Doubt.HIGH_LOAD,))]
    text = render_page(overview(records, label=planted.HOSTILE))
    assert "<img" not in text
    assert text.count("<script") == 1
    reader = read(text)
    assert planted.HOSTILE in reader.texts  # the label, the flags, the last lines
    assert f"failed in link: CompileError: {planted.HOSTILE}" in reader.texts


def test_without_the_script_the_table_is_there_and_no_dead_control_is_seen():
    text = render_page(overview(planted.a_sweep()))
    assert '<div class="filters" hidden>' in text
    assert "<button" not in text.partition("<thead>")[2].partition("</thead>")[0]
    assert "110 s [109 s, 111 s]" in re.sub("<[^>]*>", "", text)


def test_only_the_records_that_the_page_needs_are_read():
    records, asked = planted.many_cases(300), []

    def read_some(wanted):
        asked.append(set(wanted))
        return [each for each in records if each.record_id in wanted]

    make_overview(samples_table(records), read_some)
    assert len(asked) == 1
    assert len(asked[0]) < 120


def test_failures_are_listed_with_their_last_output():
    section = section_of(overview(planted.along_commits()), "failures")
    assert texts_of(section) == [
        "3 samples gave no numbers that count.",
        "3 at 2025-01-12, 2025-01-11, 2025-01-10: failed in link: CompileError: g++ ended with 1",
    ]
    assert part_of(section, Fold).parts[0].lines == ["the last line"]


def test_doubts_name_the_first_cases_and_count_all():
    records = [replace(each, doubts=(Doubt.HIGH_LOAD,)) for each in planted.many_cases(100)]
    section = section_of(overview(records), "doubts")
    assert part_of(section, Table).rows[0][:2] == ("high_load", "100")
    fold = part_of(section, Fold)
    assert fold.summary == "high_load: 100 cases"
    assert fold.parts[0].text.count(";") == 40
    assert fold.parts[0].text.endswith("; and 60 more")


def chosen(records):
    """The records of the figure of phases, and the sentence about them."""
    samples = prepare_samples(samples_table(records))
    rows = make_rows(make_lines(samples))
    bars = choose_bars(rows, samples)
    return bars, tell_bars(rows, len(bars))


def test_the_phases_are_of_the_model_that_most_lines_have():
    records = [*mixed(), planted.of_model(planted.sample(9.0, number=99), size=1)]
    records += [planted.sample(1.0, number=50, scenario=Scenario.WARM)]
    bars, sentence = chosen(records)
    assert [len(case) for case in bars] == [5, 1, 1]
    assert bars[-1][0] == "99"
    assert sentence == "All 3 cases with a first gradient. Medians, at most the 5 newest samples a case."


def test_at_most_twelve_lines_have_a_bar():
    bars, sentence = chosen(planted.many_cases(30))
    assert len(bars) == 12
    assert sentence.startswith("12 of 30 cases: those of the model that most cases are of, ")
    assert chosen([planted.broken(planted.sample(1.0, number=1))])[0] == []


def test_the_memory_is_of_the_sample_with_the_highest_peak():
    records = planted.a_sweep()
    peaks = choose_peaks(samples_table(records))
    by_id = {each.record_id: each for each in records}
    assert by_id[peaks[0]].memory.peak_rss_bytes == 808 * MIB
    assert "peak 808 MiB" in part_of(memory_section(peaks, by_id), Picture).description
    no_line = replace(by_id[peaks[0]], memory=replace(by_id[peaks[0]].memory, timeline=()))
    assert memory_section(peaks[:1], {peaks[0]: no_line}) is None
    assert "peak 808 MiB" in part_of(memory_section(peaks, by_id | {peaks[0]: no_line}), Picture).description


def test_the_break_even_is_where_it_was_planted():
    (section,) = breakeven_sections(rows_of(planted.a_sweep()))
    assert section.id == "break-even-cold"
    picture = part_of(section, Picture)
    assert "jax is ahead at first; c from 110,000 on" in picture.description
    assert picture.caption.startswith("some/file.py:build(size=8):")
    assert breakeven_sections(rows_of(planted.along_commits())) == ()


def test_growth_is_as_it_was_planted():
    (section,) = growth_sections(samples_table(planted.a_sweep()))
    laws = {(metric, line): law for line, metric, law in part_of(section, Fold).parts[0].rows}
    assert section.title == "Growth with size"
    assert laws["time to first gradient", "c"].startswith("does not grow")
    assert laws["peak memory, compilers included", "c"].startswith("linear: ")
    assert growth_sections(samples_table(planted.along_commits())) == ()


def test_growth_takes_the_newest_samples_of_each_size():
    records = [
        replace(
            planted.of_model(planted.sample(float(size + old), number=0), size=size),
            record_id=f"{size} {old} {number}",
            started_at=f"{2025 - old}-01-01T00:00:00.000+00:00",
        )
        for size in (1, 2, 4)
        for old in (0, 1)
        for number in range(5)
    ]
    (section,) = growth_sections(samples_table(records))
    assert "15 samples at 3 sizes" in part_of(section, Picture).description


def test_a_comparison_has_its_figure_and_what_changed():
    before = [planted.sample(1.0, number=n, label="before") for n in range(3)]
    after = [replace(planted.sample(2.0, number=n, label="after"), record_id=f"a{n}") for n in range(3)]
    section = comparison_section(compare([*before, *after], "before", "after"))
    assert section.title == "Comparison: label before to label after"
    changed = part_of(section, Fold).parts[0]
    worse = next(row for row in changed.lines() if row.cells[1] == "time to first gradient")
    assert worse.cells[2:] == ("1.00 s (n=3)", "2.00 s (n=3)", "2.000", Span("slower, informs", Style.PLAIN))
    assert part_of(section, Picture)
    text = render_page(overview([*before, *after], comparison=compare([*before, *after], "before", "after")))
    assert "Comparison: label before to label after" in read(text).texts
    assert "2.000" in read(text).texts


def test_a_side_is_found_by_its_rows():
    environments = ((record.record_id, record.environment) for record in planted.along_commits())
    named = [(record_id, environment.label, environment.git_commit) for record_id, environment in environments]
    assert len(choose_side(named, "planted", lambda _: "")) == 18
    assert len(choose_side(named, "a" * 7, lambda _: "")) == 6
    assert len(choose_side(named, "HEAD", lambda _: "b" * 40)) == 6
    with pytest.raises(UnknownSideError, match="There are labels planted and commits cccccccccc, bbbbbbbbbb"):
        choose_side(named, "nowhere", lambda _: "")


def test_nothing_stored_is_nothing_to_report():
    with pytest.raises(ValueError, match="nothing to report"):
        make_overview(samples_table([]), lambda _: [])


def test_a_store_and_its_export_make_the_same_page(tmp_path):
    records = planted.a_sweep()
    export_jsonl(records, tmp_path / "records.jsonl")
    export = ExportSource(tmp_path / "records.jsonl")
    with Store.open(tmp_path / "store.sqlite") as store:
        for record in records:
            store.add(record)
        pages = [
            render_page(make_overview(each.samples(), lambda ids, source=each: source.records(record_ids=ids)))
            for each in (store, export)
        ]
        assert store.samples(label="other").equals(export.samples(label="other"))
        assert list(export.samples(label="other")["record_id"]) == [records[-1].record_id]
        assert list(store.records(label="other")) == list(export.records(label="other")) == records[-1:]
        assert list(export.records(record_ids=["3", "nowhere"])) == [records[3]]
    assert pages[0] == pages[1]


@pytest.fixture
def firstgrad(tmp_path, monkeypatch):
    """Run `firstgrad report` in a folder with a store of the planted records; returns code, page and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    builders.store_of(planted.along_commits())

    def run(*arguments):
        code, out, err = builders.firstgrad("report", *arguments)
        page = tmp_path / out.strip()
        return code, page.read_text() if page.is_file() else "", err

    return run


def test_without_an_axis_the_verb_writes_the_page_of_everything(firstgrad):
    code, page, err = firstgrad()
    assert (code, err) == (0, "")
    assert "First gradients: all that is stored" in page
    assert "5.25 s [5.00 s, 5.50 s]" in page


def test_the_verb_takes_one_label(firstgrad):
    with Store.open() as store:
        store.add(planted.sample(77.0, number=99, label="other"))
    code, page, _ = firstgrad("--label", "other")
    assert code == 0
    assert "Only records with the label &#39;other&#39;." in page
    assert "1 sample of 1 case" in page
    code, _, err = firstgrad("--label", "nobody")
    assert code == 2
    assert "there are no records with the label 'nobody'" in err


def test_the_verb_compares_two_sides(firstgrad):
    code, page, err = firstgrad("--compare", "a" * 7, "c" * 7)
    assert (code, err) == (0, "")
    assert "commit aaaaaaaaaa to commit cccccccccc" in page
    assert "12 samples are on both sides" not in page
    with Store.open() as store:
        store.add(planted.sample(77.0, number=99, label="other", threads=2))
    code, _, err = firstgrad("--compare", "planted", "other")
    assert code == 2
    assert "threads is 1 on BASE and 2 on HEAD" in err
    assert firstgrad("--compare", "planted", "other", "--across", "threads")[0] == 0
    code, page, _ = firstgrad("--compare", "planted", "other", "--force", "--label", "other")
    assert code == 0
    assert "FORCED, the sides are not alike: " in page
    assert "1 sample of 1 case" in page


def test_wrong_use_is_told(firstgrad):
    assert "no record has this label or commit" in firstgrad("--compare", "planted", "nowhere")[2]
    assert "--axis, --compare: give one of them" in firstgrad("--axis", "commit", "--compare", "a", "b")[2]
    assert "they belong to --compare" in firstgrad("--force")[2]


# --- what the page opens with -----------------------------------------------------------------------------------------


def answers_of(records, **options):
    """The opening sentences, as they read."""
    items = part_of(section_of(overview(records, **options), "results"), Items).items
    return ["".join(map(told, item if isinstance(item, tuple) else (item,))) for item in items]


def test_where_nothing_is_wrong_that_is_said_with_how_much_was_looked_at():
    records = [each for each in planted.a_sweep() if each.status == "ok"]
    assert answers_of(records) == [
        "Nothing failed and no gradient is wrong in 16 samples of 8 cases: 16 agree with the oracle.",
        "The longest time to first gradient of 8 cases is 110 s [109 s, 111 s]: some/file.py:build(size=8), c, cold. "
        "100% of it (110 s) is the phase link, with a graph of 678 nodes.",
        "The geometric mean of the time to first gradient of 4 cold cases is 10.0 s by jax and 110 s by c.",
        "Next: firstgrad profile some/file.py:build --param size=8 --backend c tells line by line where that time goes;"
        " firstgrad lint some/file.py:build --param size=8 names the lines to write differently; firstgrad measure "
        "some/file.py:build --param size=8 --backend c --scenario warm tells what a second process still waits for.",
    ]


def test_failures_and_wrong_gradients_come_before_all_else():
    failed = planted.of_model(planted.broken(planted.sample(1.0, number=50)), size=64)
    said = answers_of([failed, *planted.a_sweep()])
    assert said[0] == (
        "Samples of 1 of 11 cases failed: some/file.py:build(size=64), jax, cold (failed in link: CompileError: g++ "
        "ended with 1). The last lines of their output are under Failures."
    )
    assert said[1] == (
        "The gradient of 1 of 11 cases is wrong or not finite: some/file.py:build(size=32), jax, cold (mismatch). In "
        "which line it goes wrong, firstgrad check some/file.py:build --param size=32 --backend jax says."
    )
    assert said[2] == "A limit of time or memory stopped 1 sample: see Failures."
    assert said[3].startswith("The longest time to first gradient of 8 cases is ")
    assert not any("Nothing failed" in sentence for sentence in said)


def test_filled_caches_are_told_by_case_and_as_a_mean():
    pairs = [
        (size, scenario, 8.0 / (1 if scenario == Scenario.COLD else size)) for size in (2, 8) for scenario in Scenario
    ]
    records = [
        planted.of_model(planted.sample(seconds + 0.1 * (size == 8), number=number, scenario=scenario), size=size)
        for number, (size, scenario, seconds) in enumerate(pairs)
        if scenario != Scenario.HOT
    ]
    (said,) = [sentence for sentence in answers_of(records) if "filled caches" in sentence]
    assert said.startswith("With filled caches it is 1.10 s instead of 8.10 s; of the 2 cases that were measured with")
    assert not any("--scenario warm" in sentence for sentence in answers_of(records))


def test_what_got_worse_is_told_with_its_numbers_and_what_did_not_is_told_too():
    def side(label, seconds, nodes):
        counts = replace(planted.sample(1.0).counts, nodes_after=nodes)
        made = [planted.sample(seconds + n / 1000, number=n, label=label, fields={"counts": counts}) for n in range(4)]
        return [replace(each, record_id=f"{label}{n}") for n, each in enumerate(made)]

    records = [*side("before", 1.0, 678), *side("after", 1.0, 900)]
    (said,) = [one for one in answers_of(records, comparison=compare(records, "before", "after")) if "worse" in one]
    assert said == (
        "The one case that both have is worse at label after than at label before: some/file.py:build, jax, cold takes "
        "1.33 times the graph nodes after rewriting (678 before, 900 now). See what changed."
    )
    alike = [*side("before", 1.0, 678), *side("after", 1.0, 678)]
    (said,) = [one for one in answers_of(alike, comparison=compare(alike, "before", "after")) if "worse" in one]
    assert said.startswith("The one case that both have is no worse at label after than at label before")


def test_a_live_model_has_no_command():
    record = planted.sample(2.0, number=1, reference="live:model")
    assert not any("firstgrad " in sentence for sentence in answers_of([record]))


def test_sentences_are_few():
    records = [*planted.a_sweep(), *planted.along_commits()]
    assert len(answers_of([replace(each, doubts=(Doubt.HIGH_LOAD,)) for each in records])) <= 8


# --- commits and releases ---------------------------------------------------------------------------------------------


def test_several_commits_are_drawn_as_lines():
    records = planted.along_commits()
    page = overview(records, commits=dict.fromkeys(planted.COMMITS, ""))
    section = section_of(page, "commits")
    picture = part_of(section, Picture)
    assert "from aaaaaaaaaa to cccccccccc" in picture.description
    assert "3.25 s at aaaaaaaaaa, 5.25 s at cccccccccc, failed samples at bbbbbbbbbb" in picture.description
    assert "4.25 s" not in texts_of(section)[0]
    assert texts_of(section)[0].startswith("2 cases at 3 commits. ")
    assert section_of(page, "releases") is None
    assert section_of(overview(records[:3]), "commits") is None


def test_several_releases_are_drawn_as_lines_in_their_order():
    section = section_of(overview(planted.along_releases()), "releases")
    assert texts_of(section)[0].startswith("6 cases at 3 releases. ")
    assert "from PyMC 5.28.5 to PyMC 6.4.0" in part_of(section, Picture).description
    assert "2.50 s at PyMC 5.28.5, 4.50 s at PyMC 6.4.0" in part_of(section, Picture).description


def test_the_last_commit_is_compared_with_the_one_before_without_being_asked(firstgrad):
    code, page, err = firstgrad()
    assert (code, err) == (0, "")
    assert "Comparison: commit bbbbbbbbbb to commit cccccccccc" in page
    assert "These are the last two that the same cases were measured at" in page


def test_the_last_two_are_found_among_commits_labels_and_releases():
    def last(records, *commits):
        sides = find_last_sides(samples_table(records), commits)
        return sides and (sides.base, sides.head, sides.across, len(sides.record_ids))

    one, other, third = planted.COMMITS
    assert last(planted.along_commits()) == (other, third, frozenset(), 12)
    assert last(planted.along_commits(), third, one, other) == (one, other, frozenset(), 12)
    labelled = [planted.sample(1.0, number=n, label=label) for n, label in enumerate(("b", "b", "a", ""))]
    assert last(labelled) == ("b", "a", frozenset(), 3)
    assert last(labelled[:2]) is None
    releases = [
        planted.sample(1.0, number=n, label=f"l{version}", versions=(("pymc", "6.4.0"), ("pytensor", f"3.{version}")))
        for n, version in enumerate((10, 9, 8))
    ]
    assert last(releases) == ("l9", "l10", frozenset({"pytensor"}), 2)
    unlike = [planted.sample(1.0, number=n, label=f"{n}", threads=n) for n in (1, 2)]
    assert last(unlike) is None


# --- what stands behind a row -----------------------------------------------------------------------------------------


def details_of(records, **options):
    """What the first row of the table opens."""
    (details,) = table_of(overview(records, **options)).rows[0].details
    return details


def test_a_row_has_its_samples_with_their_records_and_what_to_type():
    records = [record for record in planted.along_commits() if record.case.scenario is Scenario.COLD]
    details = details_of(records, option=" --from x.jsonl")
    assert [(one.id, one.commit[:1]) for one in details.samples[:3]] == [("14", "c"), ("13", "c"), ("12", "c")]
    newest = details.samples[0]
    assert newest.command == "firstgrad show 14 --from x.jsonl"
    assert [(phase.name, phase.wall_seconds, phase.cpu_seconds) for phase in newest.phases] == [("link", 5.5, 5.5)]
    assert details.samples[-1].phases[0].cpu_seconds is None  # only the newest line's records were read
    assert dict(details.commands)["where its time goes"] == "firstgrad profile some/file.py:build --backend jax"
    assert (details.left_out, details.profile) == (0, ())


def test_a_kept_profile_stands_in_the_row_of_its_case():
    from firstgrad.profiling import Profile

    record = planted.sample(2.0, number=1)
    profile = Profile(record=replace(record, record_id="0123456789"))
    details = details_of([record], profiles={record.case.question: profile})
    assert details.commands[0] == ("its newest profile", "firstgrad profile --show 01234567")
    assert details.profile
    assert not details_of([record], profiles={"another": profile}).profile


def test_of_many_samples_the_newest_are_behind_a_row_and_the_others_counted():
    details = details_of([planted.sample(1.0, number=number) for number in range(15)])
    assert (len(details.samples), details.left_out) == (12, 3)


@pytest.mark.parametrize(
    ("verb", "case", "command"),
    [
        ("profile", builders.make_case(backend=BackendName.JAX), "firstgrad profile some/file.py:build --backend jax"),
        (
            "measure",
            builders.make_case(backend=BackendName.C, scenario=Scenario.WARM, target=Target.LOGP_DLOGP),
            "firstgrad measure some/file.py:build --backend c --target logp_dlogp --scenario warm",
        ),
        (
            "lint",
            Case(model=builders.pose(timesteps=7, states=3), backend=BackendName.C),
            "firstgrad lint pose --hmm on --states 3 --timesteps 7",
        ),
        (
            "check",
            Case(model=make_model("a b.py:f", {"n": 3, "kind": "3", "x": True}), backend=BackendName.C),
            "firstgrad check 'a b.py:f' --param 'kind=\"3\"' --param n=3 --param x=True --backend c",
        ),
    ],
)
def test_commands_are_as_a_shell_takes_them(verb, case, command):
    assert write_command(verb, case) == command
