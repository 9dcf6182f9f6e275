"""The numbers of README and docs are those of docs/data, of releases no older than the pinned ones."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.version import Version

from benchmarks import nan_sampling
from benchmarks.batching import compare as batching
from benchmarks.batching import other_backends
from benchmarks.first_draw.rows import POSE, Row
from benchmarks.first_draw.table import sentences as first_draw_sentences
from benchmarks.growth import text as growth_text
from benchmarks.headline.sides import Quantity, Size, Way
from benchmarks.headline.table import Sample
from benchmarks.headline.table import sentences as headline_sentences
from benchmarks.markers import replace_between_markers
from benchmarks.overhead import kept as overhead
from benchmarks.pages import BLOCKS, ROOT, Releases
from benchmarks.precompile import run as precompile
from benchmarks.releases.table import sentences as release_sentences
from benchmarks.sampling import run as sampling
from builders import make_environment, make_record
from firstgrad.case import BackendName, Sampler, Scenario
from firstgrad.record import Counts
from helpers import make_case
from planted_sweep import planted_records

PINNED = tomllib.loads((ROOT / "benchmarks" / "releases" / "pins.toml").read_text())["release"][-1]
NAMED = re.compile(r"\b(pymc|pytensor|numba|jax|nutpie) (\d+(?:\.\d+)+)", re.IGNORECASE)
SAID = {Releases.COMPARED: "compares releases", Releases.OLDER: "of an older release"}
BEGIN = re.compile(r"^<!-- ([\w-]+): begin \((.*)\) -->$", re.MULTILINE)


@pytest.fixture(scope="module")
def made():
    return {(block.page, block.name): block.make() for block in BLOCKS}


def test_every_page_is_what_the_data_say(made):
    for block in BLOCKS:
        page = block.path.read_text()
        new = replace_between_markers(page, block.name, made[block.page, block.name])
        assert new == page, f"{block.page}, {block.name}: run make pages"


def test_every_pair_of_markers_is_a_block():
    pages = {path: path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").glob("**/*.md"))}
    marked = {(str(path.relative_to(ROOT)), name) for path, text in pages.items() for name, _ in BEGIN.findall(text)}
    assert marked == {(block.page, block.name) for block in BLOCKS}


def older(text: str) -> set[str]:
    """Name the releases in a text that are older than the pinned ones."""
    return {
        f"{name.lower()} {version}"
        for name, version in NAMED.findall(text)
        if Version(version) < Version(PINNED[name.lower()])
    }


def test_no_table_is_of_a_release_older_than_the_pinned_one(made):
    for block in BLOCKS:
        found = older(made[block.page, block.name])
        if block.releases is Releases.NEWEST:
            assert not found, f"{block.page}, {block.name}: measure again, or say why not in benchmarks/pages.py"
        elif block.releases is Releases.OLDER:
            assert found, f"{block.page}, {block.name}: isn't of an older release any more"


def test_the_marker_of_a_table_says_why_it_may_name_an_older_release():
    for block in BLOCKS:
        notes = dict(BEGIN.findall(block.path.read_text()))
        assert notes[block.name] == f"make pages{f'; {SAID[block.releases]}' if block.releases in SAID else ''}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PyMC 6.4.0, jax 0.12.0.1", set()),
        ("PyMC 6.3.2, PyTensor 99.0", {"pymc 6.3.2"}),
        ("numba 0.9, JAX", {"numba 0.9"}),
    ],
)
def test_an_older_release_is_found(text, expected):
    assert older(text) == expected


TYPED = re.compile(r"[\d.]+\s?(?:s|ms|µs|MiB|GiB|MB|%|CPU s)\b(?! of\b)|\b[\d.]+ times\b|\bx[\d.]+\b")
PROMISED = ("at least 97%",)  # what the worker refuses to miss: a rule, and no measurement


@pytest.mark.parametrize("page", ["README.md", "docs/findings.md", "docs/pose-model.md"])
def test_no_measured_number_is_typed_by_hand(page):
    text = (ROOT / page).read_text()
    text = re.sub(r"<!-- ([\w-]+): begin.*?<!-- \1: end -->", "", text, flags=re.DOTALL)
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    text = re.sub(r'"[^"]*seconds"', "", text)  # what the report said
    for promise in PROMISED:
        text = text.replace(promise, "")
    assert TYPED.findall(text) == []


def test_a_typed_number_is_found():
    assert TYPED.findall("takes 1.5 s and 870 MiB, 38 times as soon, x1.25, by 40%") != []
    assert TYPED.findall("T=100, K=5, some 60 minutes, PyMC 6.4.0, 8 groups, 2313 values") == []


SMALL = [Size(directions=5, states=states) for states in (0, 2)]


def test_the_headlines_sentences_have_the_planted_ratios():
    seconds = {
        (Way.DEFAULT, Quantity.FIRST_GRADIENT): 60.0,
        (Way.FIRSTGRAD, Quantity.FIRST_GRADIENT): 2.0,
        (Way.BY_HAND, Quantity.FIRST_GRADIENT): 1.0,
        (Way.DEFAULT, Quantity.SECOND_GRADIENT): 8.0,
        (Way.FIRSTGRAD, Quantity.SECOND_GRADIENT): 2.5,
        (Way.DEFAULT, Quantity.FIRST_DRAW): 90.0,
        (Way.FIRSTGRAD, Quantity.FIRST_DRAW): 2.0,
        (Way.DEFAULT, Quantity.SECOND_DRAW): 12.3,
        (Way.FIRSTGRAD, Quantity.SECOND_DRAW): 0.1,
        (Way.DEFAULT, Quantity.EVALUATION): 2e-4,
        (Way.FIRSTGRAD, Quantity.EVALUATION): 3e-4,
    }
    text = headline_sentences(
        [
            Sample(way=way, size=size, quantity=quantity, round=0, wall=wall)
            for (way, quantity), wall in seconds.items()
            for size in SMALL
        ]
    )
    assert "the first gradient is there 30 and 30 times as soon" in text
    assert "in a second process 3.2 and 3.2 times; the first draw 45 and 45 times as soon" in text
    assert "in a second process 123 and 123 times" in text
    assert "takes 2.0 and 2.0 times as long as the same density written by hand" in text
    assert "An evaluation takes 1.5 and 1.5 times" in text


def drawn(sampler: Sampler, backend: BackendName, cold: float, warm: float, again: int):
    row = Row(model=POSE, sampler=sampler, backend=backend)
    return [
        make_record(
            case=case,
            environment=make_environment(versions=(("pymc", "6.4.0"),)),
            time_to_first_draw_seconds=seconds,
            time_to_first_draw_cpu_seconds=seconds,
            counts=Counts(groups=1, values=1, compiled_units=units),
        )
        for case, seconds, units in ((row.cold, cold, 90), (row.warm, warm, again))
    ]


def test_first_draws_are_compared_with_the_default():
    text = first_draw_sentences(
        [
            *drawn(Sampler.NUTPIE, BackendName.NUMBA, 40.0, 10.0, 46),
            *drawn(Sampler.NUTPIE, BackendName.JAX, 4.0, 2.0, 0),
            *drawn(Sampler.FIRSTGRAD, BackendName.JAX_DIRECT, 1.0, 0.1, 0),
            *drawn(Sampler.PYMC, BackendName.NUMBA, 30.0, 3.0, 2),
        ]
    )
    assert "On these 1 models nutpie with JAX has its first draw 10 to 10 times as soon" in text
    assert "and 5.0 to 5.0 times in a later process; `firstgrad.sample` has it 40 to 40 and 100 to 100 times" in text
    assert "compiles 46 to 46 units again" in text
    assert "begins to draw after 3.00 s to 3.00 s." in text


def test_releases_are_told_by_their_processor_seconds():
    def record(release, backend, scenario, seconds):
        return make_record(
            case=make_case(backend=backend, scenario=scenario),
            environment=make_environment(versions=(("pymc", release),)),
            time_to_first_gradient_cpu_seconds=seconds,
        )

    records = [
        record(release, backend, scenario, seconds)
        for release, known in {
            "5.28.5": {BackendName.C: 70.0, BackendName.JAX: 9.0},
            "6.0.1": {BackendName.C: 80.0, BackendName.JAX: 6.0, BackendName.NUMBA: 150.0},
        }.items()
        for backend, seconds in known.items()
        for scenario in (Scenario.COLD, Scenario.WARM)
    ]
    text = release_sentences(records)
    assert "cold c 70.0 s on 5.28.5 and 80.0 s on 6.0.1" in text
    assert "warm jax 9.00 s on 5.28.5 and 6.00 s on 6.0.1" in text
    assert "went from 70.0 s (c, PyMC 5.28.5) to 150 s (numba, PyMC 6.0.1)." in text


def test_growth_and_choices_are_those_planted():
    text = growth_text(planted_records(2, backends=(BackendName.JAX, BackendName.NUMBA)))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    assert {row[0][0] for row in rows if ", " in row[0]} >= {"T", "K"}
    assert any(row[0] == "an HMM over none" for row in rows)
    assert any(row[0] == "full caches over empty ones" and row[2].startswith("0.0964 [") for row in rows)
    assert "Least in all (compile and calls, from empty caches, no HMM): numba." in text


def test_several_processes_are_told_by_the_longest():
    samples = {
        0: {"children": [], "cpu": 40.0, "peak": 2**29},
        2: {"children": [15.0, 19.0], "cpu": 1.0, "peak": 2**28},
    }
    rows = [{"backend": "c", "jobs": jobs, "samples": [one]} for jobs, one in samples.items()]
    text = precompile.table({"where": "Here.", "rows": rows})
    assert "| c | alone | 40.0 s | 1.00 | 40.0 s | 512 MiB |" in text
    assert "| c | 2 | 20.0 s | 2.00 | 35.0 s | 256 MiB |" in text


def test_a_run_that_never_starts_is_told_by_its_reason():
    stage = {"divergences": 100, "positions": 1, "gradient_evaluations": 2000}
    stages = [{"stage": name, "cpu_seconds": seconds} for name, seconds in (("tuning", 0.5), ("drawing", 0.25))]
    told = {"stages": stages, "tuning": stage, "drawing": stage | {"divergences": 20}, "failure": None}
    runs = [
        {"missing": "naive", "sampler": "pymc", "told": told},
        {"missing": "naive", "sampler": "nutpie", "told": told | {"failure": {"message": "cannot start\nwhy"}}},
    ]
    text = nan_sampling.table({"where": "Here.", "runs": runs})
    assert "| after it | pymc | 500 ms + 250 ms | 100 + 20 | 1 + 1 | 2,000 + 2,000 |" in text
    assert "| after it | nutpie | *cannot start* | | | |" in text


def test_loops_are_compared_with_arrays():
    def one(cpu):
        return {"cpu": cpu, "call": 1e-4, "nodes": 1234}

    sides = dict(zip(batching.SIDES, ([one(3.0)], [one(1.5)], [one(1.0)]), strict=True))
    text = batching.table({"where": "Here.", "models": {"mine": sides}})
    assert "| mine | loops, as they are | 1,234 | 3.00 s | 3.00 | 0.100 ms |" in text
    row = {"backend": "c", "bones": 12, "side": "arrays", "samples": [one(30.0) | {"grown": 2**20 * 26}]}
    assert "| c | 12 | arrays | 1,234 | 30.0 s | 0.100 ms | 26 MiB |" in other_backends.table(
        {"where": "Here.", "rows": [row]}
    )


def test_what_measuring_costs_is_the_median_of_the_pairs():
    stored = {overhead.MEASURED: {"where": "Here.", "ratios": [1.01] * 8, "bare_seconds": 2.0}}
    assert "median 1.010, 95% interval [1.010, 1.010], 8 pairs" in overhead.sentence(stored)
    row = "| a compile measured by firstgrad | 2.00 s | 1.010 [1.010, 1.010] | 8 | Here. |"
    assert row in overhead.table(stored)


def test_sampling_is_told_by_ratios_and_errors():
    sides = {f"{side}, {when}": [10.0, 20.0] for side in sampling.SIDES for when in ("cold", "warm")}
    stored = {
        "speed": {"seconds": sides, "ratios": {"cold": [0.5, 0.25], "warm": [1.0, 2.0]}},
        "posteriors": {"a": {"quantities": 10, "largest": 2.5, "beyond 2": 0.1}},
        "calibration": {"centre": {"models": 400, "p": 0.21}},
    }
    text = sampling.sentences(stored)
    assert "took 0.25 to 0.50 of the time (10.0 to 20.0 s against 10.0 to 20.0 s)" in text
    assert "Over 1 models, 10 means and standard deviations" in text
    assert "at most 2.5 Monte Carlo errors, 10% of them by more than 2" in text
