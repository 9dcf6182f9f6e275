"""What lies between two ends: commits of a clone by first parents, releases of an index; what a build reads."""

from __future__ import annotations

import pytest

from builders import git
from firstgrad.bisecting.bench import read_line
from firstgrad.bisecting.history import PackageSources, find_package, is_built, list_commits, list_releases
from firstgrad.errors import PythonEnvironmentError, SpecError

PROJECT = '[project]\nname = "Their-Lib"\nversion = "1.0"\n'


def commit(folder, files, message):
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone: three commits of the package, one of its documentation, a merge of two commits, then one more."""
    folder = tmp_path_factory.mktemp("clone")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    known = {"start": commit(folder, {"pyproject.toml": PROJECT, "src/their_lib/__init__.py": "A = 1\n"}, "start")}
    known["docs"] = commit(folder, {"docs/index.md": "text", "README.md": "text"}, "docs")
    known["second"] = commit(folder, {"src/their_lib/more.py": "B = 1\n"}, "second")
    git(folder, "switch", "--quiet", "-c", "branch")
    known["in branch"] = commit(folder, {"src/their_lib/branch.py": "C = 1\n"}, "in branch")
    git(folder, "switch", "--quiet", "main")
    known["beside"] = commit(folder, {"src/their_lib/more.py": "B = 2\n"}, "beside")
    git(folder, "merge", "--quiet", "--no-ff", "-m", "merge", "branch")
    known["merge"] = git(folder, "rev-parse", "HEAD")
    known["last"] = commit(folder, {"src/their_lib/more.py": "B = 3\n", "tests/test_x.py": ""}, "last: with | and `x`")
    return folder, known


def test_commits_follow_first_parents_without_those_that_leave_the_package_as_it_is(clone):
    folder, known = clone
    package = find_package(folder, "main")
    assert package == PackageSources(folder=folder, name="their_lib")
    line, left_out = list_commits(folder, known["start"], "main", package)
    assert [one.subject for one in line] == ["start", "second", "beside", "merge", "last: with | and `x`"]
    assert left_out == 1
    assert line[3].parents == (known["beside"], known["in branch"])
    assert {(one.author, bool(one.date)) for one in line} == {("Tester", True)}
    line, left_out = list_commits(folder, known["start"], "main")
    assert (len(line), left_out) == (6, 0)


def test_ends_that_are_no_line_are_refused_with_what_to_do(clone):
    folder, known = clone
    for good, bad, said in (
        ("main", known["start"], "Exchange them"),
        (known["beside"], "branch", f"where they part, {known['second'][:10]}"),
        ("main", known["last"], "the same commit"),
        ("nowhere", "main", "GOOD: git knows no commit 'nowhere'"),
        ("main~1", "--help", "BAD: git knows no commit '--help'"),
    ):
        with pytest.raises(SpecError, match=said):
            read_line(good, bad, str(folder))
    with pytest.raises(SpecError, match="no git repository"):
        read_line("main~1", "main", str(folder.parent))
    with pytest.raises(SpecError, match="two commits or two releases"):
        read_line("main~1", "a==2", str(folder))


def test_a_subfolder_of_a_repository_may_be_the_project(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    commit(tmp_path, {"python/pyproject.toml": PROJECT, "python/their_lib.py": "A = 1\n"}, "start")
    commit(tmp_path, {"other/x.py": "A = 1\n"}, "of another project")
    commit(tmp_path, {"python/their_lib.py": "A = 2\n"}, "second")
    line = read_line("main~2", "main", str(tmp_path / "python"))
    assert [one.subject for one in line.revisions] == ["start", "second"]
    assert (line.package.name, line.package.place(line.package.files("main"))) == ("their_lib", "their_lib.py")
    assert read_line("main~2", "main", str(tmp_path)).package is None


def test_a_project_without_a_package_of_its_name_says_what_there_is(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    commit(tmp_path, {"pyproject.toml": PROJECT, "one/__init__.py": "", "two/__init__.py": ""}, "start")
    with pytest.raises(SpecError, match=r"'Their-Lib'.*packages: one, two"):
        find_package(tmp_path, "main")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("their_lib/core.py", False),
        ("their_lib/data.txt", False),
        ("their_lib/fast.pyx", True),
        ("setup.py", True),
        ("requirements.txt", True),
        ("native/fast.c", True),
        ("docs/conf.py", False),
        ("tests/test_core.py", False),
        (".github/workflows/x.yml", False),
        ("README.md", False),
        ("LICENSE", False),
    ],
)
def test_which_files_a_build_may_read(path, expected):
    assert is_built(path, "their_lib") is expected


# --- releases -----------------------------------------------------------------------------------------------------

THERE = ["3.0.0", "2.1.10", "2.1.9", "2.1.2", "2.1.1", "2.0.0", "1.9"]


def names(good, bad, there=THERE):
    asked = []

    def ask(name, with_early):
        asked.append((name, with_early))
        return there

    return [one.requirement for one in list_releases(good, bad, ask=ask)], asked


def test_releases_between_two_are_in_the_order_of_versions_with_what_stands_beside():
    line, asked = names("their-lib==2.0.0", "their-lib==2.1.10")
    assert line == [f"their-lib=={one}" for one in ("2.0.0", "2.1.1", "2.1.2", "2.1.9", "2.1.10")]
    assert asked == [("their-lib", False)]
    line, _ = names("a==1.9+jax==0.5", "a==2.1.1+jax==0.5")
    assert line == ["a==1.9+jax==0.5", "a==2.0.0+jax==0.5", "a==2.1.1+jax==0.5"]
    _, asked = names("a==1.9", "a==3.0.0rc1")
    assert asked == [("a", True)]


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("a==2", "b==3", "no two releases of one package"),
        ("a==2+jax==1", "a==3+jax==2", "no two releases of one package"),
        ("a==3", "a==2", "no later release"),
        ("a==2.*", "a==3", "expected whole versions"),
    ],
)
def test_what_is_no_interval_of_releases_is_refused(good, bad, said):
    with pytest.raises(SpecError, match=said):
        list_releases(good, bad, ask=lambda *_: [])


def test_an_index_that_knows_nothing_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(PythonEnvironmentError, match="pip found no releases of a-package-that-there-is-not"):
        list_releases("a-package-that-there-is-not==1", "a-package-that-there-is-not==2")
