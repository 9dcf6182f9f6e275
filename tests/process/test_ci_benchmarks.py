"""The script of CI's benchmark jobs, with programs in place of asv and firstgrad that end as they are told to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builders import git

SCRIPT = Path(__file__).parents[2] / "scripts/ci_benchmarks.py"

PROGRAM = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
words = sys.argv[1:]
if words[0] == "--config":
    known = json.loads(Path(words[1]).read_text())
    words = words[2:]
    if words[0] == "publish":
        Path(known["html_dir"]).mkdir(exist_ok=True)
        Path(known["html_dir"], "index.html").write_text("pages")
    if words[0] == "run":
        Path(os.environ["TOLD"] + ".commits").write_text(Path(words[-1].removeprefix("HASHFILE:")).read_text())
else:
    known = {{}}
    if words[0] == "report":
        Path(words[words.index("--output") + 1]).write_text("report")
name = "NAME"
with open(os.environ["TOLD"], "a") as file:
    told = {{"name": name, "words": words, "branches": known.get("branches"), "store": os.getenv("FIRSTGRAD_STORE")}}
    file.write(json.dumps(told) + chr(10))
print(f"output of {{name}} {{words[0]}}")
sys.exit(int(os.environ.get(f"CODE_{{name}}_{{words[0]}}", "0")))
"""


