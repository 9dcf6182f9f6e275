"""The page of everything: planted numbers, the table and its size, figures' choices, hostile names, the verb."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_report import Reader, read

import builders
import planted
from firstgrad.case import Scenario
from firstgrad.columns import samples_table
from firstgrad.comparing.comparison import compare
from firstgrad.comparing.sides import choose_side
from firstgrad.errors import UnknownSideError
from firstgrad.record import Doubt
from firstgrad.show.overview import (
    COLUMNS,
    breakeven_sections,
    choose_bars,
    choose_peaks,
    comparison_section,
    escaped_bytes,
    growth_sections,
    make_lines,
    make_overview,
    memory_section,
    take_fitting,
    tell_bars,
)
from firstgrad.show.page import render_page
from firstgrad.show.result import Fold, Items, Picture, Span, Style, Table, Text
from firstgrad.store import Store, export_jsonl
from firstgrad.store.jsonl import ExportSource
from helpers import MIB, make_environment

MOST_BYTES = 3_000_000
HEADS = [column.name for column in COLUMNS]


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
    """The cells of the table of all cases, as they are."""
    return [dict(zip(HEADS, row, strict=True)) for row in table_of(overview(records)).rows]


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


def test_the_results_name_ranges_and_what_is_sound():
    results = section_of(overview([*planted.along_commits(), *planted.a_sweep()]), "results")
    sentences = part_of(results, Items).items
    assert (
        "jax, warm: first gradient after 3.25 s (some/file.py:build, commit aaaaaaaaaa) to 5.25 s (some/file.py:build, "
        "commit cccccccccc), in 2 lines; 1 further line without one."
    ) in sentences
    jax = next(sentence for sentence in sentences if sentence.startswith("jax, cold"))
    assert jax == (
        "jax, cold: first gradient after 3.25 s (some/file.py:build, commit aaaaaaaaaa) to 10.0 s "
        "(some/file.py:build(size=8)), in 7 lines; 2 further lines without one."
    )
    assert "16 samples agree with the oracle, 1 disagrees; 0 are of models that have none." in sentences
    assert any(each.startswith("c, cold: first gradient after 110 s (") and "in 4 cases" in each for each in sentences)
    assert "3 samples failed, 1 stopped by a limit of time or memory." in sentences


def mixed(**sides):
    """Nine samples of a case, as the overview's table had them: three failed, the others 3.0 to 5.5."""
    samples = [
        planted.sample(seconds, number=number, **sides)
        for number, seconds in enumerate((3.0, 3.25, 3.5, 5.0, 5.25, 5.5))
    ]
    samples += [planted.broken(planted.sample(4.0, number=6 + number, **sides)) for number in range(3)]
    return [replace(each, doubts=(Doubt.HIGH_LOAD,)) for each in samples]


def test_a_line_of_the_table_has_medians_and_what_they_are_sorted_by():
    (spans,) = spans_of(mixed(label="planted"))
    line = {name: told(cell) for name, cell in spans.items()}
    assert line["model"] == "some/file.py:build"
    # Three samples failed: the median is of the other six, 3.0 3.25 3.5 5.0 5.25 5.5.
    assert (line["samples"], spans["samples"].number) == ("9", "9")
    assert line["time to first gradient"] == "4.25 s [3.00 s, 5.50 s]"
    assert spans["time to first gradient"].number == "4.25"
    assert (line["peak memory"], spans["peak memory"].number) == ("425 MiB", str(f"{425 * MIB:.6g}"))
    assert (line["evaluation"], line["nodes"]) == ("4.25 ms", "678")
    assert (line["status"], spans["status"].style) == ("6 ok, 3 failed", Style.BAD)
    assert (line["doubts"], line["label"]) == ("high_load", "planted")


def test_commits_and_labels_are_lines_of_their_own():
    fast, slow = "f" * 40, "5" * 40
    records = [planted.sample(0.478, number=1, git_commit=fast), planted.sample(6.51, number=2, git_commit=slow)]
    records += [replace(planted.sample(3.0, number=3, git_commit=slow, label="mine"), record_id="3")]
    lines = [(line["label"], line["commit"], line["time to first gradient"]) for line in cells_of(records)]
    assert lines == [("mine", slow[:10], "3.00 s"), ("", slow[:10], "6.51 s"), ("", fast[:10], "478 ms")]
    page = overview(records)
    assert page.facts[0].startswith("3 samples of 1 case, in 3 lines by label and commit: ")
    bars = part_of(section_of(page, "phases"), Picture).description
    assert all(number in bars for number in ("478 ms", "6.51 s", "3.00 s"))


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
    assert (line["status"], line["time to first gradient"]) == ("contradicted", "")


