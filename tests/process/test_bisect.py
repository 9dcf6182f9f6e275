"""``firstgrad bisect`` for real: a clone with a planted commit among 60, in real processes; builds; interruption."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter

import pytest

from builders import FIRSTGRAD, git, run_firstgrad
from firstgrad.store import Store
from helpers import linux_only

pytestmark = linux_only

SIZE, CULPRIT, UNUSABLE = 60, 37, 36
MODEL = """
import theirs.work

class Model:
    free_RVs = ("x",)
    def compile_fn(self):
        "The fake backend asks for no more than that it is there."

def build():
    theirs.work.do()
    return Model()
"""
WORK = """
def step(number):
    return number + 1

def do():
    for _ in range({times}):
        step(1)
"""


def write_clone(folder):
    """A project of 60 commits: one of them calls ten times as many functions, and two can't be measured."""
    stream = []

    def add(path, content):
        stream.append(f"M 100644 inline {path}\ndata {len(content.encode())}\n{content}\n")

    for number in range(SIZE):
        subject = "Work is done ten times" if number == CULPRIT else f"Change {number}"
        stream.append(
            f"commit refs/heads/main\nmark :{number + 1}\n"
            f"committer Someone <someone@example.org> {1_700_000_000 + number} +0000\n"
            f"data {len(subject)}\n{subject}\n" + (f"from :{number}\n" if number else "")
        )
        if number == 0:
            add("pyproject.toml", '[project]\nname = "theirs"\nversion = "1.0"\ndependencies = ["numpy>=1"]\n')
            add("model.py", MODEL)
            add(".gitignore", ".firstgrad/\n")
        broken = "raise ImportError('half done')\n" if number == UNUSABLE else ""
        add("theirs/__init__.py", f"NUMBER = {number}\n{broken}")
        add("theirs/work.py", WORK.format(times=1000 if number >= CULPRIT else 100))
    git(folder, "init", "--quiet", "--initial-branch", "main")
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=folder, input="".join(stream), text=True, check=True, timeout=60
    )
    git(folder, "reset", "--hard", "--quiet", "main")


def bisect(folder, *words, code=0):
    words = ("bisect", *words, "--backend", "fake", "--evaluations", "0")
    done = run_firstgrad(*words, cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clone")
    write_clone(folder)
    return folder


def test_a_planted_commit_among_60_is_found_by_counts_around_one_that_cannot_be_measured(clone):
    # What lies there now is not what is measured.
    (clone / "theirs" / "work.py").write_text("raise RuntimeError('not committed')")
    out, err = bisect(clone, "main~59", "main", "model.py:build", "--json")
    result = json.loads(out)
    assert (result["outcome"], result["by"], result["revisions"]) == ("range", "calls_build", SIZE)
    assert result["found"]["subject"] == "Work is done ten times"
    assert [one["subject"] for one in result["between"]] == [f"Change {UNUSABLE}"]
    assert result["number_after"] - result["number_before"] == 900
    assert "58 commits left, about 6 steps" in err
    assert "skipped" in err
    assert "half done" in err
    with Store.open(clone / ".firstgrad" / "results.sqlite") as store:
        records = list(store.records())
    assert len(records) == len({record.environment.git_commit for record in records}) <= 2 + 6 + 2
    assert git(clone, "status", "--porcelain") == "M theirs/work.py"
    assert len(git(clone, "worktree", "list").splitlines()) == 1
    assert len({record.environment.source_digest for record in records}) == 1
    # Again: nothing is measured, and what is pasted names it.
    out, err = bisect(clone, "main~59", "main", "model.py:build", "--markdown")
    with Store.open(clone / ".firstgrad" / "results.sqlite") as store:
        assert len(store) == len(records)
    assert "Work is done ten times" in out
    assert git(clone, "rev-parse", f"main~{SIZE - 1 - CULPRIT}") in out


def test_it_goes_on_where_ctrl_c_ended_it_and_leaves_nothing(clone):
    command = [FIRSTGRAD, "bisect", "main~59", "main", "model.py:build", "--backend", "fake", "--label", "stopped"]
    process = subprocess.Popen(command, cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = []
    try:
        for line in process.stderr:
            said.append(line)
            if "about 5 steps" in line:
                break
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, "".join(said) + rest
    assert "the same command goes on" in rest
    with Store.open(clone / ".firstgrad" / "results.sqlite") as store:
        before = Counter(
            record.environment.label for record in store.records() if "@stopped" in record.environment.label
        )
    assert before
    out, _ = bisect(clone, "main~59", "main", "model.py:build", "--label", "stopped", "--json")
    assert json.loads(out)["found"]["subject"] == "Work is done ten times"
    with Store.open(clone / ".firstgrad" / "results.sqlite") as store:
        after = Counter(
            record.environment.label for record in store.records() if "@stopped" in record.environment.label
        )
    assert set(after.values()) == {1}, "what was there is not measured again"
    assert before.keys() <= after.keys()


def test_a_repository_of_models_alone_is_searched_by_their_own_commits(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    (tmp_path / ".gitignore").write_text(".firstgrad/\n")
    model = MODEL.replace("import theirs.work", WORK).replace("theirs.work.", "")
    for number, times in enumerate((10, 10, 500, 500)):
        (tmp_path / "mine.py").write_text(f"# {number}" + model.format(times=times))
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "--quiet", "-m", f"Change {number}")
    words = ("main~3", "main", "mine.py:build", "--label", "x", "--json")
    result = json.loads(bisect(tmp_path, *words)[0])
    assert (result["by"], result["found"]["subject"], result["left_out"]) == ("calls_build", "Change 2", 0)
    assert result["number_after"] - result["number_before"] == 490


def test_a_state_is_found_and_ends_that_are_alike_are_told(clone):
    last_good = SIZE - 1 - (UNUSABLE - 1)
    words = (f"main~{last_good}", f"main~{last_good - 1}", "model.py:build")
    out, _ = bisect(clone, *words, "--label", "y")
    # The same label with another model is another question.
    with (clone / "model.py").open("a") as file:
        file.write("# changed\n")
    assert bisect(clone, *words, "--label", "y")[0] == out
    with Store.open(clone / ".firstgrad" / "results.sqlite") as store:
        counts = Counter(label for record in store.records() if (label := record.environment.label).endswith("@y"))
    assert set(counts.values()) == {2 * 2}, "an end that fails is measured for its counts, then for its state"
    assert f"Change {UNUSABLE}" in out
    assert "half done" in out
    out, _ = bisect(clone, "main~59", "main~50", "model.py:build", "--predicate", "mismatch", code=1)
    assert "GOOD and BAD don't differ" in out
