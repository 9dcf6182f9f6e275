"""``firstgrad profile`` with a profiler that compiles nothing: what is run, printed, kept, written, refused."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

import builders
from firstgrad.case import BackendName, Scenario
from firstgrad.codec import from_json
from firstgrad.model import as_model
from firstgrad.observe.events import CacheMiss
from firstgrad.phase import Phase
from firstgrad.pose.spec import Formulation, HmmAlgorithm, PoseSpec
from firstgrad.profiling import Profile, make
from firstgrad.profiling.difference import ProfileDifference
from firstgrad.profiling.make import PROFILES
from firstgrad.record import Check, Status, Verdict
from firstgrad.show.profiles import profile_parts
from firstgrad.show.result import print_parts
from planted_profile import failed_profile, grown_profile, planted_profile, planted_sites, planted_unit


class Profiler:
    """Stands in for `profile_case`: returns a planted profile of the case it is asked for, and remembers."""

    def __init__(self):
        self.cases = []
        self.labels = []
        self.folders = []
        self.make = planted_profile  # or several, one after the other

    def __call__(self, case, *, label="", threads=1, on_event=None, allocations=None):  # noqa: ARG002 - as the real one
        self.cases.append(case)
        self.labels.append(label)
        self.folders.append(allocations)
        make = self.make[len(self.cases) - 1] if isinstance(self.make, tuple) else self.make
        profile = make(f"{len(self.cases)}ace" * 8)
        if allocations is not None:
            allocations.mkdir(parents=True, exist_ok=True)
            (allocations / "flamegraph.html").write_text("<html>")
            profile = replace(profile, allocations=planted_sites())
        return replace(profile, record=replace(profile.record, case=case))


@pytest.fixture
def profiler(monkeypatch):
    made = Profiler()
    monkeypatch.setattr(make, "profile_case", made)
    return made


@pytest.fixture
def firstgrad(tmp_path, monkeypatch, profiler):  # noqa: ARG001 - nothing is ever compiled here
    """Run the verb in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return partial(builders.firstgrad, "profile")


def test_tables_show_where_the_time_went(firstgrad, profiler):
    code, out, err = firstgrad("--backend", "jax", "--timesteps", "5")
    assert code == 0
    (case,) = profiler.cases
    assert case.backend is BackendName.JAX
    assert case.model.pose == PoseSpec(n_timesteps=5)
    rows = {line.split("│")[1].strip(): line for line in out.splitlines() if line.count("│") > 2}
    for name, numbers in {
        "first_call": ("5.00 s", "50.0%", "380 MiB"),
        "fusion": ("2.00 s", "66.7%", "900", "500"),
        "local_add": ("1.50 s", "40"),
        "Elemwise": ("600", "200", "-400"),
        "kernel_0": ("Elemwise", "raw_u_3, root, rho and 1 more", "3.50 s", "70.0%", "4.00 KiB"),
        "pytensor": ("1.20 s", "1.50 s", "60.0%"),
    }.items():
        for number in numbers:
            assert number in rows[name]
    assert "2 jitted functions (1 from the cache) explain 90% of first_call\n" in out
    assert "caches: 2 units not taken from them, or not kept: no entry" in out
    assert "caches: 1 unit not taken from them, or not kept: a lambda is in it" in out
    assert "slowest compiled units, each a jitted function\n" in out
    assert "unavailable: memory of the GPU: there is none" in out
    assert "do not compare these seconds with those of firstgrad measure" in out
    assert "profile, pose T=5" not in out  # progress and where it is kept are on standard error
    assert "kept: .firstgrad/profiles/1ace" in err


def test_top_cuts_the_tables_and_says_of_how_many(firstgrad, profiler):
    profiler.make = lambda record_id: planted_profile(
        record_id,
        units=tuple(
            planted_unit(number, 0.1 * number, name=f"kernel_{letter}")
            for number, letter in enumerate("abcdefghijklmnopqrst")
        ),
    )
    _, out, _ = firstgrad("--top", "3")
    assert "slowest compiled units, each a jitted function (3 of 20)" in out
    assert "kernel_r " in out
    assert "kernel_q " not in out
    assert "20 jitted functions explain 380% of first_call; the 3 slowest 108%" in out