def test_unlike_conditions_are_never_put_together():
    records = [planted.sample(seconds, number=number) for number, seconds in enumerate((1.0, 2.0))]
    records[1] = replace(records[1], environment=make_environment(threads=2))
    lines = cells_of(records)
    assert [line["time to first gradient"] for line in lines] == ["2.00 s", "1.00 s"]
    assert [line["environment"] for line in lines] == ["E1", "E2"]
    listed = part_of(section_of(overview(records), "environments"), Table).rows
    assert [(row[0], row[-4]) for row in listed] == [("E1", "2"), ("E2", "1")]


def test_devices_are_lines_of_their_own_and_told():
    records = [planted.sample(seconds, number=number) for number, seconds in enumerate((1.0, 2.0))]
    gpu = replace(records[1].environment, device="cuda, NVIDIA H100")
    page = overview([records[0], replace(records[1], environment=gpu)])
    assert len(table_of(page).rows) == 2
    listed = part_of(section_of(page, "environments"), Table)
    place = [column.name for column in listed.columns].index("device")
    assert [row[place] for row in listed.rows] == ["cuda, NVIDIA H100", ""]
    assert "device cuda, NVIDIA H100" in part_of(section_of(page, "phases"), Picture).description


def test_other_limits_are_the_same_case():
    records = [planted.sample(seconds, number=number) for number, seconds in enumerate((1.0, 3.0))]
    records[1] = replace(records[1], case=replace(records[1].case, time_limit_seconds=7.0, evaluations=9))
    (line,) = cells_of(records)
    assert line["time to first gradient"] == "2.00 s [1.00 s, 3.00 s]"


def test_models_that_read_alike_are_told_apart():
    from firstgrad.case import BackendName, Case
    from firstgrad.pose.spec import PoseSpec

    records = [
        replace(planted.sample(1.0, number=n), case=Case(model=PoseSpec(n_cameras=cameras), backend=BackendName.C))
        for n, cameras in enumerate((3, 5))
    ]
    names = [line["model"] for line in cells_of(records)]
    assert len(set(names)) == 2
    assert "C=5" in names[0]


def test_of_many_cases_the_newest_are_listed_and_the_page_stays_small():
    page = overview(planted.many_cases(2500))
    text = render_page(page)
    assert len(text.encode()) < MOST_BYTES
    table = table_of(page)
    assert len(table.rows) == 2000
    assert "The newest 2,000 of 2,500 lines are listed." in text
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
    assert f"The newest {listed:,} of 2,500 lines are listed." in text
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
    reader = Reader()
    reader.feed(text)
    assert "110 s [109 s, 111 s]" in reader.texts


def test_only_the_records_that_the_page_needs_are_read():
    records, asked = planted.many_cases(300), []

    def read_some(wanted):
        asked.append(set(wanted))
        return [each for each in records if each.record_id in wanted]

    make_overview(samples_table(records), read_some)
    assert len(asked) == 1
    assert len(asked[0]) < 30


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
    samples = samples_table(records)
    lines = make_lines(samples)
    bars = choose_bars(lines, samples)
    return bars, tell_bars(lines, len(bars))


def test_the_phases_are_of_the_model_that_most_lines_have():
    records = [*mixed(), planted.of_model(planted.sample(9.0, number=99), size=1)]
    records += [planted.sample(1.0, number=50, scenario=Scenario.WARM)]
    bars, sentence = chosen(records)
    assert [len(case) for case in bars] == [5, 1, 1]
    assert bars[-1][0] == "99"
    assert sentence == "All 3 lines with a first gradient. Medians, at most the 5 newest samples a line."


def test_at_most_twelve_lines_have_a_bar():
    bars, sentence = chosen(planted.many_cases(30))
    assert len(bars) == 12
    assert sentence.startswith("12 of 30 lines: those of the model that most lines have, ")
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
    (section,) = breakeven_sections(make_lines(samples_table(planted.a_sweep())))
    assert section.id == "break-even-cold"
    picture = part_of(section, Picture)
    assert "jax is ahead at first; c from 110,000 on" in picture.description
    assert picture.caption.startswith("some/file.py:build(size=8):")
    assert breakeven_sections(make_lines(samples_table(planted.along_commits()))) == ()


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
    worse = next(row for row in part_of(section, Table).lines() if row.cells[1] == "time to first gradient")
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
    assert "3.25 s [3.00 s, 3.50 s]" in page


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
