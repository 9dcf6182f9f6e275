"""How the command line ends: full disks behind its streams, signals, closed streams, odd encodings, and the rest."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.main import get_command

from builders import FIRSTGRAD, firstgrad, run_firstgrad, sample, store_of
from firstgrad.cli.app import app
from firstgrad.store import Store
from helpers import is_alive, linux_only, make_case, make_record, numbers_in, wait_for, write_model

SMALL = ("--backend", "fake", "--timesteps", "4", "--directions", "1", "--evaluations", "20")
pytestmark = [linux_only, pytest.mark.timeout(100)]

HIDE = b"\x1b[?25l"
SLOW = "Path(pids).open('a').write(f'{os.getpid()}\\n')\ntime.sleep(60)\nreturn Model()"


@contextmanager
def on_a_terminal(folder, *words, **how):
    """Run on a pseudo terminal; yields the process and a function that reads what it drew so far."""
    ours, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [FIRSTGRAD, *words], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=env, **how
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    drawn = bytearray()

    def read() -> bytes:
        with suppress(OSError):  # nothing yet, or nothing more
            drawn.extend(os.read(ours, 1 << 16))
        return bytes(drawn)

    try:
        yield process, read
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.fixture
def slow(tmp_path):
    """A model that takes a minute: its reference with its option, and the file that gets its process number."""
    return write_model(tmp_path, SLOW, parameters="pids"), tmp_path / "pids"


@pytest.fixture
def heeded():
    """SIGHUP as it is where nobody ignores it: these tests may run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("verb", "number"),
    [
        ("measure", signal.SIGTERM),
        ("measure", signal.SIGHUP),
        ("measure", signal.SIGKILL),
        ("sweep", signal.SIGTERM),
        ("profile", signal.SIGTERM),
    ],
)
@pytest.mark.usefixtures("heeded")
def test_a_signal_leaves_the_cursor_and_nothing_that_runs(tmp_path, slow, verb, number):
    reference, pids = slow
    words = (verb, reference, "--param", f"pids={pids}", "--backend", "fake")
    with on_a_terminal(tmp_path, *words) as (process, read):
        wait_for(lambda: numbers_in(pids), seconds=30, what="the model's call")
        wait_for(lambda: b"build" in read(), seconds=30, what="the live display")
        process.send_signal(number)
        assert wait_for(lambda: read() is None or process.poll(), seconds=30, what="its end") == -number
        (worker,) = numbers_in(pids)
        wait_for(lambda: not is_alive(worker), seconds=30, what="the worker's end")
        read()
        assert HIDE not in read()
        if number != signal.SIGKILL:
            assert b"interrupted" in read()


