"""Attacks that take more than a line."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.attack.place import ROOT, Ended, Place, Skipped, Tree, expect, wait_for
from benchmarks.attack.tables import FAKE, MEASURE, SECRET, attack, listening

if TYPE_CHECKING:
    from collections.abc import Iterator

CLONED = "99.0.clone"


def _clone(folder: Path, package: str, trace: Path) -> Path:
    """Plant a package that says when it is imported."""
    (folder / package).mkdir(parents=True)
    text = f"open({str(trace)!r}, 'a').write('imported')\n__version__ = {CLONED!r}\n"
    (folder / package / "__init__.py").write_text(text)
    return folder


def _judge_versions(place: Place, package: str, *, asked_for: bool) -> None:
    """Expect that a record names what was imported, or is a failure; what nobody asked for isn't imported at all."""
    record, was_cloned = place.record(), (place.here / "trace").exists()
    recorded = dict(record["environment"]["versions"]).get(package)
    expect(asked_for or not was_cloned, f"the clone was imported; {record['status']}, {package} {recorded}")
    if record["status"] == "ok":
        truth = CLONED if was_cloned else version(package)
        expect(recorded == truth, f"{truth} was imported, and {recorded} is recorded")


for _package in ("scipy", "pymc"):

    @attack(
        1, f"A flat clone of {_package} in the present folder, the model elsewhere", "the installed one is imported"
    )
    def _beside(place: Place, package: str = _package) -> None:
        reference = place.model(f"import {package}", folder=place.here)
        place.fake("measure", reference, cwd=_clone(place.work, package, place.here / "trace"))
        _judge_versions(place, package, asked_for=False)


@attack(1, "A clone that PYTHONPATH asks for", "the version that was imported is recorded, or a failure")
def _clone_on_the_path(place: Place) -> None:
    variables = {"PYTHONPATH": str(_clone(place.here / "clone", "scipy", place.here / "trace"))}
    place.fake("measure", place.model("import scipy"), variables=variables)
    _judge_versions(place, "scipy", asked_for=True)


@attack(1, "A clone in the model's own folder", "the version that was imported is recorded, or a failure")
def _clone_beside_the_model(place: Place) -> None:
    _clone(models := place.here / "models", "scipy", place.here / "trace")
    place.fake("measure", place.model("import scipy", folder=models))
    _judge_versions(place, "scipy", asked_for=True)


@attack(
    1,
    "A clone that the model puts before the path when it is built",
    "the version that was imported is recorded, or a failure",
)
def _clone_by_the_model(place: Place) -> None:
    folder = _clone(place.here / "clone", "scipy", place.here / "trace")
    place.fake("measure", place.model(f"sys.path.insert(0, {str(folder)!r}); import scipy"))
    _judge_versions(place, "scipy", asked_for=True)


@attack(
    1,
    "random.py, types.py, json.py, numpy.py, sitecustomize.py and a package firstgrad in the present folder",
    "measured as if they were not there",
)
def _shadows(place: Place) -> None:
    trace = place.here / "trace"
    for name in ("random", "types", "json", "numpy", "sitecustomize", "selectors"):
        (place.work / f"{name}.py").write_text(f"open({str(trace)!r}, 'a').write('{name} ')\nraise SystemExit(5)\n")
    _clone(place.work, "firstgrad", trace)
    reference = place.model(folder=place.here)
    done = place.fake("measure", reference)
    expect(not trace.exists(), f"their code ran: {trace.exists() and trace.read_text()}")
    done.expect(0)


def _suspended(place: Place, whom: str, *, limit: str, build_seconds: float, stopped_seconds: float) -> dict[str, Any]:
    """Stop some of a measurement's processes while the model is built, and continue them."""
    calm = set(place.fake("measure", place.model(name="calm.py")) and place.record()["doubts"])
    place.store.unlink()
    reference = place.model(f"(HERE / 'begun').touch(); time.sleep({build_seconds})")
    process = place.start("measure", reference, *FAKE, "--time-limit", limit)
    wait_for((place.here / "begun").exists, "the build's begin")
    tree = Tree(process.pid).look()
    kinds = ("parent", "worker", "child") if whom == "all" else (whom,)
    for kind in kinds:
        tree.kill(kind, signal.SIGSTOP)
    time.sleep(stopped_seconds)
    for kind in reversed(kinds):
        tree.kill(kind, signal.SIGCONT)
    place.end(process)
    record = place.records()[-1]
    return record | {"doubts": sorted(set(record["doubts"]) - calm - {"high_load"})}


