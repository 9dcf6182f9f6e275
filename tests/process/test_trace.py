"""`firstgrad trace`: a script runs as ever, with the same results and end, and what its processes compile is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from firstgrad.codec import from_json
from firstgrad.tracing.record import ScriptTrace

SCRIPT = """
import multiprocessing
import os
import sys

print(sys.argv[1:], __name__, os.path.samefile(sys.path[0], os.path.dirname(__file__)))


def double(number):
    import pytensor
    import pytensor.tensor as pt

    value = pt.dscalar("value")
    function = pytensor.function([value], value * 2, mode="CVM")
    return [float(function(number)) for _ in range(3)]


if __name__ == "__main__":
    how, end = sys.argv[1:]
    if how != "none":
        context = multiprocessing.get_context(how)
        with context.Pool(1) as pool:
            print(pool.map(double, [1.0]))
            pool.close()
            pool.join()
    print(double(2.0))
    sys.stdout.flush()
    match end:
        case "raise":
            raise ValueError("as planned")
        case "exit":
            sys.exit(7)
        case "leave":
            os._exit(9)
        case "kill":
            os.kill(os.getpid(), 9)
        case "interrupt":
            os.kill(os.getpid(), 2)
"""


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    return file


def run(*words, cwd, **options):
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=100, check=False, **options
    )


def trace_of(*words, cwd):
    done = run("-m", "firstgrad", "trace", *words, cwd=cwd)
    files = list(Path(cwd, ".firstgrad/traces").glob("*.json"))
    assert len(files) == 1, done.stderr
    return done, from_json(files[0].read_bytes(), ScriptTrace)


@pytest.mark.compiles
@pytest.mark.parametrize(
    ("how", "end", "code"),
    [
        *(("spawn", "exit", 7), ("fork", "raise", 1), ("forkserver", "leave", 9)),
        *(("none", "kill", -signal.SIGKILL), ("none", "interrupt", -signal.SIGINT)),
    ],
)
def test_the_script_ends_as_ever_and_its_processes_are_told(script, tmp_path, how, end, code):
    done, trace = trace_of(script, how, end, cwd=tmp_path)
    printed = [line for line in done.stdout.splitlines() if "__mp_main__" not in line]
    pooled = ["[[2.0, 2.0, 2.0]]"] if how != "none" else []
    assert printed == [f"{[how, end]} __main__ True", *pooled, "[4.0, 4.0, 4.0]"]
    assert done.returncode == code
    assert ("ValueError: as planned" in done.stderr) is (end == "raise")
    assert ("KeyboardInterrupt" in done.stderr) is (end == "interrupt")
    assert trace.exit_code == code
    own = [compiled for compiled in trace.compiles if compiled.process == 0]
    assert [compiled.asked_by.text for compiled in own] == [
        'function = pytensor.function([value], value * 2, mode="CVM")'
    ]
    assert trace.unavailable == ()
    if how == "none":
        assert [known.how for known in trace.processes] == ["main"]
    else:
        child = trace.processes[-1]
        assert child.how == how
        assert trace.processes[0].how == "main"
        (compiled,) = [one for one in trace.compiles if one.process == len(trace.processes) - 1]
        assert (compiled.graph_digest, compiled.calls) == (own[0].graph_digest, 2)
        assert compiled.asked_by.function == "double"
    if end not in ("kill", "leave"):
        assert (own[0].calls, trace.processes[0].ended_seconds is None) == (2, False)


@pytest.mark.compiles
def test_the_posterior_is_the_same_to_the_last_bit(tmp_path):
    pytest.importorskip("numba")
    script = tmp_path / "draw.py"
    script.write_text(
        "import pymc as pm\n"
        "with pm.Model():\n"
        '    level = pm.Normal("level")\n'
        '    pm.Normal("seen", level, 1.0, observed=[1.0, 2.0, 4.0])\n'
        '    drawn = pm.sample(30, tune=30, chains=2, cores=2, random_seed=1, nuts_sampler="pymc", progressbar=False,\n'
        "                      compute_convergence_checks=False)\n"
        'print(drawn.posterior["level"].values.tobytes().hex())\n'
    )
    run(script, cwd=tmp_path)  # what Numba has just compiled differs in the last bit from what it reads from its cache
    bare = run(script, cwd=tmp_path)
    done, trace = trace_of(script, cwd=tmp_path)
    assert (done.stdout, done.returncode) == (bare.stdout, 0)
    assert len(bare.stdout) > 2 * 8 * 60
    assert [known.how for known in trace.processes] == ["main", "fork", "fork"]
    assert sorted(began.process for began in trace.draws_began) == [1, 2]
    (gradient,) = [compiled for compiled in trace.compiles if compiled.purpose == "gradient"]
    assert gradient.asked_by.line == 5
    assert gradient.library_calls[0] == "pymc.sample"
    assert gradient.calls > 100  # in the children
    assert gradient.wall_seconds < min(began.at_seconds for began in trace.draws_began)
    assert {"import", "build", "sample"} <= {str(stage.span.name) for stage in trace.stages}
    assert [source.file for source in trace.sources] == [str(script)]
    assert gradient.peak_rss_bytes > gradient.rss_before_bytes > 0


def test_json_is_alone_on_standard_output_and_modules_run_too(tmp_path):
    (tmp_path / "talking.py").write_text("import sys\nprint('said', sys.argv[1:])\n")
    done = run("-m", "firstgrad", "trace", "--json", "--no-keep", "-m", "talking", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)["trace"]
    assert told["command"] == "python -m talking --json"
    assert "said ['--json']" in done.stderr
    assert (told["compiles"], told["exit_code"]) == ([], 0)
    assert not (tmp_path / ".firstgrad").exists()


@pytest.mark.parametrize(
    ("words", "what"),
    [((), "give a script"), (("--show", "ab"), ".firstgrad/traces has none"), (("away.py",), "no such script")],
)
def test_wrong_use_is_told_before_anything_runs(tmp_path, words, what):
    done = run("-m", "firstgrad", "trace", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert what in done.stderr
    assert "Traceback" not in done.stderr


def test_a_trace_without_a_place_to_write_leaves_the_script_alone(tmp_path):
    (tmp_path / "plain.py").write_text("import os, sys\nprint(len(os.environ) > 0)\nsys.exit(3)\n")
    variables = os.environ | {"FIRSTGRAD_TRACE": "0.0:/nowhere/at/all"}
    startup = Path(sys.modules[ScriptTrace.__module__].__file__).with_name("startup")
    done = run("plain.py", cwd=tmp_path, env=variables | {"PYTHONPATH": str(startup)})
    assert (done.returncode, done.stdout, done.stderr) == (3, "True\n", "")