def test_signals_that_are_ignored_stay_so(tmp_path, slow):
    reference, pids = slow
    ignore = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    words = ("measure", reference, "--param", f"pids={pids}", "--backend", "fake", "--store", "none")
    process = subprocess.Popen([sys.executable, "-c", ignore, FIRSTGRAD, *words], cwd=tmp_path, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: numbers_in(pids), seconds=30, what="the model's call")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == -signal.SIGTERM
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_amid_imports_ends_it_without_a_word(tmp_path):
    seen = tmp_path / "seen"
    (tmp_path / "typer.py").write_text(f"import time\nopen({str(seen)!r}, 'w').close()\ntime.sleep(60)\n")
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    process = subprocess.Popen([FIRSTGRAD, "--version"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_for(seen.exists, seconds=30, what="the import")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == -signal.SIGINT
        assert process.stdout.read() == b""
    finally:
        process.kill()
        process.communicate()


def test_a_full_disk_behind_standard_error_costs_nothing(tmp_path):
    with Path("/dev/full").open("w") as full:
        words = [FIRSTGRAD, "measure", *SMALL]
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=full, text=True, check=False, cwd=tmp_path, timeout=60
        )
    assert done.returncode == 0
    assert "time to first gradient" in done.stdout
    with Store.open(tmp_path / ".firstgrad" / "results.sqlite") as store:
        assert len(store) == 1


def test_a_full_disk_behind_standard_output_ends_no_sweep(tmp_path):
    with Path("/dev/full").open("w") as full:
        words = [FIRSTGRAD, "sweep", *SMALL[:2], "--timesteps", "4,5,6", "--directions", "1", "--json"]
        done = subprocess.run(
            words, stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path, timeout=60
        )
    assert done.returncode == 4
    assert "3 ok" in done.stderr
    assert "firstgrad: standard output cannot be written (No space left on device)" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    with Store.open(tmp_path / ".firstgrad" / "results.sqlite") as store:
        assert len(store) == 3


def test_a_reader_that_has_gone_is_no_failure(tmp_path):
    ours, theirs = os.pipe()
    os.close(ours)
    words = [FIRSTGRAD, "measure", *SMALL, "--json"]
    done = subprocess.run(
        words, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path, timeout=60
    )
    os.close(theirs)
    assert done.returncode == 0
    assert "firstgrad:" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&-", "2>&-"])
def test_closed_streams_are_nobody_who_listens(tmp_path, closed):
    command = f'exec "$0" "$@" {closed}'
    done = subprocess.run(["sh", "-c", command, FIRSTGRAD, "measure", *SMALL], check=False, cwd=tmp_path, timeout=60)
    assert done.returncode == 0
    with Store.open(tmp_path / ".firstgrad" / "results.sqlite") as store:
        assert len(store) == 1


@pytest.mark.parametrize("form", [(), ("--markdown",), ("--json",)])
def test_letters_that_an_encoding_lacks_are_written_in_others(tmp_path, form):
    reference = write_model(tmp_path, "raise ValueError('half \\udcff of a pair, \\u00b5, \\u20ac')")
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    words = ("measure", reference, "--backend", "fake", "--store", "none", *form)
    done = run_firstgrad(*words, cwd=tmp_path, env=env)
    assert done.returncode == 3
    assert "half \\udcff of a pair, " in done.stdout.replace("\\\\u", "\\u")
    assert done.stdout.isascii()
    assert done.stderr.isascii()
    assert "Traceback" not in done.stderr
    assert form or "of a pair, u, \\u20ac" in done.stdout


def test_what_nobody_foresaw_is_a_line_and_a_file_and_4(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("firstgrad.cli.doctor.examine", lambda: iter([1 // 0]))
    for folder in (tmp_path, tmp_path / ".firstgrad"):
        folder.mkdir(exist_ok=True)
        ended = firstgrad("doctor")
        assert ended.code == 4
        assert ended.out == ""
        (line,) = ended.err.splitlines()
        assert line.startswith("firstgrad: ZeroDivisionError: integer division or modulo by zero. This is an error of ")
        (file,) = folder.glob("error-*.txt")
        assert line.endswith(str(file))
        assert file.read_text().startswith("Traceback")
        assert "1 // 0" in file.read_text()
        file.unlink()
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")
    (tmp_path / ".firstgrad").rmdir()
    ended = firstgrad("doctor")
    assert ended.code == 4
    assert "Traceback" in ended.err
    assert ended.err.splitlines()[-1].endswith("its traceback is above")


def test_ctrl_c_where_no_verb_waits_for_it_is_130(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("firstgrad.cli.doctor.examine", interrupted)
    assert firstgrad("doctor").code == 130


# What comes from outside steers no terminal

STEERING = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m\rfirstgrad: all is well\n"
FORBIDDEN = set("\x1b\x07\u202e\x9b\r")


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A store whose record has steering texts wherever a text may be."""
    from firstgrad.model import Model
    from firstgrad.record import Failure, Status
    from helpers import make_environment

    monkeypatch.chdir(tmp_path)
    model = Model(reference=f"a{STEERING}.py:build", parameters=(("name", STEERING),))
    failure = Failure(kind=f"Odd{STEERING}", message=f"told {STEERING}", stderr_tail=(STEERING,))
    environment = make_environment(label=STEERING, git_commit="c" * 40, device=STEERING, flags=STEERING)
    known = {"case": make_case(model=model), "environment": environment, "status": Status.FAILED, "failure": failure}
    store_of([make_record(record_id=STEERING + end, **known) for end in "ab"])
    return STEERING


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "nobody", "HEAD"),
        ("compare", STEERING, STEERING, "--all"),
        ("compare", STEERING, STEERING, "--markdown"),
        ("scaling",),
        ("sweep", f"a{STEERING}.py:build", "--scheduler", "none", "--dry-run"),
        ("profile", "--show", STEERING),
        ("advise", f"a{STEERING}.py:build", "--evaluations", "10", "--no-measure", "--backend", "fake"),
        ("report",),
        ("measure", "pose", STEERING),
        (STEERING,),
        ("measure", "--label", STEERING, "--no-such", STEERING),
        ("export", f"{STEERING}.jsonl"),
        ("import", STEERING),
    ],
)
def test_texts_from_outside_are_shown_as_escapes(hostile, words):  # noqa: ARG001 - it makes the store
    ended = firstgrad(*words)
    assert ended.code != 4
    assert not FORBIDDEN & set(ended.out + ended.err)
    assert not [line for line in (ended.out + ended.err).splitlines() if line.startswith("firstgrad: all is well")]


def test_a_models_own_texts_are_shown_as_escapes_while_it_runs(tmp_path):
    name = "odd\x1b]0;owned\x07"
    write_model(tmp_path, "raise ValueError('\\x1b[2J\\x1b]0;owned\\x07')", name=name)
    with on_a_terminal(tmp_path, "measure", f"{name}.py:build", "--backend", "fake", "--store", "none") as (
        process,
        read,
    ):
        wait_for(lambda: read() is None or process.poll() is not None, seconds=60, what="its end")
        read()
        assert b"odd\\x1b]0;owned\\x07.py:build" in read()
        assert b"\x1b]0" not in read()
        assert b"\x1b[2J" not in read()


# Wrong use that is merely large

MANY = "9" * 400


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("measure", *SMALL, "--memory-limit", MANY), "--memory-limit: expected a size such as 4GiB"),
        (("measure", *SMALL, "--evaluations", MANY), "evaluations: expected a whole number <= "),
        (("measure", "pose", "--timesteps", MANY), "n_timesteps: expected a whole number <= "),
        (("measure", "pose", "--directions", MANY), "n_directions: expected a whole number <= "),
        (("measure", "m.py:build", "--param", f"n={MANY}"), "n has more than 300 digits"),
        (("sample", "pose", "--draws", MANY), "draws: expected a whole number <= "),
        (("advise", "pose", "--evaluations", MANY), "--evaluations: expected a whole number <= "),
        (("advise", "pose", "--time-budget", MANY), "--time-budget: "),
        (("compare", "a=1", "b=2", "--time-budget", MANY), "--time-budget: "),
    ],
)
def test_numbers_without_bounds_are_wrong_use(tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    ended = firstgrad(*words)
    assert ended.code == 2
    assert told in ended.err
    assert len(ended.err) < 1000


def test_a_list_is_a_text_however_deep_it_is(tmp_path):
    reference = write_model(tmp_path, "raise ValueError(f'{type(s).__name__} of {len(s)}')", parameters="s")
    deep = "[" * 100_000
    words = ("measure", reference, "--param", f"s={deep}", "--backend", "fake", "--store", "none", "--json")
    done = run_firstgrad(*words, cwd=tmp_path)
    assert done.returncode == 3, done.stderr[-1000:]
    assert "str of 100000" in json.loads(done.stdout)["failure"]["message"]


# Where nothing can be written


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Samples of four sizes under two labels, in the folder's own store, and a file beside it."""
    from firstgrad.model import Model

    monkeypatch.chdir(tmp_path)
    models = [Model(reference="m.py:build", parameters=(("n", n),)) for n in (1, 2, 4, 8)]
    cases = [make_case(model=model) for model in models]
    numbers = iter(range(100))
    store_of(
        [
            sample(float(1 + place), number=next(numbers), case=case, label=label)
            for label in ("before", "after")
            for place, case in enumerate(cases)
            for _ in range(3)
        ]
    )
    (tmp_path / "file").write_text("mine")


@pytest.mark.parametrize("place", ["file/x", "/proc/x"])
@pytest.mark.parametrize(
    "words",
    [
        ("scaling", "--output", "{}"),
        ("compare", "before", "after", "--output", "{}.png"),
        ("report", "--output", "{}"),
        ("export", "{}"),
        ("export", "{}", "--format", "csv"),
        ("measure", *SMALL, "--store", "{}"),
        ("sweep", *SMALL, "--store", "{}"),
        ("import", "file", "--store", "{}"),
    ],
    ids=" ".join,
)
def test_where_nothing_can_be_written_it_is_wrong_use(measured, tmp_path, words, place):  # noqa: ARG001 - the store
    ended = firstgrad(*(word.format(place) for word in words))
    assert ended.code == 2, ended.err
    assert place.partition("/x")[0] in ended.err
    assert "Traceback" not in ended.err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_base_that_is_not_there_was_not_repaired(tmp_path):
    write_model(tmp_path, "return Model()", parameters="n=1", name="m")
    words = ("m.py:build", "--backend", "fake", "--samples", "1")
    for base, told in (
        ("model=nope.py:x", "no file nope.py"),
        ("model=m.py:nope", "m.py has no function 'nope'"),
        ("param.other=1", "there is no such model"),
        ("param.n='[]'", ""),
    ):
        done = run_firstgrad("compare", base, "param.n=2", *words, cwd=tmp_path)
        assert done.returncode == (2 if told else 0), done.stderr
        assert told in done.stdout + done.stderr
        assert "repaired" not in done.stdout


# Whatever words come

VALUES = (
    *("", "0", "-1", MANY, "1e999", "nan", "inf", "x", ",", "1,2", "1,1", "=", "a=b", "n=1,2,4", "n=", "pose", ":"),
    *("before", "after", ".", "/", "/proc/x", "file", "~x/y", STEERING, "\udcff", "a" * 5000, "[red]", "-", "--"),
    *("none", "all", "on", "cold", "jax", "hmm", "timesteps", "n", "commit", "HEAD", "pymc==", "env:", "evaluation"),
    *("sqlite:///y", "sqlite://", "postgresql://", "zzz://", "x.png", ".png", "true", "[1]", "\\", "'", "30m", "a.b:c"),
)
READING = ("report", "scaling", "compare", "export", "import", "profile", "sweep")
"""Verbs that, as they are called here, measure nothing."""


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_words_end_with_an_exit_code_and_a_line(measured, data):  # noqa: ARG001 - the store
    verb = data.draw(st.sampled_from(READING))
    words = [verb, *{"sweep": ("--dry-run",), "profile": ("--show", "none")}.get(verb, ())]
    parameters, values = get_command(app).commands[verb].params, st.sampled_from(VALUES)
    arguments = sum(one.param_type_name == "argument" for one in parameters)
    words += data.draw(st.lists(values, min_size=max(arguments - 1, 0), max_size=arguments))
    measuring = {"--scheduler", "--measure"}
    options = [one for one in parameters if one.param_type_name == "option" and not measuring & {*one.opts}]
    for option in data.draw(st.lists(st.sampled_from(options), max_size=3)):
        words.append(data.draw(st.sampled_from(option.opts)))
        words += [data.draw(values) for _ in range(0 if option.is_flag else option.nargs)]
    ended = firstgrad(*words)
    assert ended.code in (0, 1, 2, 3), ended.err
    assert not FORBIDDEN & set(ended.out + ended.err)
    assert len(ended.err) < 20_000