@attack(
    2, "Ctrl-Z for 4 s in a measurement of 1 s with a limit of 3 s, then fg", "no timeout, and the suspension is told"
)
def _whole_tree_stopped(place: Place) -> None:
    record = _suspended(place, "all", limit="3", build_seconds=1.0, stopped_seconds=4.0)
    expect(record["status"] != "timeout", "a timeout, of a case that ran for 1 s")
    expect(record["doubts"] or record["failure"], "ok, and no doubt")


@attack(2, "The worker alone is stopped for 2 s", "the suspension is told")
def _worker_stopped(place: Place) -> None:
    record = _suspended(place, "worker", limit="60", build_seconds=0.5, stopped_seconds=2.0)
    expect(record["doubts"] or record["failure"], f"{record['time_to_first_gradient_seconds']} s, ok, and no doubt")


@attack(
    2,
    "The parent alone is stopped for 4 s, beyond the limit of 3 s; the worker needs 1 s",
    "measured as it was: the worker itself was not stopped",
)
def _parent_stopped(place: Place) -> None:
    record = _suspended(place, "parent", limit="3", build_seconds=1.0, stopped_seconds=4.0)
    expect(record["status"] == "ok" or record["doubts"], f"{record['status']}")


@attack(2, "A machine with two busy processes a core", "no doubt about a suspension that was none")
def _busy_machine(place: Place) -> None:
    calm = place.fake("measure", place.model("time.sleep(0.3)")) and set(place.record()["doubts"])
    spin = [sys.executable, "-c", "import time\nwhile True: pass"]
    busy = [subprocess.Popen(spin) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        place.fake("measure", "m.py:build", "--samples", "3", limit=120).expect(0)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    more = {doubt for record in place.records() for doubt in record["doubts"]} - calm - {"high_load"}
    expect(not more - {"unaccounted_time"}, f"doubts: {', '.join(more)}")


def _numbers_are_possible(record: dict[str, Any]) -> None:
    """Expect no negative number, and no more processor time than cores have."""
    for phase in record["phases"]:
        wall, cpu = phase["wall_seconds"], phase["cpu_seconds"]
        expect(wall >= 0 and cpu >= 0, f"phase {phase['phase']}: wall {wall:.2g} s, CPU {cpu:.2g} s")
        most = (os.cpu_count() or 1) * wall + 0.05
        expect(cpu <= most, f"phase {phase['phase']}: CPU {cpu:.3g} s within {wall:.3g} s")


@attack(
    3, "A forked child goes on as if it were the worker, and returns first", "the worker's own record, or a failure"
)
def _forked(place: Place) -> None:
    body = "child = os.fork()\nif child:\n    time.sleep(1.0)\n    os.waitpid(child, os.WNOHANG)"
    place.fake("measure", place.model(body))
    record = place.record()
    _numbers_are_possible(record)
    seconds = record["time_to_first_gradient_seconds"]
    expect(record["status"] != "ok" or seconds > 1.0, f"ok with {seconds} s, which is the child's")


@attack(3, "A model that burns 0.5 s and patches the clocks of `time` before it", "what really passed, or a failure")
def _patched_clocks(place: Place) -> None:
    body = """
end = time.process_time() + 0.5
real = time.process_time
for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
    setattr(time, name, lambda: 41.8)
    setattr(time, name + "_ns", lambda: 41_800_000_000)
import resource; resource.getrusage = lambda who: (_ for _ in ()).throw(ValueError("patched"))
os.times = lambda: os.times_result((41.8,) * 5)
while real() < end: pass
"""
    place.fake("measure", place.model(body))
    record = place.record()
    _numbers_are_possible(record)
    if record["status"] == "ok":
        (build,) = [phase for phase in record["phases"] if phase["phase"] == "build"]
        wall, cpu = build["wall_seconds"], build["cpu_seconds"]
        expect(wall >= 0.5 and 0.49 <= cpu <= wall + 0.1, f"wall {wall:.3g} s, CPU {cpu:.3g} s for 0.5 s")  # noqa: PLR2004


@attack(3, "A forked child writes a forged last word into every pipe that it finds", "only the worker itself speaks")
def _forged_word(place: Place) -> None:
    body = """
frame = sys._getframe()
while "base" not in frame.f_locals: frame = frame.f_back
base = frame.f_locals["base"]
if not os.fork():
    from dataclasses import replace
    from firstgrad.measuring.events import Finished, write_event
    from firstgrad.record import Status
    word = write_event(Finished(record=replace(base, status=Status.OK, time_to_first_gradient_seconds=0.125)))
    for fd in range(3, 64):
        try:
            os.write(fd, word)
        except OSError: pass
    os._exit(0)
time.sleep(0.7)
"""
    place.fake("measure", place.model(body))
    record = place.record()
    expect(record["time_to_first_gradient_seconds"] != 0.125, "the forged word is the record")  # noqa: PLR2004


@attack(
    3,
    "A model that writes noise into every descriptor, and one that closes them all",
    "a failure that says so, or the truth",
)
def _noise_on_pipes(place: Place) -> None:
    pipes = "[fd for fd in range(3, 64) if os.path.exists(p := f'/proc/self/fd/{fd}') and 'pipe' in os.readlink(p)]"
    for body in (f"for fd in {pipes}: os.write(fd, b'\\0noise\\n')", "os.closerange(3, 200)"):
        done = place.fake("measure", place.model(body))
        done.expect(0, 3)
        _numbers_are_possible(place.records()[-1])


@attack(4, "A model that puts a foreign file into the private cache", "it doesn't count as written by the compiler")
def _foreign_entry(place: Place) -> None:
    body = "folder = Path(os.environ['NUMBA_CACHE_DIR']); folder.mkdir(exist_ok=True, parents=True)\n"
    place.fake("measure", place.model(body + "(folder / 'foreign.nbc').write_bytes(b'x' * 1000)"))
    record = place.record()
    caches = record["caches"] or {}
    told = caches.get("contradiction") or record["failure"]
    expect(told or caches["entries_written"] == 1, f"{caches.get('entries_written')} entries written, proven cold")


def _is_kept(place: Place, done: Ended, table: str, count: int = 1) -> None:
    """Expect that samples which the store could not take are in a file and shown."""
    kept = len(place.unsaved()) + len(place.records())
    expect(kept >= count, f"{kept} of {count} samples are kept; exit {done.code}: {done.last}")
    expect("unsaved-" in done.err, f"nothing says where the sample is: {done.last}")
    expect(table in done.out, "no table was printed")
    done.expect(2, 3, 4)


_FILLING = """
with open(HERE / "disk" / "filler", "ab", buffering=0) as file:
    try:
        while file.write(b"x" * 4096): pass
    except OSError: pass
"""


def _full_store(place: Place) -> Path:
    """Have a store on a disk that a model (``m.py:build``) fills while it is measured."""
    place.store = place.tmpfs("disk", "1m") / "s.sqlite"
    place.fake("measure", place.model(name="first.py"), "--store", place.store).expect(0)
    place.model(_FILLING)
    return place.store


for _words in (
    ["measure", "m.py:build"],
    ["compare", "param.n=1", "param.n=2", "m.py:build", "--samples", "2"],
    ["sweep", "m.py:build", "--param", "n=1,2"],
):

    @attack(6, f"{_words[0]} into a store whose disk fills up", "the sample is in a file that is named, exit 2")
    def _onto_full_disk(place: Place, words: list[str] = _words) -> None:
        done = place.run(*words, *FAKE, "--store", _full_store(place))
        _is_kept(place, done, "first_call" if words[0] == "measure" else "", 2)


@attack(
    6,
    "A store that another program keeps locked for longer than anybody waits",
    "the sample is in a file that is named, its table is printed, exit 2",
)
def _locked_store(place: Place) -> None:
    place.fake("measure", place.model(name="first.py")).expect(0)
    holder = sqlite3.connect(place.store, isolation_level=None)
    reference = place.model("(HERE / 'begun').touch(); time.sleep(0.5)")
    process = place.start("measure", reference, *FAKE)
    wait_for((place.here / "begun").exists, "the build's begin")
    holder.execute("BEGIN IMMEDIATE")
    done = place.end(process, 100.0)
    holder.close()
    _is_kept(place, done, "first_call", 2)


@attack(6, "pytest-benchmark with a store whose disk is full", "the sample is in a file that is named")
def _pytest_benchmark_full(place: Place) -> None:
    (place.work / "test_it.py").write_text(
        "import os, pytest\nfrom firstgrad import BackendName, Case, Model, Store\n"
        "from firstgrad.pytest_benchmark import bench, worker_clock\n"
        "@pytest.mark.benchmark(timer=worker_clock)\ndef test_it(benchmark):\n"
        "    case = Case(model=Model(reference=f'{os.getcwd()}/m.py:build'), backend=BackendName.FAKE)\n"
        "    with Store.open(os.environ['STORE']) as store:\n"
        "        bench(benchmark, case, rounds=1, store=store)\n"
    )
    store = _full_store(place)
    pytest = str(Path(sys.executable).with_name("pytest"))
    done = place.run(pytest, "-q", "-p", "no:cacheprovider", "test_it.py", variables={"STORE": str(store)})
    expect(len(place.unsaved()) == 1, f"no file with the sample; exit {done.code}: {done.last}")


@attack(6, "An asv benchmark with a store whose disk is full", "the sample is in a file that is named")
def _asv_full(place: Place) -> None:
    code = (
        "from firstgrad.asv import GradientBenchmarks\nimport os\n"
        "class B(GradientBenchmarks):\n    model = os.getcwd() + '/m.py:build'\n    backends = ('fake',)\n"
        "print(B().track_time_to_first_gradient('fake', 'cold'))\n"
    )
    (place.work / "run.py").write_text(code)
    done = place.run(sys.executable, "run.py", variables={"FIRSTGRAD_STORE": str(_full_store(place))})
    expect(len(place.unsaved()) == 1, f"no file with the sample; exit {done.code}: {done.last}")


def _tests_module(name: str) -> object:
    """Import what tests have for servers."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "process")]
    try:
        return __import__(name)
    except ImportError as error:
        raise Skipped(f"{error.name} is not here") from error


@contextlib.contextmanager
def _postgresql() -> Iterator[tuple[object, str]]:
    """Run a server, and give the URL, with a password in it, of an empty database."""
    module = _tests_module("test_postgresql")
    if (binaries := module.find_binaries()) is None:
        raise Skipped("no PostgreSQL server here")
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        server = module.Server(binaries, Path(folder))
        try:
            server.start()
            yield server, server.make_database().replace("tester@", "tester:PA55WORD@")
        finally:
            server.stop()


@attack(
    6,
    "A PostgreSQL server that ends while a sample is measured, and Ctrl-C into the wait for it",
    "the sample is in a file that is named; no password is said",
)
def _postgresql_gone(place: Place) -> None:
    with _postgresql() as (server, url):
        reference = place.model("(HERE / 'begun').touch(); time.sleep(0.5)")
        process = place.start("measure", reference, *FAKE, "--store", url)
        wait_for((place.here / "begun").exists, "the build's begin")
        server.stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(4)
        process.send_signal(signal.SIGINT)
        done = place.end(process)
    expect("PA55WORD" not in done.out + done.err, "the password is printed")
    expect(len(place.unsaved()) == 1, f"no file with the sample; exit {done.code}: {done.last}")


@attack(
    10,
    "Ctrl-C in a measurement and in a sweep with a password in the store's URL, and its address in what comes after",
    "the password is nowhere",
)
def _password_on_interrupt(place: Place) -> None:
    with _postgresql() as (_, url):
        for verb in ("measure", "sweep"):
            reference = place.model("(HERE / 'begun').touch(); time.sleep(30)")
            process = place.start(verb, reference, *FAKE, "--store", url)
            wait_for((place.here / "begun").exists, "the build's begin")
            process.send_signal(signal.SIGINT)
            done = place.end(process)
            expect(SECRET not in done.out + done.err, f"{verb}: {done.last}")
            (place.here / "begun").unlink()
        done = place.fake("sweep", place.model(), "--store", url).expect(0)
        expect(SECRET not in done.out + done.err, done.last)


@attack(
    10,
    "Secrets in PYTENSOR_FLAGS, XLA_FLAGS and a model's standard error",
    "what matters to a measurement is kept, the secret is not",
)
def _secret_in_flags(place: Place) -> None:
    flags = f"floatX=float64,aws_key={SECRET},token={SECRET}"
    place.fake("measure", place.model(), variables={"PYTENSOR_FLAGS": flags, "XLA_FLAGS": f"--xla_token={SECRET}"})
    record = json.dumps(place.record())
    expect(SECRET not in record, "it is in the record: " + str(place.record()["environment"]["flags"])[:100])
    expect("floatX=float64" in record, "floatX, which matters, is not recorded")


EVIL = "m\x1b[2J\x1b[H\x1b]0;owned\x07\x9b2J\x9d0;x\x9c\x08\x7f\r\u202e.py"
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`[red]|"
BAD = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\r(?!\n)")


def _forged(place: Place, text: str, status: str = "ok", count: int = 4) -> None:
    """Import records that have a text wherever somebody else may write one."""
    place.fake("measure", place.model(parameters="n=0, s=''"), "--param", "n=1").expect(0)
    record = place.record()
    lines = []
    for number in range(count):
        one = json.loads(json.dumps(record)) | {"record_id": f"{number:032x}", "status": status}
        one["case"]["model"] = {"reference": f"{text}:build", "parameters": [["n", number], [text, text]]}
        one["environment"] |= {"label": text, "device": text, "compiler": text, "flags": text, "git_commit": text}
        one["environment"]["versions"] = [[text, text], *one["environment"]["versions"]]
        one["environment"]["host"] |= {"processor": text, "operating_system": text, "container_limits": text}
        one["check"]["finiteness"] = [{"group": text, "infinite": 1, "nan": 0, "values": 1}]
        one["check"]["held"], one["check"]["logp_not_finite"] = [text], [text]
        one["counts"]["nodes_by_type"] = [[text, 1]]
        if status != "ok":
            one["failure"] = {"kind": text, "message": text * 3, "phase": "build", "stderr_tail": [text]}
        lines.append(json.dumps(one))
    (place.work / "forged.jsonl").write_text("\n".join(lines))
    place.run("import", "forged.jsonl").expect(0, 2)


@attack(
    11,
    "Imported records with escape sequences everywhere, ok and failed, shown by every verb",
    "no control character reaches the terminal",
)
def _escapes_in_records(place: Place) -> None:
    for status in ("ok", "failed"):
        _forged(place, EVIL, status)
        verbs = ("report", "report --markdown", "scaling", "advise m.py:build --no-measure", "compare EVIL sweep",
                 "compare param.n=1 EVIL", "export EVIL.jsonl", "import EVIL", "sweep EVIL:build --dry-run",
                 "measure EVIL:build --label EVIL")  # fmt: skip
        for words in ([word.replace("EVIL", EVIL) for word in verb.split()] for verb in verbs):
            with contextlib.suppress(ValueError):
                done = place.run(*words)
                found = BAD.search(done.out + done.err)
                expect(not found, f"{words[0]} {words[1:2]!r}: {found and found[0]!r} in its output")
                expect(done.code != 1 and "Traceback" not in done.err, f"{words[0]}: exit {done.code}: {done.last}")
        place.store.unlink()


@attack(
    11,
    "A model whose error, label, parameter and output have escape sequences, on a terminal",
    "no control character reaches the terminal",
)
def _escapes_of_a_model(place: Place) -> None:
    place.model(f"sys.stderr.write({EVIL!r}); raise ValueError({EVIL + MARKUP!r})", parameters="s=''")
    words = (*MEASURE, "--param", f"s={EVIL[:-3]}", "--label", EVIL)
    code, shown = place.terminal(*words, during=lambda *_: None)
    for bad in (b"\x1b[2J", b"\x1b]0", b"\xc2\x9b", "\u202e".encode(), b"\x7f"):
        expect(bad not in shown, f"{bad!r} is shown; exit {code}")


@attack(11, "Imported records with HTML, Rich's and Markdown's markup everywhere, in a page and in Markdown", "escaped")
def _markup_in_records(place: Place) -> None:
    _forged(place, MARKUP)
    place.run("report", "--output", "page.html").expect(0)
    page = (place.work / "page.html").read_text()
    expect(
        "alert(2)" not in re.sub(r"&lt;.*?&gt;|\\u003c.*?\\u003e", "", page, flags=re.DOTALL), "markup is in the page"
    )
    expect("<img src=x" not in page and "<script>alert" not in page, "markup is in the page")
    done = place.run("report", "--markdown")
    expect("<script>alert" not in done.out and "<img src=x" not in done.out, "HTML is in the Markdown")


for _signal in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):

    @attack(15, f"{_signal.name} on a terminal", "the cursor is shown again, no traceback")
    def _on_terminal(place: Place, how: signal.Signals = _signal) -> None:
        place.model("(HERE / 'begun').touch(); time.sleep(20)")

        def during(master: int, process: subprocess.Popen[str]) -> None:
            wait_for((place.here / "begun").exists, "the build's begin")
            wait_for(lambda: select.select([master], [], [], 0)[0], "a live display")
            time.sleep(0.3)
            if how == signal.SIGINT:
                os.write(master, b"\x03")
            else:
                process.send_signal(how)

        code, shown = place.terminal(*MEASURE, during=during)
        expect(b"\x1b[2K" in shown, f"no live display was there: exit {code}")
        expect(shown.rfind(b"\x1b[?25h") >= shown.rfind(b"\x1b[?25l"), f"the cursor stays hidden; exit {code}")
        expect(how != signal.SIGINT or code == 130, f"exit {code}, and 130 is Ctrl-C's")  # noqa: PLR2004
        expect(b"Traceback" not in shown and code not in (0, 1), f"exit {code}: {shown[-200:]!r}")


@attack(
    16,
    "An error that nobody thought of (a package that PYTHONPATH puts before firstgrad's own raises it)",
    "one line, a file with the traceback, exit 4",
)
def _last_door(place: Place) -> None:
    (place.here / "path").mkdir()
    (place.here / "path" / "sqlalchemy.py").write_text(f"raise RuntimeError('boom \\x1b[2J {SECRET}')\n")
    place.model()
    done = place.run(*MEASURE, variables={"PYTHONPATH": str(place.here / "path")})
    expect("Traceback" not in done.err, f"a traceback; exit {done.code}")
    expect(done.code == 4, f"exit {done.code}: {done.last}")  # noqa: PLR2004
    files = [word.strip("'\".,;:()") for word in done.err.split() if "/" in word]
    written = [path for path in files if os.path.isfile(path) and "Traceback" in open(path).read()]  # noqa: PTH113, PTH123, SIM115
    expect(written, f"no file with the traceback is named: {done.last}")
    for path in written:
        os.unlink(path)  # noqa: PTH108


@attack(13, "A PostgreSQL server that accepts and is silent", "one line, exit 2, within 75 s")
def _silent_database(place: Place) -> None:
    with listening(None) as port:
        place.run("report", "--store", f"postgresql://a@127.0.0.1:{port}/db", limit=75).expect(2)


@attack(
    13,
    "A Dask cluster whose one worker of two is stopped in a sample, and whose scheduler then ends",
    "the others measure on, the sweep ends",
)
def _stopped_dask_worker(place: Place) -> None:
    module = _tests_module("test_dask")
    (place.here / "cluster").mkdir()
    cluster = module.Cluster(place.here / "cluster")
    try:
        for _ in range(2):
            cluster.start_worker("--no-nanny")
        cluster.await_workers(2)
        reference = place.model("(HERE / f'{n}-{os.getppid()}').touch(); time.sleep(0.3)")
        process = place.start("sweep", f"{place.work}/{reference}", *FAKE, "--param", "n=1,2,3,4", "--time-limit", "2",
                              "--scheduler", cluster.address)  # fmt: skip
        wait_for(lambda: list(place.here.glob("*-*")), "a sample's begin")
        victim = cluster.processes[1]
        victim.send_signal(signal.SIGSTOP)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        cluster.scheduler.terminate()
        done = place.end(process, 75)
        victim.send_signal(signal.SIGCONT)
        expect("Traceback" not in done.err, f"a traceback: {done.last}")
        expect(done.code in (0, 2, 3), f"exit {done.code}: {done.last}")
        ok = [record for record in place.records() if record["status"] == "ok"]
        expect(len(ok) >= 2, f"{len(ok)} of 4 samples are stored; {done.last}")  # noqa: PLR2004
    finally:
        cluster.stop()