def test_names_of_units_can_be_read_in_a_terminal_of_80_columns():
    console = Console(width=80, file=io.StringIO())
    unit = planted_unit(1, 2.0, name="jax_funcified_fgraph", op="FunctionGraph", sources=("raw_u_3",))
    print_parts(console, profile_parts(planted_profile(units=(unit,)), top=3))
    out = console.file.getvalue()
    for text in ("jax_funcified_fgraph", "FunctionGraph", "raw_u_3", "40.0% first_call", "4.00 KiB"):
        assert text in out


def test_functions_that_differ_by_a_number_are_one_line(firstgrad, profiler):
    profiler.make = lambda record_id: planted_profile(
        record_id, units=tuple(planted_unit(number, 0.1) for number in range(20))
    )
    _, out, _ = firstgrad()
    assert "kernel_# x20" in out
    assert "20 jitted functions explain 40% of first_call" in out


def test_names_of_any_kind_are_shown_and_shortened(firstgrad, profiler):
    digest = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
    odd = planted_unit(1, 2.0, name=f"[red]m{digest}\x1b[31m", op="[/]" + "x" * 90, sources=("[bold]",))
    profiler.make = lambda record_id: planted_profile(record_id, units=(odd,))
    code, out, _ = firstgrad()
    assert code == 0
    assert r"[red]m0a1b2c…\x1b[31m" in out
    assert digest not in out
    assert "\x1b" not in out


def test_misses_that_were_summed_up_count_as_many(firstgrad, profiler):
    misses = (CacheMiss(name="(83 C modules)", reason="no entry", units=83), CacheMiss(name="m1", reason="no entry"))
    profiler.make = lambda record_id: planted_profile(record_id, attribution={"cache_misses": misses})
    _, out, _ = firstgrad()
    assert "caches: 84 units not taken from them, or not kept: no entry" in out


def test_json_is_the_profile_and_nothing_else(firstgrad):
    code, out, _ = firstgrad("--json")
    assert code == 0
    assert from_json(out, Profile).attribution == planted_profile().attribution
    assert out.count("\n") == 1


def test_the_profile_is_kept_unless_told_otherwise(firstgrad):
    firstgrad("--label", "mine")
    (path,) = PROFILES.files()
    assert PROFILES.read(path).record.record_id == path.stem
    _, _, err = firstgrad("--no-keep")
    assert len(PROFILES.files()) == 1
    assert "kept" not in err


def test_where_nothing_can_be_kept_nothing_runs(firstgrad, profiler):
    Path(".firstgrad").write_text("")
    code, _, err = firstgrad()
    assert code == 2
    assert ".firstgrad/profiles: this folder cannot be created" in err
    assert profiler.cases == []
    assert firstgrad("--no-keep")[0] == 0


def test_a_profile_that_cannot_be_kept_after_all_is_shown(firstgrad, profiler):
    def full(record_id):
        Path(".firstgrad/profiles").rmdir()
        Path(".firstgrad/profiles").write_text("")
        return planted_profile(record_id)

    profiler.make = full
    code, out, err = firstgrad()
    assert code == 0
    assert "not kept: .firstgrad/profiles" in err
    assert "kernel_0" in out


def test_the_label_reaches_the_profiler(firstgrad, profiler):
    firstgrad("--label", "mine", "--against", "--no-hmm --label other --timesteps 7")
    assert profiler.labels == ["other", "mine"]


