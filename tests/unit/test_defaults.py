"""Defaults of options in a project's file, ``--quiet`` and ``--verbose``, and the order of ``--help``."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import textwrap

import pytest
from typer.main import get_command

from builders import firstgrad, make_case, make_environment, make_record, run_firstgrad, store_of
from firstgrad.cli import defaults
from firstgrad.cli.app import app
from firstgrad.record import Failure, Status
from firstgrad.suite import _OF_OPTIONS

MEASURE = ("measure", "pose", "--timesteps", "3", "--directions", "1", "--evaluations", "3")
EXPORT = ("export", "all.jsonl")
FAKE = (*MEASURE, "--backend", "fake", "--store", "none")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    logging.getLogger("firstgrad").setLevel("NOTSET")


def write(folder, text, name="pyproject.toml"):
    (folder / name).write_text(textwrap.dedent(text))
    return folder / name


def records(ended):
    return [json.loads(line) for line in ended.out.splitlines()]


def test_a_table_of_a_verb_gives_its_options_and_what_is_typed_goes_before_it(folder, monkeypatch):
    text = """
        [tool.firstgrad]
        store = "kept/all.sqlite"
        [tool.firstgrad.measure]
        backend = "fake"
        samples = 2
        time-limit = 50
        """
    write(folder, text)
    for name in ("below", "kept"):
        (folder / name).mkdir()
    monkeypatch.chdir(folder / "below")
    (record,) = records(firstgrad(*MEASURE, "--json", "--samples", "1"))
    assert (record["case"]["backend"], record["case"]["time_limit_seconds"]) == ("fake", 50)
    assert (folder / "kept/all.sqlite").is_file()  # as seen from the file
    assert not list((folder / "below").iterdir())
    write(folder, "")
    (typed,) = records(firstgrad(*FAKE, "--json", "--time-limit", "50"))
    assert typed["case"] == record["case"]


def test_help_and_verbose_say_what_a_file_gives(folder):
    write(folder, '[tool.firstgrad.sweep]\nbackend = ["fake", "c"]\nhmm = true\ndry_run = true')
    told = " ".join(firstgrad("sweep", "--help").out.split())
    assert "c, numba, jax [numba]. [default: fake,c] [from pyproject.toml]" in told
    assert told.count("[from pyproject.toml]") == 3
    assert "[from" not in firstgrad("lint", "--help").out
    ended = firstgrad("sweep", "-v", "--json")
    assert "pyproject.toml gives --backend=fake,c --dry-run --hmm=on" in ended.err
    assert [one["case"]["backend"] for one in json.loads(ended.out)["cases"]] == ["c", "fake"]
    ended = firstgrad("sweep", "-v", "--backend", "jax", "--no-hmm")
    assert "pyproject.toml gives --dry-run\n" in ended.err


def test_firstgrad_toml_has_them_at_its_top_and_a_suite_goes_before_them(folder):
    write(folder, '[tool.firstgrad.sweep]\nbackend = "jax"')  # shadowed
    text = 'models = ["pose"]\nsamples = 2\n{}\n[sweep]\nbackend = "fake"\nsamples = 3\ndry_run = true'

    def asked(more=""):
        write(folder, text.format(more), "firstgrad.toml")
        cases = json.loads(firstgrad("sweep", "suite", "--json").out)["cases"]
        return [(one["case"]["backend"], one["samples"]) for one in cases]

    assert asked() == [("fake", 2)]
    assert asked('backends = ["c"]') == [("c", 2)]


def test_options_of_the_pose_model_are_not_given_to_another_model(folder):
    (folder / "mine.py").write_text("def build(): ...\n")
    write(folder, '[tool.firstgrad.sweep]\ntimesteps = 3\nbackend = "fake"\ndry_run = true')
    assert "T=3 " in firstgrad("sweep", "pose").out
    assert firstgrad("sweep", "mine.py:build").code == 0


def test_what_only_measuring_has_a_use_for_does_not_stop_a_comparison_of_stored_sides(folder):
    store_of([make_record(environment=make_environment(label="a"))])
    write(folder, '[tool.firstgrad.compare]\nbackend = "fake"\ntimesteps = 4\nsamples = 4')
    assert "label a to label a" in firstgrad("compare", "a", "a").out
    write(folder, '[tool.firstgrad.profile]\nbackend = "fake"')
    assert "no kept profile" in firstgrad("profile", "--show", "abcd").err


WRONG = {
    "a verb": ("[tool.firstgrad.mesure]", r"\[tool\.firstgrad\] mesure: .*Did you mean 'measure'"),
    "an option": ("[tool.firstgrad.measure]\nbackends = 'c'", r"\[tool\.firstgrad\.measure\] backends: .*'backend'\?"),
    "a choice": ("[tool.firstgrad.measure]\nbackend = 'cuda'", r"\[tool\.firstgrad\.measure\] backend: .*'numba'"),
    "a number": ("[tool.firstgrad.sweep]\nsamples = 'many'", r"\[tool\.firstgrad\.sweep\] samples: .*'many'"),
    "a flag for a number": ("[tool.firstgrad.measure]\nsamples = true", r"samples: expected a text or a number.*True"),
    "a range": ("[tool.firstgrad.measure]\nsamples = 0", r"samples: .*greater than or equal to 1, got 0"),
    "a number for a flag": ("[tool.firstgrad.compare]\nforce = 1", r"force: expected true or false, got 1"),
    "a table": ("[tool.firstgrad]\nmeasure = 3", r"\[tool\.firstgrad\] measure: expected a table"),
    "an option above": ("[tool.firstgrad]\nbackend = 'c'", r"\[tool\.firstgrad\] backend: .*'backends'"),
    "a verb within": ("[tool.firstgrad.cache.pac]", r"\[tool\.firstgrad\.cache\] pac: .*'pack'"),
    "no TOML": ("[tool.firstgrad.measure", r"is no TOML"),
}


@pytest.mark.parametrize(("text", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_there_is_named_before_anything_starts(folder, text, told):
    write(folder, text)
    ended = firstgrad(*FAKE)
    assert (ended.code, ended.out) == (2, "")
    assert re.search(rf"^firstgrad: .*pyproject\.toml.*{told}", ended.err)


def test_a_file_that_somebody_else_could_have_written_is_named_and_not_obeyed(folder, monkeypatch):
    store_of([make_record()])
    file = write(folder, '[tool.firstgrad.measure]\nbackend = "cuda"')
    file.chmod(0o666)
    ended = firstgrad(*EXPORT, "--quiet")
    assert (ended.code, "anybody may write to it" in ended.err) == (0, True)
    file.chmod(0o644)
    assert firstgrad(*EXPORT).code == 2
    monkeypatch.setattr(defaults, "_owners", lambda: {file.stat().st_uid + 1})
    ended = firstgrad(*EXPORT)
    assert (ended.code, "it belongs to another user" in ended.err) == (0, True)


def test_it_is_looked_for_up_to_the_repositorys_root_alone(folder, monkeypatch):
    write(folder, '[tool.firstgrad.measure]\nbackend = "cuda"')
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert "../../pyproject.toml, [tool.firstgrad.measure] backend" in firstgrad(*EXPORT).err
    (folder / "a" / "pyproject.toml").write_text('[project]\nname = "uses-firstgrad"')  # the one above has more to say
    assert "cuda" in firstgrad(*EXPORT).err
    (folder / "a" / ".git").write_text("gitdir: elsewhere")
    assert "cuda" not in firstgrad(*EXPORT).err
    (folder / "a" / ".git").unlink()
    monkeypatch.setenv("HOME", str(folder / "a"))
    assert "cuda" not in firstgrad(*EXPORT).err


def test_a_suite_file_leaves_room_for_every_verb():
    verbs = get_command(app).commands
    assert set(_OF_OPTIONS) == {*verbs, *defaults._EVERYWHERE}


def test_quiet_has_a_part_of_what_is_told_and_verbose_more_and_standard_output_stays():
    usual, quiet, verbose = (firstgrad(*FAKE, "--json", *words) for words in ((), ("-q",), ("--verbose",)))
    assert [quiet.code, usual.code, verbose.code] == [0, 0, 0]
    assert quiet.err == ""
    assert "import" in usual.err
    assert "firstgrad: sample" not in usual.err
    assert [set(records(one)[0]) for one in (quiet, verbose)] == [set(records(usual)[0])] * 2
    assert re.search(r"sample \w{8}: pose .* by .*python.* at most 3600 s.*caches in ", verbose.err)
    assert re.search(r"sample \w{8}: ok; 0 cache entries before, 0 read, 1 written", verbose.err)


@pytest.mark.parametrize("words", [("-q", *EXPORT), (*EXPORT, "-q"), ("--quiet", *EXPORT, "-q")])
def test_both_stand_before_the_verb_or_after_it(words, folder):
    store_of([make_record()])
    write(folder, "[tool.firstgrad.export]\nthin = true")
    usual = "1 record to all.jsonl\n"
    assert firstgrad(*words).err == ""
    assert firstgrad(*EXPORT).err == usual
    words = tuple({"-q": "-v", "--quiet": "--verbose"}.get(word, word) for word in words)
    assert firstgrad(*words).err == f"firstgrad: pyproject.toml gives --thin\n{usual}"


def test_quiet_keeps_errors_and_their_codes(folder):
    both = firstgrad("-q", *EXPORT, "-v")
    assert (both.code, both.err) == (2, "firstgrad: --quiet, --verbose: give one of them\n")
    missing = firstgrad("-q", *EXPORT)
    assert (missing.code, "there is no store here" in missing.err) == (2, True)
    store_of([make_record()])
    write(folder, "[tool.firstgrad]\nquiet = true")
    assert firstgrad(*EXPORT).err == ""
    assert "gives --quiet" in firstgrad(*EXPORT, "-v").err  # what is typed goes before the file


def test_quiet_leaves_out_progress_and_advice_and_keeps_the_result():
    words = ("sweep", "pose", "--timesteps", "3", "--directions", "1", "--backend", "fake", "--evaluations", "3")
    quiet = firstgrad(*words, "-q").err
    assert re.fullmatch(r"1 ok; 0 were there already. Records: .*\n", quiet)
    usual = firstgrad(*words).err
    assert "Next: firstgrad scaling" in usual
    assert "1 were there already" in usual


def test_python_hears_the_same_by_logging(caplog):
    from firstgrad import measure_case

    assert any(isinstance(one, logging.NullHandler) for one in logging.getLogger("firstgrad").handlers)
    with caplog.at_level("INFO", logger="firstgrad"):
        list(measure_case(make_case()))
    assert [record.name for record in caplog.records] == ["firstgrad.measuring.session", "firstgrad.measuring.launch"]


def test_a_comparison_says_what_is_pooled_and_what_is_left_out():
    failed = {"status": Status.FAILED, "failure": Failure(kind="ValueError", message="no")}
    rows = {"one": ("a", {}), "two": ("b", {}), "three": ("b", failed)}
    store_of(
        make_record(record_id=name, environment=make_environment(label=label), **more)
        for name, (label, more) in rows.items()
    )
    told = firstgrad("compare", "a", "b", "-v").err
    assert re.search(r"BASE of .*: 1 sample pooled\n", told)
    assert re.search(r"HEAD of .*: 1 sample pooled; 1 left out, failed: .*no\n", told)


PANEL = "The pose model (only for MODEL pose):"


def test_options_of_the_pose_model_stand_last_in_a_panel_of_their_own():
    group = get_command(app)
    with_pose = []
    for name, verb in {**group.commands, **group.commands["cache"].commands}.items():
        options = [one.opts[0] for one in getattr(verb, "params", ()) if one.param_type_name == "option"]
        if "--timesteps" in options:
            with_pose.append(name)
            text = "\n".join(
                firstgrad(*(["cache"] if name in {"explain", "pack"} else []), name, "--help").out.splitlines()
            )
            panel = "Axes of the pose model (only for MODEL pose" if name == "sweep" else PANEL
            head, tail = text.split(panel)
            sections = re.findall(r"^(\w.*):$", tail, re.MULTILINE)
            assert not sections, name
            assert "--timesteps" not in head
            assert "--help" in head
            assert options[-1] == "--force-unrolled"
    assert len(with_pose) == 12


def test_the_package_runs_as_a_module(folder):
    words = [sys.executable, "-m", "firstgrad", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == run_firstgrad("--version", cwd=folder).stdout
