"""``firstgrad compare`` over real stores: exit codes, and what is printed."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from builders import MIB, git, make_case, make_environment, make_record, store_of
from builders import firstgrad as run
from firstgrad.bisecting import bench as BENCH  # noqa: N812 - a module
from firstgrad.codec import from_json
from firstgrad.comparing.comparison import Comparison
from firstgrad.comparing.judge import ComparisonVerdict
from firstgrad.record import Counts, Failure, Memory, Status
from firstgrad.store import Store

CASE = make_case()


def some(label, *, nodes=1000, seconds=2.0, case=CASE, samples=3, **environment):
    return [
        make_record(
            record_id=f"{label}-{case.id}-{number}",
            case=case,
            environment=make_environment(label=label, **environment),
            time_to_first_gradient_seconds=seconds + 0.01 * number,
            counts=Counts(groups=1, values=1, nodes_after=nodes),
            memory=Memory(peak_rss_bytes=400 * MIB),
        )
        for number in range(samples)
    ]


def broken(record, message="no | data `today` @all <b>"):
    return replace(record, status=Status.FAILED, failure=Failure(kind="ValueError", message=message))


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def again(*words):
    """Compare what is in the default store of this folder."""
    return run("compare", *words)


def compared(records, *words):
    """Put records into the default store first."""
    store_of(records)
    return again(*words)


def test_no_change_ends_with_0_and_shows_a_table_only_where_all_is_asked_for():
    code, out, err = compared([*some("before"), *some("after")], "before", "after")
    assert (code, err) == (0, "")
    assert "label before to label after" in out
    assert "cases compared: 1; of their metrics: 4 same. Of metrics that only inform: 1 same" in out
    assert "BASE" not in out
    code, out, _ = again("before", "after", "--markdown")
    assert code == 0
    assert out.startswith("### firstgrad compare: no regression\n")
    assert "| case |" not in out
    code, out, _ = again("before", "after", "--all")
    assert code == 0
    for text in (str(CASE), "peak_memory", "400 MiB (n=3)", "2.01 s (n=3)", "1.000 [0.989, 1.011]", "1.020", "same"):
        assert text in out


def test_a_regression_ends_with_1_and_only_it_is_shown_and_the_sides_exchanged_end_with_0():
    code, out, _ = compared([*some("before"), *some("after", nodes=1200)], "before", "after")
    assert code == 1
    (row,) = [line for line in out.splitlines() if "larger" in line and "nodes" in line]
    for text in ("1,000 (n=3)", "1,200 (n=3)", "1.200 (+200)"):
        assert text in row
    assert "time_to_first_gradient" not in out
    code, out, _ = again("after", "before")
    assert code == 0
    assert "smaller" in out


def test_thresholds_are_options():
    records = [*some("before"), *some("after", nodes=1200, seconds=2.3)]
    code, out, _ = compared(records, "before", "after", "--threshold-counts", "1.3")
    assert code == 0
    assert "slower, informs" in out
    assert "compare --gate seconds makes times raise alarms too" in out
    assert again("before", "after", "--threshold-counts", "1.3", "--gate", "seconds")[0] == 1
    assert again("before", "after", "--metric", "time_to_first_gradient")[0] == 1
    code, out, _ = again("before", "after", "--threshold-counts", "1.3", "--threshold", "1.2")
    assert code == 0
    assert "slower, below the threshold" in out
    assert "larger, below the threshold" in out
    assert again("before", "after", "--threshold-counts", "1.3", "--threshold", "1.1")[0] == 1
    assert again("before", "after", "--metric", "peak_memory", "--metric", "nodes")[0] == 1
    assert again("before", "after", "--metric", "peak_memory")[0] == 0


def test_a_failure_ends_with_1_and_says_why():
    after = [broken(each) for each in some("after")]
    code, out, _ = compared([*some("before"), *after], "before", "after")
    assert code == 1
    assert "failed: on HEAD 3 of 3 samples: failed: ValueError: no | data `today` @all <b>" in out


def test_json_is_the_whole_comparison():
    code, out, _ = compared([*some("before"), *some("after", nodes=1200)], "before", "after", "--json")
    assert code == 1
    found = from_json(out, Comparison)
    assert found.cases[0].verdict is ComparisonVerdict.LARGER
    (nodes,) = [each for each in json.loads(out)["cases"][0]["metrics"] if each["metric"] == "nodes"]
    assert (nodes["verdict"], nodes["unit"], nodes["ratio"]["value"]) == ("larger", "count", 1.2)
    assert nodes["base"] == {"samples": 3, "median": 1000.0, "low": 1000.0, "high": 1000.0}


def test_markdown_is_a_table_that_names_cannot_break():
    odd = make_case("a|b.py:build")
    records = [*some("before"), *some("after", nodes=1200), *some("before", case=odd)]
    records += [broken(each) for each in some("after", case=odd)]
    code, out, _ = compared(records, "before", "after", "--markdown")
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == "### firstgrad compare: regression"
    assert "| case | metric | BASE | HEAD | ratio | noise | verdict |" in lines
    assert f"| `{CASE}` | nodes | 1,000 (n=3) | 1,200 (n=3) | 1.200 (+200) | 1.000 | **larger** |" in lines
    (failed,) = [line for line in lines if line.startswith("- **failed**")]
    assert failed.endswith("`on HEAD 3 of 3 samples: failed: ValueError: no | data 'today' @all <b>`")


def test_cases_that_read_alike_are_told_apart():
    long = replace(CASE, time_limit_seconds=7.0)
    records = [*some("before"), *some("after"), *some("before", case=long), *some("after", case=long)]
    _, out, _ = compared(records, "before", "after", "--all")
    assert f"({CASE.id[:8]})" in out
    assert f"({long.id[:8]})" in out


def test_the_store_can_be_elsewhere(tmp_path):
    store_of([*some("before"), *some("after", nodes=1200)], tmp_path / "other.sqlite")
    assert again("before", "after", "--store", "other.sqlite")[0] == 1


def test_another_host_ends_with_2_and_force_marks_the_result():
    host = replace(make_environment().host, cores=64)
    records = [*some("before"), *some("after", host=host)]
    code, out, err = compared(records, "before", "after")
    assert (code, out) == (2, "")
    assert "host.cores is 4 on BASE and 64 on HEAD" in err
    for how in ("--json", "--markdown", "--all"):
        code, out, _ = again("before", "after", "--force", how)
        assert code == 0
        assert ('"is_forced":true' if how == "--json" else "FORCED") in out


def test_declared_packages_may_differ():
    records = [*some("before", versions=(("pymc", "5"),)), *some("after", versions=(("pymc", "6"),))]
    assert compared(records, "before", "after")[0] == 2
    code, out, _ = again("before", "after", "--across", "pymc")
    assert code == 0
    assert "compared: pymc is 5 on BASE and 6 on HEAD" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("before", "nowhere"), "'nowhere': no record has this label or commit. There are labels after, before"),
        (("before", "after", "--metric", "speed"), "--metric: there is no 'speed'. There are time_to_first_gradient,"),
        (("before", "after", "--threshold", "0.5"), "--threshold: expected a number of 1 or more"),
        (("before", "after", "--threshold", "1.5", "--gate", "counts"), "--threshold: is for times, which raise no"),
        (("before", "after", "--across", "pymcc"), "--across: 'pymcc'"),
        (("before", "after", "--json", "--markdown"), "give one of them"),
        (("before", "after", "--output", "plot.pdf"), "--output: expected a file that ends in .png or .svg"),
        (("before", "after", "--store", "none.sqlite"), "none.sqlite: there is no store here"),
        (("before",), "HEAD"),
    ],
)
def test_wrong_use_ends_with_2_and_names_the_culprit(tmp_path, arguments, message):
    code, out, err = compared([*some("before"), *some("after")], *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "none.sqlite").exists()


def test_a_comparison_of_nothing_does_not_pass():
    records = [*some("before"), *some("after", case=make_case("other.py:build"))]
    code, out, err = compared(records, "before", "after")
    assert code == 2
    assert "nothing was compared" in err
    assert out.count("missing: on") == 2


def test_names_that_git_knows_are_resolved_in_the_present_folder(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    commits = []
    for message in ("one", "two"):
        git(tmp_path, "commit", "-q", "--allow-empty", "-m", message)
        commits.append(git(tmp_path, "rev-parse", "HEAD"))
    records = [*some("a", git_commit=commits[0]), *some("b", git_commit=commits[1], nodes=1200)]
    code, out, _ = compared(records, "HEAD~1", "main")
    assert code == 1
    assert f"HEAD~1 (commit {commits[0][:10]}) to main (commit {commits[1][:10]})" in out
    assert again(commits[1][:7], commits[0])[0] == 0
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "not measured")
    code, _, err = again("HEAD~1", "HEAD")
    assert code == 2
    assert "'HEAD': no record has this label or commit (commit " in err


def test_a_side_against_itself_says_so():
    code, out, _ = compared(some("before"), "before", "before")
    assert code == 0
    assert "3 samples are on both sides" in out


def test_a_forest_plot_is_written_where_it_is_wanted(tmp_path):
    records = [*some("before"), *some("after")]
    assert compared(records, "before", "after", "--output", "new/plot.png")[0] == 0
    assert (tmp_path / "new/plot.png").read_bytes().startswith(b"\x89PNG")
    assert again("before", "after", "--metric", "nodes", "--output", "plot.svg")[0] == 0
    assert "Ratios of HEAD (label after) by BASE (label before)" in (tmp_path / "plot.svg").read_text()


def test_intervals_notes_and_further_samples_are_told():
    noisy = [replace(each, time_to_first_gradient_seconds=2 + number / 2) for number, each in enumerate(some("after"))]
    code, out, _ = compared([*some("before"), *noisy], "before", "after")
    assert code == 0
    assert "not interleaved: drift of the machine counts as difference" in out
    assert "a change by less than a factor of 1.02 counts as noise" in out
    (row,) = [line for line in out.splitlines() if "undecided:" in line]
    assert "more samples" in row


def test_only_the_sides_are_read_whole(monkeypatch):
    read = []
    whole = Store.records

    def watched(store, *arguments, **named):
        for record in whole(store, *arguments, **named):
            read.append(record.environment.label)
            yield record

    monkeypatch.setattr(Store, "records", watched)
    records = [*some("other"), *some("before", git_commit="a" * 40), *some("after", git_commit="b" * 40)]
    assert compared(records, "before", "after")[0] == 0
    assert set(read) == {"before", "after"}
    read.clear()
    assert again("a" * 7, "b" * 40)[0] == 0
    assert set(read) == {"before", "after"}


def test_the_history_in_the_store_sets_the_noise_threshold():
    earlier = [
        replace(
            each,
            time_to_first_gradient_seconds=2.0 * 1.2 ** (run % 2),
            started_at=f"2024-01-{run + 1:02}T00:00:0{number}+00:00",
        )
        for run in range(8)
        for number, each in enumerate(some(f"run {run}"))
    ]
    code, out, _ = compared([*earlier, *some("before"), *some("after", seconds=2.3)], "before", "after", "--all")
    assert code == 0
    assert "1.200" in next(line for line in out.splitlines() if "time_to_first_gradient " in line)
    assert "noise threshold: by the history of 2 of 2 metrics (up to 1.200), else 1.02" in out


def test_what_fails_alike_on_both_sides_is_told_once():
    code, out, _ = compared([broken(one) for label in ("before", "after") for one in some(label)], "before", "after")
    assert code == 2
    assert out.count("no | data") == 1
    assert "on both 3 of 3 samples: failed: ValueError: no | data" in out


def test_bisect_refuses_a_model_that_no_commit_has_before_anything_is_built(tmp_path):
    git(tmp_path, "init", "-q")
    for number, name in enumerate(("early.py", "amid.py", "late.py")):
        (tmp_path / name).write_text(f"number = {number}\n")
        git(tmp_path, "add", name)
        git(tmp_path, "commit", "-qm", name)
    (tmp_path / "untracked.py").write_text("")
    ended = run("bisect", "HEAD~2", "HEAD", "untracked.py:build", "--backend", "fake")
    assert ended.code == 2
    assert re.search(r"MODEL: no commit from .* to .* has untracked\.py \(looked from ", ended.err)
    assert not (tmp_path / ".firstgrad").exists()
    asked = BENCH.Line(revisions=BENCH.list_commits(tmp_path, "HEAD~2", "HEAD", None)[0], folder=tmp_path)
    for name in ("early.py", "amid.py", "late.py"):
        BENCH._require_model(asked, make_case(f"{name}:build"))