@pytest.mark.parametrize(
    ("status", "code"), [(Status.OK, 0), (Status.MISMATCH, 1), (Status.FAILED, 3), (Status.TIMEOUT, 3)]
)
def test_exit_codes_are_those_of_measure(firstgrad, profiler, status, code):
    def make(record_id):
        if status in (Status.OK, Status.MISMATCH):
            verdict = Verdict.AGREES if status is Status.OK else Verdict.DISAGREES
            return planted_profile(record_id, status=status, check=Check(verdict=verdict))
        found = failed_profile(record_id)
        return replace(found, record=replace(found.record, status=status))

    profiler.make = make
    found, out, _ = firstgrad()
    assert found == code
    assert ("g++ ended with 1" in out) == (code == 3)
    assert len(PROFILES.files()) == 1


def test_an_interrupt_ends_with_130_and_keeps_nothing(firstgrad, profiler):
    def interrupt(_):
        raise KeyboardInterrupt

    profiler.make = interrupt
    code, out, err = firstgrad()
    assert (code, out) == (130, "")
    assert "interrupted, and no profile made" in err
    assert PROFILES.files() == ()


def test_files_are_written_for_output(firstgrad, profiler):
    code, _, err = firstgrad("--output", "there", "--allocations")
    assert code == 0
    assert "written: there" in err
    figures = {f"{name}.{kind}" for name in ("profile", "memory") for kind in ("png", "svg")}
    files = {"profile.json", "profile.html", "trace.speedscope.json", "flamegraph.html"}
    assert {path.name for path in Path("there").iterdir()} == figures | files
    assert PROFILES.read("there/profile.json").allocations == planted_sites()
    assert json.loads(Path("there/trace.speedscope.json").read_text())["exporter"] == "firstgrad"
    firstgrad("--output", "there", "--trace-format", "chrome")  # over the old ones
    assert json.loads(Path("there/trace.chrome.json").read_text())["traceEvents"]
    profiler.make = failed_profile
    assert firstgrad("--output", "of a failed one").code == 3
    assert Path("of a failed one/profile.png").exists()


