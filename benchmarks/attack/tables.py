"""The catalogue of attacks: those that are a line each in ``attacks.toml``, and how such a line is carried out."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import threading
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.attack.place import FIRSTGRAD, Ended, Place, Skipped, Tree, descendants, expect, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    type Do = Callable[[Place], None]

KINDS = {
    1: "what was imported is not what is recorded",
    2: "time that stood still",
    3: "a model that meddles with clocks and pipes",
    4: "a foreign cache entry, a missing side, a page on a full disk",
    5: "a full TMPDIR, and one that grows",
    6: "a store that cannot be written",
    7: "a store that is taken away",
    8: "a model that says too much",
    9: "what an export is written to",
    10: "passwords and secrets",
    11: "escape sequences and markup from outside",
    12: "what others put into TMPDIR",
    13: "waits without an end",
    14: "processes that detach themselves, SIGKILL of everything",
    15: "terminals and full pipes",
    16: "odd words, odd files, few resources",
}
"""Kinds of attack by their number, which ``make attack ONLY=...`` takes."""

SECRET = "PA55WORD"  # noqa: S105 - it is planted
FAKE = ("--backend", "fake", "--evaluations", "3")
MEASURE = ("measure", "m.py:build", *FAKE)
_MIB = 1 << 20
_SKIP, _DB = 77, ".firstgrad/results.sqlite"
_PRELUDE = f"""
firstgrad() {{ "$FIRSTGRAD" "$@"; }}
M() {{ firstgrad measure m.py:build {" ".join(FAKE)} "$@"; }}
S() {{
    case "$*" in *--param?n*) ;; *) set -- --param n=1,2,3 "$@";; esac
    firstgrad sweep m.py:build {" ".join(FAKE)} "$@"
}}
records() {{ S > /dev/null 2>&1 || exit 99; }}
many() {{ printf '9%.0s' $(seq $1); }}
sql() {{ python -c 'import sqlite3, sys
with sqlite3.connect("{_DB}") as store: print(*(store.execute(sys.argv[1]).fetchone() or ()))' "$1"; }}
disk() {{ mkdir d; mount -t tmpfs -o mode=777,$1 none d || exit {_SKIP}; }}
full() {{ dd if=/dev/zero of=d/filler bs=4k 2> /dev/null; :; }}
DB={_DB}
"""


@dataclass(frozen=True, slots=True)
class Attack:
    """One of them: its kind, what is done, what is right, and the function that raises `Failed` or `Skipped`."""

    kind: int
    name: str
    right: str
    do: Do


ATTACKS: list[Attack] = []


def attack(kind: int, name: str, right: str) -> Callable[[Do], Do]:
    """Add a function to the catalogue."""
    return lambda do: ATTACKS.append(Attack(kind, name, right, do)) or do


def _script(place: Place, entry: dict[str, Any]) -> None:
    place.model(entry.get("body", ""), parameters="n=0, s=''")
    variables = {"FIRSTGRAD": FIRSTGRAD, "HERE": str(place.here), "SECRET": SECRET}
    variables["PATH"] = f"{Path(FIRSTGRAD).parent}:{os.environ['PATH']}"
    done = place.run("/bin/bash", "-c", _PRELUDE + entry["run"], variables=variables, limit=entry.get("within", 60))
    if done.code == _SKIP:
        raise Skipped(f"it takes root: {done.last}")
    _hides(place, done)
    done.expect(*entry["codes"], saying=entry.get("saying", ""))
    expect(len(done.err) < _MIB, f"{len(done.err)} characters are said")
    if "stored" in entry:
        stored = len(place.records())
        expect(stored == entry["stored"], f"{stored} samples are stored; exit {done.code}: {done.last}")


def _hides(place: Place, done: Ended) -> None:
    expect(SECRET not in done.out + done.err, f"it is said: {done.last}")
    named = [path.name for path in place.here.rglob("*") if SECRET in str(path) or "alice" in path.name]
    expect(not named, f"a file is named {named}")


def _taken_away(place: Place, entry: dict[str, Any]) -> None:
    verb = entry.get("verb", "sweep")
    body = "if n == 2 and not (HERE / 'done').exists():\n    WORK, _ = HERE / 'work', (HERE / 'done').touch()\n    "
    words = {"sweep": ("--param", "n=1,2,3", "--order-seed", "1"), "measure": ("--param", "n=2", "--samples", "2"),
             "compare": ("param.n=1", "param.n=2", "--samples", "2")}[verb]  # fmt: skip
    sides, words = (words[:2], words[2:]) if verb == "compare" else ((), words)
    done = place.run(verb, *sides, place.model(body + entry["body"]), *FAKE, *words, "--json").expect(0, 2, 3, 4)
    reported = [line.split('"record_id":"')[1][:32] for line in done.out.splitlines() if '"record_id":"' in line]
    stores = [place.store, *(path for path in place.work.rglob("*.sqlite") if path != place.store)]
    kept = {
        record["record_id"] for record in (*place.unsaved(), *(one for path in stores for one in place.records(path)))
    }
    missing = [name for name in reported if name not in kept]
    expect(not missing or done.code != 0, f"exit 0, and {len(missing)} of {len(reported)} samples are nowhere")
    expect(verb != "compare" or kept or done.code != 0, "exit 0, and no sample is anywhere")
    expect(place.store.exists() or done.code != 0, f"exit 0, and no store is there: {done.last}")


def _loud(place: Place, entry: dict[str, Any]) -> None:
    process, most = place.start("measure", place.model(entry["body"]), *FAKE), 0
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        while process.poll() is None:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            most = max([most, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])
            time.sleep(0.03)
    done = place.end(process).expect(0, 3)
    record, at_most = place.record(), entry.get("most", 2 * _MIB)
    failure = record["failure"] or {}
    expect(record["status"] in entry.get("statuses", ["ok"]), f"{record['status']}: {str(failure)[:150]}")
    expect(entry.get("failure", failure.get("kind")) == failure.get("kind"), f"told as {str(failure)[:150]}")
    for what, size in (("stored", len(json.dumps(record))), ("printed", len(done.out + done.err))):
        expect(size < at_most, f"{size / _MIB:.0f} MiB are {what}")
    expect(most < 256 * 1024, f"the parent took {most / 1024:.0f} MiB")
    expect((place.here / entry.get("stays", "work")).exists(), "what a link points to was removed")


def _model(place: Place, entry: dict[str, Any]) -> None:
    done = place.fake("measure", place.model(entry["body"])).expect(0, 3)
    record = place.record()
    expect(record["status"] in entry["run"].split(), f"{record['status']}: {record['failure']}")
    expect((done.code == 0) == (record["status"] == "ok"), f"exit {done.code} of a sample that is {record['status']}")
    place.fake("measure", place.model(name="next.py")).expect(0)


def _imported(place: Place, entry: dict[str, Any]) -> None:
    place.fake("sweep", place.model(), "--param", "n=1,2,3").expect(0)
    local = {"record": place.records()[0] | {"record_id": "f" * 32}, "json": json}
    exec(entry["run"], local)  # noqa: S102 - a line of our own table
    text = local.get("text") or json.dumps(local["record"]).replace('"BIG"', "9" * 5000)
    (place.work / "odd.jsonl").write_text(text, errors="surrogatepass")
    done = place.run("import", "odd.jsonl").expect(0, 2)
    if done.code:
        expect("odd.jsonl" in done.err, f"the file is not named: {done.last}")
        return
    verbs = ("report --output p.html", "report", "export o.csv", "export o.jsonl", "scaling",
             "compare param.n=1 param.n=2", "advise m.py:build --no-measure")  # fmt: skip
    for words in map(str.split, verbs):
        later = place.run(*words)
        if words[0] in ("report", "export") or "Traceback" in later.err or later.code not in (0, 1, 2, 3):
            expect(later.code == 0, f"imported, then {words[0]}: exit {later.code}: {later.last}")


@contextlib.contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """Accept whoever comes, and say something (None: nothing at all, '': hang up)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        clients = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    clients.append(client := server.accept()[0])
                    if answer is not None:
                        client.sendall(answer)
                        clients.clear()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def _scheduler(place: Place, entry: dict[str, Any]) -> None:
    address = entry.get("address", entry.get("run"))
    with listening(None if entry.get("silent") else entry.get("answer", "").encode()) as port:
        done = place.fake(
            "sweep", place.model(), "--scheduler", address.format(port=port) if "{" in address else address
        )
    done.expect(2)
    expect(done.seconds < 40, f"only after {done.seconds:.0f} s")  # noqa: PLR2004
    expect(len(done.err.splitlines()) < 6, f"{len(done.err.splitlines())} lines are said")  # noqa: PLR2004


def _stopped(place: Place, entry: dict[str, Any], within: float = 75.0) -> None:
    whom, more = entry.get("whom", entry.get("run")), ("--param", "s=" + "x" * entry.get("more", 0))
    reference = place.model("(HERE / 'begun').touch(); time.sleep(30)", parameters="n=0, s=''")
    process = place.start("measure", reference, *FAKE, "--time-limit", "2", *more)
    tree = Tree(process.pid)
    if not entry.get("at_once"):
        wait_for((place.here / "begun").exists, "the build's begin")
    tree.await_(whom)
    tree.kill(whom, signal.SIGSTOP)
    place.end(process, within).expect(2, 3)
    expect(len(place.records()) == 1, "no record of it")


_DAEMON = "if not os.fork():\n    os.setsid()\n    if os.fork(): os._exit(0)\n    os.closerange(0, 100)\n   "


def _detached(place: Place, entry: dict[str, Any]) -> None:
    body, kill = entry.get("body", "").replace("DAEMON:", _DAEMON), entry.get("kill", ())
    process = place.start(
        "measure", place.model(f"{body}\n(HERE / 'begun').touch()" + "\ntime.sleep(30)" * bool(kill)), *FAKE
    )
    if kill:
        wait_for((place.here / "begun").exists, "the build's begin")
        tree = Tree(process.pid).look()
        tree.kill("parent", signal.SIGSTOP)  # or it would act in between
        for kind in kill:
            tree.kill(kind, signal.SIGKILL)
        tree.kill("parent", signal.SIGCONT)
    place.end(process).expect(0, 3, -9)
    with contextlib.suppress(Exception):
        wait_for(lambda: not descendants(), "their end", 3)
    place.fake("measure", place.model(name="next.py")).expect(0)  # what is promised of SIGKILL


def _planted(place: Place, entry: dict[str, Any]) -> None:
    body = "import shutil; shutil.copy(Path(os.environ['TMPDIR']).parent / 'owner', HERE / 'owner')"
    place.fake("measure", place.model(body)).expect(0)
    words = (place.here / "owner").read_text().split()  # as one's own, but of a process that is no more
    (place.here / "owner").write_text(" ".join(["3999999", *words[1:]]))
    (precious := place.here / "precious").mkdir()
    (folder := place.tmp / "firstgrad-x").mkdir()
    place.planted.append(folder)
    done = place.run("/bin/bash", "-c", entry["run"], cwd=folder, variables={"HERE": str(place.here)})
    if done.code == _SKIP:
        raise Skipped(f"it takes root: {done.last}")
    done.expect(0)
    before = sorted(precious.iterdir())
    place.fake("measure", place.model(name="next.py"), limit=30).expect(0)
    expect(sorted(precious.iterdir()) == before, "what a link points to was removed")
    goes = (place.here / "goes").exists()
    expect(os.path.lexists(folder) != goes, "it is still there" if goes else "a folder of somebody else's was removed")


_PREFIXES = {"model": "a model that does: ", "imported": "an import of "}


def _load() -> None:
    for group in tomllib.loads((Path(__file__).parent / "attacks.toml").read_text())["group"]:
        carry_out = globals()[f"_{group['what']}"]
        for name, line in group["attacks"].items():
            entry = {"codes": group.get("codes"), "within": group.get("within", 60)}
            entry |= (
                line if isinstance(line, dict) else {"run": line, "body": line if group["what"] != "script" else ""}
            )
            if group["what"] == "model":
                entry["body"] = name
            do = functools.partial(carry_out, entry=entry)
            ATTACKS.append(Attack(group["kind"], _PREFIXES.get(group["what"], "") + name, group["right"], do))


_load()