def commit(folder, message="A change"):
    git(folder, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


class Checkout:
    """A project as CI checks it out: no branch, all commits of the others."""

    def __init__(self, folder):
        origin = folder / "origin"
        (origin / "scripts").mkdir(parents=True)
        shutil.copy(SCRIPT, origin / "scripts")
        (origin / "asv.conf.json").write_text('{"branches": ["main"]}')
        git(origin, "init", "--quiet", "--initial-branch=main")
        git(origin, "add", ".")
        self.on_main = [commit(origin) for _ in range(4)]
        git(origin, "switch", "--quiet", "-c", "change")
        self.head = commit(origin)
        git(origin, "switch", "--quiet", "main")
        self.newer = commit(origin, "Meanwhile")  # of the same second, and yet another commit
        self.root = folder / "here"
        git(folder, "clone", "--quiet", str(origin), str(self.root))
        git(self.root, "checkout", "--quiet", "--detach", self.head)
        git(self.root, "branch", "--quiet", "--delete", "--force", "main")
        self.told = folder / "told"
        self.shown = folder / "summary.md"
        self._bin = folder / "bin"
        self._put_programs(folder / "packages/asv")

    def _put_programs(self, package):
        self._bin.mkdir()
        (self._bin / "python").symlink_to(Path(sys.executable).resolve())
        program = self._bin / "firstgrad"
        program.write_text(PROGRAM.replace("NAME", "firstgrad"))
        program.chmod(0o755)
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(PROGRAM.replace("NAME", "asv"))
        (package / "util.py").write_text(
            "import json\nfrom pathlib import Path\n"
            "def load_json(path, js_comments): return json.loads(Path(path).read_text())\n"
        )

    def run(self, *words, **variables):
        unset = {name: value for name, value in os.environ.items() if not name.startswith("FIRSTGRAD_")}
        packages = str(self._bin.parent / "packages")
        known = {"TOLD": str(self.told), "GITHUB_STEP_SUMMARY": str(self.shown), "PYTHONPATH": packages}
        return subprocess.run(
            [self._bin / "python", "scripts/ci_benchmarks.py", *words],
            cwd=self.root,
            env=unset | known | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    def was_told(self):
        return [json.loads(line) for line in self.told.read_text().splitlines()]

    def words_of(self, name, verb):
        (found,) = [told["words"] for told in self.was_told() if told["name"] == name and told["words"][0] == verb]
        return found


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


@pytest.mark.parametrize(
    ("asv", "gate", "publish", "report", "code"),
    [
        (0, 0, 0, 0, 0),
        (1, 0, 0, 0, 1),
        (0, 1, 0, 0, 1),
        (1, 1, 0, 0, 1),
        (2, 0, 0, 0, 2),
        (0, 2, 0, 0, 2),
        (1, 3, 0, 0, 2),
        (0, 0, 1, 0, 2),
        (0, 0, 0, 1, 2),
    ],
)
def test_a_pull_request_ends_as_the_worst_after_everything_was_made(checkout, asv, gate, publish, report, code):
    left = checkout.root / "build/benchmarks/pull-request"
    left.mkdir(parents=True)
    (left / "results.sqlite").write_text("of an earlier run")
    codes = {"asv_continuous": asv, "firstgrad_compare": gate, "asv_publish": publish, "firstgrad_report": report}
    done = checkout.run(
        *("pull-request", "origin/main", "HEAD"), **{f"CODE_{name}": str(value) for name, value in codes.items()}
    )
    assert done.returncode == code, done.stdout + done.stderr
    shown = checkout.shown.read_text()
    assert "output of asv compare" in shown
    assert "output of firstgrad compare" in shown
    assert ("`asv publish` failed" in shown) is bool(publish)
    assert ("`firstgrad report` failed" in shown) is bool(report)
    assert {file.name for file in left.iterdir()} == {"html", "report.html", "summary.md"}
    assert not list(checkout.root.glob(".asv-ci*"))


def test_asv_that_could_not_run_is_no_regression(checkout):
    done = checkout.run("pull-request", "origin/main", "HEAD", CODE_asv_continuous="1", CODE_asv_compare="1")
    assert done.returncode == 2
    assert "**Failed** says asv" in checkout.shown.read_text()


def test_a_pull_request_compares_with_the_merge_base(checkout):
    checkout.run("pull-request", "origin/main", "HEAD", FIRSTGRAD_ASV_OPTIONS="--bench 'Jax.*(20, 2'")
    base, head = checkout.on_main[-1], checkout.head
    assert checkout.words_of("asv", "continuous")[-4:] == ["--bench", "Jax.*(20, 2", base, head]
    assert "--interleave-rounds" in checkout.words_of("asv", "continuous")
    assert checkout.words_of("firstgrad", "compare")[:3] == ["compare", base, head]
    store = str(checkout.root / "build/benchmarks/pull-request/results.sqlite")
    assert {told["store"] for told in checkout.was_told()} == {store}
    assert git(checkout.root, "rev-parse", "main") == checkout.newer
    assert checkout.was_told()[0]["branches"] == ["main", head]


@pytest.mark.parametrize("head", ["origin/main", "nobody", "--help"])
def test_without_two_commits_nothing_is_measured(checkout, head):
    done = checkout.run("pull-request", "origin/main", "--", head)
    assert done.returncode == 2
    assert done.stderr.startswith("ci_benchmarks: ")
    assert "Traceback" not in done.stderr
    assert not checkout.told.exists()


@pytest.mark.parametrize(("tier", "number"), [("", 3), ("quick", 3), ("standard", 1)])
def test_main_measures_what_earlier_runs_left_out(checkout, tier, number):
    done = checkout.run("main", FIRSTGRAD_TIER=tier)
    assert done.returncode == 0, done.stdout + done.stderr
    newest = [checkout.newer, *reversed(checkout.on_main)]
    assert Path(f"{checkout.told}.commits").read_text().split() == newest[:number]
    assert "--skip-existing-successful" in checkout.words_of("asv", "run")
    assert (checkout.root / "build/benchmarks" / (tier or "quick") / "html/index.html").exists()


def test_main_shows_the_last_commit_with_results(checkout):
    results = checkout.root / "build/benchmarks/quick/results/ci"
    results.mkdir(parents=True)
    (results / f"{checkout.on_main[1][:8]}-env.json").touch()
    checkout.run("main")
    assert checkout.words_of("asv", "compare")[-2:] == [checkout.on_main[1], checkout.newer]
    assert f"Against {checkout.on_main[1][:8]}" in checkout.shown.read_text()


def test_main_fails_where_a_case_failed_after_the_pages_were_made(checkout):
    done = checkout.run("main", CODE_asv_run="2")
    assert done.returncode == 2
    assert checkout.words_of("firstgrad", "report")
    assert "**Failed** says asv" in checkout.shown.read_text()


def test_the_site_joins_all_tiers(checkout):
    assert checkout.run("site").returncode == 2
    for tier in ("quick", "standard"):
        checkout.run("main", FIRSTGRAD_TIER=tier)
    assert checkout.run("site").returncode == 0
    site = checkout.root / "build/site"
    links = [f"{tier}/{page}" for tier in ("quick", "standard") for page in ("", "report.html")]
    for link in links:
        assert f'href="{link}"' in (site / "index.html").read_text()
        assert (site / link).exists()