def test_an_output_that_cannot_be_written_is_named(firstgrad, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = firstgrad("--output", "file")
    assert code == 2
    assert "file" in err
    assert len(PROFILES.files()) == 1  # what was measured is not lost


def test_allocations_without_output_use_a_folder_that_goes_away(firstgrad, profiler):
    _, out, _ = firstgrad("--allocations")
    (folder,) = profiler.folders
    assert not folder.exists()
    assert "numba/core/compiler.py:12" in out
    assert "80.0 MiB" in out


@pytest.mark.parametrize(
    ("head", "against", "base"),
    [
        (("--hmm", "--states", "3", "--timesteps", "7"), "--no-hmm", PoseSpec(n_timesteps=7)),
        (("--timesteps", "7"), "--formulation vectorised", PoseSpec(n_timesteps=7, formulation=Formulation.VECTORISED)),
        (("--timesteps", "7", "--seed", "3"), "pose --timesteps 9", PoseSpec(n_timesteps=9, seed=3)),
        (("a.py:build", "--param", "n=1", "--param", "m=2"), "--param n=5", (("m", 2), ("n", 5))),
        (("a.py:build", "--param", "n=1"), "b.py:build", (("n", 1),)),
        (("a.py:build", "--param", "n=1"), "pose --timesteps 9", PoseSpec(n_timesteps=9)),
        (("--timesteps", "7"), "'a b.py:build' --param n=5", (("n", 5),)),
        (("a.py:build", "--param", "data=new.json"), "a.py:build --param data=x.json", (("data", "x.json"),)),
        (
            ("--skeleton", "custom", "--parents", "-1,0,1", "--directions", "2"),
            "--skeleton chain",
            PoseSpec(n_directions=2),
        ),
        (("a.py:build",), f"a.py:build --param text={'x' * 300}", (("text", "x" * 300),)),
    ],
)
def test_options_of_against_replace_those_of_the_head(firstgrad, profiler, head, against, base):
    for name in ("a", "b", "a b"):
        Path(f"{name}.py").write_text("def build(**parameters): ...")
    code, _, err = firstgrad(*head, "--against", against)
    assert code == 0, err
    first, second = profiler.cases  # the base first
    parameters = as_model(base).parameters if isinstance(base, PoseSpec) else base
    assert first.model.parameters == parameters
    assert second != first
    assert replace(first, model=second.model) == second


def test_an_hmm_of_another_kind_keeps_its_states(firstgrad, profiler):
    firstgrad("--hmm", "--states", "3", "--against", "--hmm-algorithm tree")
    assert (profiler.cases[0].model.pose.hmm.n_states, profiler.cases[0].model.pose.hmm.algorithm) == (
        3,
        HmmAlgorithm.TREE,
    )


def test_the_measurement_can_be_what_differs(firstgrad, profiler):
    code, out, _ = firstgrad("--scenario", "warm", "--time-limit", "7", "--against", "--scenario cold")
    assert code == 0
    assert [case.scenario for case in profiler.cases] == [Scenario.COLD, Scenario.WARM]
    assert [case.time_limit_seconds for case in profiler.cases] == [7.0, 7.0]
    assert "compared: scenario: cold (base) with warm (head)" in out


def test_another_backend_is_allowed_and_its_units_are_not_matched(firstgrad):
    code, out, _ = firstgrad("--backend", "jax", "--against", "--backend c")
    assert code == 0
    assert "units are not matched" in out


def test_what_grew_is_shown_after_both(firstgrad, profiler):
    profiler.make = (planted_profile, grown_profile)
    code, out, _ = firstgrad("--against", "--timesteps 7", "--output", "there")
    assert code == 0
    assert out.index("base 1ace") < out.index("head 2ace") < out.index("What changed")
    told = out[out.index("What changed") :]
    (first_call,) = [line for line in told.splitlines() if "first_call │ wall" in line]
    for text in ("5.00 s", "7.00 s", "+2.00 s", "x1.4"):
        assert text in first_call
    assert "link" not in told[told.index("phases") : told.index("rewrite passes")]
    assert "seconds that differ by less than 10% or 50.0 ms are not listed" in told
    names = {str(path.relative_to("there")) for path in Path("there").rglob("*") if path.is_file()}
    assert {"difference.png", "difference.svg", "difference.json", "profile.json", "base/profile.json"} <= names
    assert PROFILES.read("there/base/profile.json").record.case == profiler.cases[0]


def test_json_of_two_is_the_difference_with_both(firstgrad, profiler):
    _, out, _ = firstgrad("--json", "--against", "--timesteps 7")
    found = from_json(out, ProfileDifference)
    assert [found.base.record.case, found.head.record.case] == profiler.cases


@pytest.mark.parametrize(
    ("profiles", "runs", "told"),
    [
        ((failed_profile,), 1, "the base failed, so the head was not profiled"),
        ((planted_profile, failed_profile), 2, "firstgrad: not compared: the head ("),
    ],
)
def test_where_one_side_fails_there_is_no_difference_and_a_base_spares_the_head(
    firstgrad, profiler, profiles, runs, told
):
    profiler.make = profiles
    code, out, err = firstgrad("--against", "--timesteps 7")
    assert (code, len(profiler.cases)) == (3, runs)
    assert told in err
    assert "g++ ended with 1" in out
    assert "What changed" not in out


def test_a_kept_profile_and_a_file_can_be_the_base(firstgrad, profiler):
    PROFILES.keep(planted_profile("a1b2c3d4"))
    PROFILES.write(planted_profile("f1f2"), "elsewhere.json")
    for what in ("a1b2", "elsewhere.json", ".firstgrad/profiles/a1b2c3d4.json"):
        code, out, _ = firstgrad("--no-keep", "--against", what)
        assert code == 0
        assert "What changed" in out
    assert len(profiler.cases) == 3


@pytest.mark.parametrize(
    ("against", "message"),
    [
        ("c0ffee", "no kept profile's record id begins with 'c0ffee'. .firstgrad/profiles has a1"),
        ("a1", "'a1' begins 2 record ids"),
        ("nowhere.json", "nowhere.json: there is no such file"),
        ("pose", "--against 'pose': is the head itself"),
        ("--no-hmm", "--against '--no-hmm': is the head itself"),
        ("--no-such-option", "--against '--no-such-option'"),
        ("--timesteps many", "--against '--timesteps many'"),
        ("--backend fortran", "--against '--backend fortran'"),
        ("--states 3", "--against '--states 3': --states, --hmm-algorithm: need --hmm"),
        ("--timesteps 0", "--against '--timesteps 0'"),
        ("pose --param n=1", "--param: the pose model has no"),
        ("pose other", "--against 'pose other'"),
        ("my models/old.py:build", "A path with spaces needs quotes within"),
        ("--samples 3", "--against '--samples 3'"),
        ("pose --label 'x", "Are the quotes in pairs?"),
        ("", "is empty"),
        ("it's.json", "it's.json: there is no such file"),
        ("my.py:build --time-limit 0", "--against 'my.py:build --time-limit 0': time_limit_seconds"),
    ],
)
def test_a_base_that_cannot_be_is_refused_before_anything_runs(firstgrad, profiler, against, message):
    PROFILES.keep(planted_profile("a1b2c3d4"))
    PROFILES.keep(planted_profile("a1ff"))
    code, out, err = firstgrad("--against", against)
    assert (code, out) == (2, "")
    assert message in err
    assert profiler.cases == []


def test_a_kept_profile_is_shown_again_without_running_anything(firstgrad, profiler):
    path = PROFILES.keep(planted_profile("a1b2c3d4"))
    for what in ("a1b2", str(path)):
        code, out, err = firstgrad("--show", what)
        assert (code, err) == (0, "")
        assert "slowest compiled units, each a jitted function" in out
    assert profiler.cases == []
    assert PROFILES.files() == (path,)


def test_two_kept_profiles_are_compared(firstgrad, profiler):
    PROFILES.keep(planted_profile("a1b2c3d4"))
    PROFILES.keep(grown_profile("e5f6"))
    code, out, _ = firstgrad("--show", "e5", "--against", "a1", "--output", "there")
    assert code == 0
    assert "base  a1b2c3d4" in out
    assert Path("there/difference.png").exists()
    _, out, _ = firstgrad("--show", "e5", "--against", "a1", "--json")
    assert from_json(out, ProfileDifference).head.record.record_id == "e5f6"
    assert profiler.cases == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--show", "b"), "no kept profile's record id begins with 'b'"),
        (("a.py:build", "--show", "a1"), "--show: prints a kept profile and runs nothing"),
        (("--backend", "jax", "--show", "a1"), "--show: prints a kept profile and runs nothing"),
        (("--show", "a1", "--allocations"), "--allocations: nothing runs with --show"),
        (("--show", "a1", "--no-keep"), "--no-keep: nothing is made with --show"),
        (("--show", "a1", "--against", "--no-hmm"), "--show runs nothing"),
        (("--top", "0"), "--top"),
        (("--trace-format", "svg"), "--trace-format"),
        (("--states", "3"), "need --hmm"),
    ],
)
def test_wrong_use_ends_with_2_and_names_the_culprit(firstgrad, profiler, arguments, message):
    PROFILES.keep(planted_profile("a1b2c3d4"))
    code, out, err = firstgrad(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert profiler.cases == []


def test_a_kept_failure_can_be_shown_and_not_compared(firstgrad):
    PROFILES.keep(failed_profile("f0"))
    PROFILES.keep(planted_profile("a1"))
    code, out, _ = firstgrad("--show", "f0", "--against", "a1")
    assert code == 3
    assert "What changed" not in out
    assert str(Phase.LINK) not in out.split("g++ ended with 1")[1].split("\n")[0]


def test_help_explains_against(firstgrad):
    code, out, _ = firstgrad("--help")
    assert code == 0
    for text in ("--against", "--show", "--trace-format", "Examples:", "Exit codes:"):
        assert text in out
