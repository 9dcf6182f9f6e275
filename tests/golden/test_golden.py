"""What users see, frozen: made from the committed data and the fake backend, through doors that stay.

`kept.py` says how it is compared, and how to keep what is intended to be different.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from firstgrad.cli import main
from golden import figures_seen
from golden.kept import page_text

ROOT = Path(__file__).parents[2]
DATA = Path("docs/data")
STATISTICS = 1e-6
"""How far estimates may move, since another library may make them."""

FROM_GROWTH = ("--from", DATA / "growth.jsonl")
ONE_QUESTION = ("--axis", "timesteps", "--metric", "time_to_first_gradient_cpu", "--metric", "evaluation")


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("CI", raising=False)  # advice looks at it


@pytest.fixture
def firstgrad(monkeypatch):
    """Run the command line here, which ends with `code`; answers what it printed."""

    def run(*words, code=0, errors=False):
        monkeypatch.setattr(sys, "argv", ["firstgrad", *map(str, words)])
        out, problems, ended = io.StringIO(), io.StringIO(), 0
        with redirect_stdout(out), redirect_stderr(problems):
            try:
                main()
            except SystemExit as leaving:
                ended = leaving.code or 0
        assert ended == code, out.getvalue() + problems.getvalue()
        return out.getvalue() + (f"--- standard error\n{problems.getvalue()}" if errors or code == 2 else "")

    return run


def program(*words, **variables):
    """Run a program of this environment; answers what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=os.environ | variables,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


OF_A_BUSY_MACHINE = ("high_load", "unaccounted_time")
"""Doubts that come and go with what else runs."""


def without_what_varies(value, key=""):
    """A record of a real run: what was measured becomes a word, what doesn't vary stays."""
    if key in {"environment", "memory", "work"}:
        value = words_for(value)
    if isinstance(value, dict):
        return {name: without_what_varies(inner, name) for name, inner in value.items() if name != "record_id"}
    if isinstance(value, list):
        kept = [without_what_varies(inner, key) for inner in value if inner not in OF_A_BUSY_MACHINE]
        return kept[:1] if key == "evaluation_seconds" else kept
    is_time = isinstance(value, float) and key.endswith("seconds") and "limit" not in key
    return "#" if is_time or key.endswith("rss_bytes") else value


def words_for(value):
    if isinstance(value, dict):
        return {name: words_for(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [words_for(inner) for inner in value[:1]]
    return "?"


def store_of(firstgrad, tmp_path, name, lines):
    source, store = tmp_path / f"{name}.jsonl", tmp_path / f"{name}.sqlite"
    source.write_text("\n".join(lines) + "\n")
    firstgrad("import", source, "--store", store)
    return store


@pytest.fixture
def slower(firstgrad, tmp_path):
    """Label trust-a, and trust-slower as if it were the same case: a change that is really there."""
    lines = (DATA / "trust.jsonl").read_text().replace("676604", "0").splitlines()
    return store_of(firstgrad, tmp_path, "slower", lines)


@pytest.fixture
def vectorised(firstgrad, tmp_path):
    """Label per_joint, and vectorised as if it were the same case: times, bytes and counts differ."""
    text = re.sub(r'("formulation"[:,] ?)"vectorised"', r'\1"per_joint"', (DATA / "remedies.jsonl").read_text())
    return store_of(firstgrad, tmp_path, "vectorised", text.splitlines())


MEASURED = (("measure", "pose", "--backend", "fake", "--store", "none", "--evaluations", 5, "--timesteps", 4), (
    "measure", "pose", "--backend", "fake", "--store", "none", "--evaluations", 5, "--timesteps", 4, "--hmm",
    "--scenario", "warm", "--target", "logp_dlogp", "--missing", "naive", "--directions", 2,
))  # fmt: skip


@pytest.mark.parametrize(("name", "words"), [("plain", MEASURED[0]), ("naive-hmm", MEASURED[1])])
def test_measure(firstgrad, golden, name, words):
    golden.json(f"measure-{name}", without_what_varies(json.loads(firstgrad(*words, "--json"))))
    golden.text(f"measure-{name}", firstgrad(*words), mask=True)


def test_check(firstgrad, golden):
    words = ("check", "pose", "--backend", "fake", "--timesteps", 4, "--directions", 2, "--missing", "naive")
    golden.text("check", firstgrad(*words), mask=True)


def test_sweep(firstgrad, golden, tmp_path):
    words = ("sweep", "--backend", "fake", "--timesteps", "3,5", "--hmm", "off,on", "--samples", 1)
    golden.text("sweep", firstgrad(*words, "--store", tmp_path / "sweep.sqlite", errors=True), mask=True)


def test_scaling(firstgrad, golden):
    laws = json.loads(firstgrad("scaling", "--json", *FROM_GROWTH))
    counts = {kind: len(held) for kind, held in laws.items()}
    some = {"laws": laws["laws"][::2], "ratios": laws["ratios"][::8]}
    golden.json("scaling", counts | {f"some {kind}": held for kind, held in some.items()}, rel=STATISTICS)
    golden.text("scaling", firstgrad("scaling", *FROM_GROWTH, *ONE_QUESTION, "--contrast", "hmm,scenario"))


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("evaluations", ("--evaluations", 20000)),
        ("chains", ("--chains", 4, "--cores", 2, "--leapfrog", 370, "--target", "dlogp", "--hmm")),
    ],
)
def test_advise(firstgrad, golden, name, more):
    words = ("advise", "pose", *FROM_GROWTH, *more)
    golden.json(f"advise-{name}", json.loads(firstgrad(*words, "--json")), rel=STATISTICS)
    golden.text(f"advise-{name}", firstgrad(*words))


def test_profile(firstgrad, golden, tmp_path):
    profile = DATA / "profile-numba.json"
    golden.text("profile", firstgrad("profile", "--show", profile))
    golden.json("profile", sampled(json.loads(firstgrad("profile", "--show", profile, "--json"))))
    less = re.sub(
        r'("wall_seconds":\s*)(\d+\.\d+)', lambda found: f"{found[1]}{float(found[2]) / 2}", profile.read_text()
    )
    (tmp_path / "less.json").write_text(less)
    words = ("profile", "--show", profile, "--against", tmp_path / "less.json")
    golden.text("profile-against", firstgrad(*words))
    golden.json("profile-against", sampled(json.loads(firstgrad(*words, "--json"))))


def sampled(value):
    """Of long lists a few items, evenly chosen, and how many there are."""
    if isinstance(value, dict):
        return {key: sampled(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    kept = [sampled(inner) for inner in (value if len(value) <= 12 else value[:: len(value) // 8])]
    return kept if len(value) <= 12 else [*kept, f"of {len(value)}"]


def test_compare(firstgrad, golden, slower):
    words = ("compare", "trust-a", "trust-b", "--store", slower)
    golden.json("compare-same", json.loads(firstgrad(*words, "--json")), rel=STATISTICS)
    golden.text("compare-same", firstgrad(*words, "--all"))
    words = ("compare", "trust-a", "trust-slower", "--store", slower)
    golden.json("compare-slower", json.loads(firstgrad(*words, "--json")), rel=STATISTICS)
    golden.text("compare-slower", firstgrad(*words, "--markdown"))


def test_compare_sides_that_differ_in_everything(firstgrad, golden, vectorised):
    words = ("compare", "per_joint", "vectorised", "--store", vectorised)
    golden.json("compare-formulations", json.loads(firstgrad(*words, "--json", code=1)), rel=STATISTICS)
    golden.text("compare-formulations", firstgrad(*words, "--all", code=1))
    golden.text("compare-one-sided", firstgrad("compare", "per_joint", "hmm_tree", "--store", vectorised, code=2))


def test_compare_unlike_sides(firstgrad, golden, tmp_path):
    store = store_of(firstgrad, tmp_path, "releases", (DATA / "releases.jsonl").read_text().splitlines())
    words = ("compare", "c96cc028", "d307ccac", "--store", store)
    golden.text("compare-unlike", firstgrad(*words, code=2))
    packages = ("pymc", "pytensor", "jax", "jaxlib", "numba", "llvmlite", "numpy", "scipy")
    across = (word for name in packages for word in ("--across", name))
    golden.text("compare-across", firstgrad(*words, *across, "--all", code=1))


@pytest.fixture
def drawn(monkeypatch):
    """What the figures show that are saved; they are not rendered."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", figures_seen.look)
    monkeypatch.setattr("firstgrad.show.style.write_picture", figures_seen.look_at_files)
    figures_seen.seen.clear()
    return figures_seen.seen


def in_short(axes):
    """Titles and legends of axes, and of each kind of thing in them how many, and the sum of all their numbers."""
    short = {key: axes[key] for key in ("titles", "x", "y", "texts", "legend")}
    for key in ("lines", "patches", "collections"):
        sums = [number for held in axes[key] for name in ("points", "box") for number in held.get(name, ())]
        short[key] = [len(axes[key]), sum(sums)]
    return short


@pytest.mark.parametrize(
    ("name", "more"), [("growth", ()), ("remedies", ()), ("releases", ("--axis", "release")), ("finiteness", ())]
)
def test_report(firstgrad, golden, tmp_path, drawn, name, more):
    firstgrad("report", "--from", DATA / f"{name}.jsonl", *more, "--output", tmp_path / "page.html")
    lines = page_text(tmp_path / "page.html").splitlines()
    golden.text(f"report-{name}", "\n".join(lines[:120] + lines[120::5]))
    shown = {key: [in_short(axes) for axes in held["axes"]] for key, held in drawn.items()}
    golden.json(f"report-{name}-figures", shown, rel=STATISTICS)


def test_report_of_a_comparison(firstgrad, golden, tmp_path, vectorised):
    words = (
        "report",
        "--store",
        vectorised,
        "--compare",
        "per_joint",
        "vectorised",
        "--output",
        tmp_path / "page.html",
    )
    firstgrad(*words)
    golden.text("report-compare", page_text(tmp_path / "page.html"))


def test_figures_of_the_documentation(golden, tmp_path):
    (recipe,) = re.findall(r"^plots:.*\n\t\$\(PY\) (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    words = [tmp_path / "plots" if word == "plots" else word for word in recipe.removeprefix("-m ").split()]
    program(Path(__file__).with_name("figures_seen.py"), tmp_path / "seen.json", *words)
    golden.json("figures", json.loads((tmp_path / "seen.json").read_text()), rel=STATISTICS)


def test_figures_of_the_verbs(firstgrad, golden, tmp_path, slower, drawn):
    firstgrad("scaling", *FROM_GROWTH, *ONE_QUESTION[:4], "--output", tmp_path / "scaling")
    firstgrad("advise", "pose", *FROM_GROWTH, "--evaluations", "20000", "--output", tmp_path / "advice.svg")
    firstgrad("compare", "trust-a", "trust-b", "--store", slower, "--all", "--output", tmp_path / "compare.svg")
    firstgrad("profile", "--show", DATA / "profile-numba.json", "--output", tmp_path / "profile")
    golden.json("figures-of-verbs", drawn, rel=STATISTICS)


BENCHMARKS = """
import pytest
from firstgrad import BackendName, Case, HmmSpec, PoseSpec, Scenario
from firstgrad.pytest_benchmark import bench, worker_clock

@pytest.mark.benchmark(timer=worker_clock)
@pytest.mark.parametrize("hmm", [None, HmmSpec()], ids=["off", "on"])
def test_pose(benchmark, hmm):
    spec = PoseSpec(n_timesteps=4, n_directions=1, hmm=hmm)
    bench(benchmark, Case(model=spec, backend=BackendName.FAKE, scenario=Scenario.WARM, evaluations=3), rounds=2)
"""


def test_pytest_benchmark(golden, tmp_path):
    (tmp_path / "test_pose.py").write_text(BENCHMARKS)
    out = tmp_path / "out.json"
    words = ("-m", "pytest", "-p", "pytest_benchmark.plugin", "-p", "no:cacheprovider", f"--rootdir={tmp_path}")
    program(*words, tmp_path / "test_pose.py", f"--benchmark-json={out}", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    kept = [
        {key: found[key] for key in ("name", "fullname", "group", "param")}
        | {"timer": found["options"]["timer"], "rounds": found["stats"]["rounds"]}
        | {"extra_info": deterministic(found["extra_info"])}
        for found in json.loads(out.read_text())["benchmarks"]
    ]
    golden.json("pytest-benchmark", kept)


def deterministic(value, key=""):
    """What measuring again gives again, on any machine; a mark for the rest."""
    if key in {"record_ids", "case_id", "versions", "python", "flags", "host", "python_blocks"}:
        return "?"
    if isinstance(value, dict):
        return {name: deterministic(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [deterministic(inner, key) for inner in value if inner not in OF_A_BUSY_MACHINE]
    return "?" if isinstance(value, float) or (isinstance(value, int) and value > 1e4) else value


ASV = """
import json, sys
from pathlib import Path
from asv_runner.discovery import disc_benchmarks
found = [
    {key: getattr(one, key, None) for key in ("name", "type", "unit", "param_names", "params", "timeout")}
    | {"version": one.version[:12], "attributes": getattr(one, "pretty_name", None)}
    for one in disc_benchmarks("benchmarks")
]
print(json.dumps(found))
"""


@pytest.mark.parametrize("tier", ["quick", "standard"])
def test_asv_lists_the_benchmarks(golden, tier):
    golden.json(f"asv-{tier}", json.loads(program("-c", ASV, FIRSTGRAD_TIER=tier)))


def test_trust(golden, tmp_path):
    part = tmp_path / "part.jsonl"
    part.write_text("\n".join((DATA / "trust.jsonl").read_text().splitlines()[:60]) + "\n")
    words = ("-m", "benchmarks.trust.judge", part, "--trials", 8, "--data", tmp_path / "report.json")
    subprocess.run([sys.executable, *map(str, words)], check=False, capture_output=True, timeout=100)
    report = json.loads((tmp_path / "report.json").read_text())
    golden.json("trust", {key: held for key, held in report.items() if key != "where"}, rel=STATISTICS)


VERBS = (
    *("measure", "profile", "trace", "lint", "check", "sample", "sweep", "scaling", "advise", "compare", "report"),
    *("export", "import", "doctor"),
)


def test_options(firstgrad, golden):
    option = re.compile(r"^  (-[^ ]+(?: / -[^ ]+)?|MODEL)", re.MULTILINE)
    lines = [f"{verb} {name}" for verb in VERBS for name in sorted(option.findall(firstgrad(verb, "--help")))]
    golden.text("options", "\n".join(lines))
