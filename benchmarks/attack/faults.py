"""Random faults over sweeps: nothing reported may be lost, nothing stored false, nothing left.

A story is a store with some sweeps into it, one after the other, each hit by faults at random moments; the last one is
left in peace, and has to make everything whole. A seed and a story's number give the same faults again (not the same
moments to the microsecond).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import platform
import random
import re
import shutil
import signal
import sqlite3
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmarks.attack.place import GRACE_SECONDS, Failed, Place, Skipped, Tree, descendants, wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from concurrent.futures import Executor
    from pathlib import Path

SHARE_OF_SIGNALS, SHARE_IN_SAMPLES, SHARE_SIDE_BY_SIDE = 0.65, 0.75, 0.3
LIMIT_SECONDS = 60.0  # of a sample, which takes less than one
END_SECONDS, STORY_SECONDS = 45.0, 400.0
WORDS = {
    "lost": "something reported was lost",
    "false": "something false was stored",
    "left": "something was left",
    "unclear": "the end was a traceback, or none",
}
EXPECTED_DOUBTS = {"few_evaluations", "high_load", "unaccounted_time"}
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGHUP, signal.SIGSTOP)
ON_FILES = ("store full", "TMPDIR full", "store locked", "store removed", "store's folder removed",
            "private folder removed", "caches removed")  # fmt: skip

BODY = """
def note(what):
    with open(HERE / "log", "a") as file:
        file.write(f"{os.getpid()} {os.environ.get('FIRSTGRAD_RUN', '-')} {n} {what}\\n")
note("begin")
if n % 3 == 0: subprocess.Popen(["sleep", "1000"])
if n % 4 == 0: subprocess.Popen(["setsid", "env", "-i", "/bin/sleep", "1000"])
if n % 7 == 0: sys.stderr.write("much " * 100_000)
clock, end = time.process_time, time.process_time() + CPU(n)
while clock() < end: pass
time.sleep(WALL(n) - CPU(n))
if n % 5 == 0: raise ValueError("planted")
note("end")
""".replace("CPU(n)", "0.02 * (n % 3)").replace("WALL(n)", "(0.1 + 0.05 * (n % 4))")


def planted(n: int) -> tuple[float, float, str]:
    """Know the wall and processor seconds of phase `build`, and the status."""
    return 0.1 + 0.05 * (n % 4), 0.02 * (n % 3), "ok" if n % 5 else "failed"


def fill(disk: Path) -> None:
    """Fill a small disk to the last byte."""
    with contextlib.suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
        while file.write(b"\0" * 4096):
            pass


@dataclass(slots=True)
class Run:
    """One sweep, and what it reported."""

    process: subprocess.Popen[str]
    reported: dict[str, float] = field(default_factory=dict)
    """When each sample's line of JSON was read, by its record_id."""
    said: list[str] = field(default_factory=list)
    faults: list[tuple[float, str, str]] = field(default_factory=list)
    """When, what, and to whom."""
    readers: list[threading.Thread] = field(default_factory=list)

    def listen(self) -> None:
        """Read both of its pipes to their ends."""
        for read in (self._read_records, self._read_said):
            self.readers.append(threading.Thread(target=read, daemon=True))
            self.readers[-1].start()

    def await_end(self) -> None:
        """Wait for its end, as long as samples come."""
        seen, until = -1, 0.0
        while self.process.poll() is None and (time.monotonic() < until or len(self.reported) > seen):
            if len(self.reported) > seen:
                seen, until = len(self.reported), time.monotonic() + END_SECONDS
            time.sleep(0.02)

    def _read_records(self) -> None:
        for line in self.process.stdout or ():
            if line.endswith("\n"):
                self.reported[json.loads(line)["record_id"]] = time.time()

    def _read_said(self) -> None:
        self.said.extend(self.process.stderr or ())


class Story:
    """A place, its sweeps, and what went wrong."""

    def __init__(self, seed: int, number: int, at_least: int) -> None:
        self.chance, self.place = random.Random(f"{seed}/{number}"), Place()  # noqa: S311 - reproducible, not secret
        self.at_least = at_least
        self.harm: dict[str, list[str]] = {kind: [] for kind in WORDS}
        self.faults: Counter[str] = Counter()
        self.known: set[str] = set()
        """Records that have to be there: reported, or seen in the store."""
        self.told: list[tuple[float, str, str]] = []
        self.disks: dict[str, Path] = {}

    def tell(self) -> None:
        """Run it all."""
        with contextlib.suppress(Skipped):  # where nothing may be mounted, no disk gets full
            self.disks = {name: self.place.tmpfs(name, size) for name, size in (("store", "3m"), ("TMPDIR", "4m"))}
            self.place.store, self.place.tmp = self.disks["store"] / "kept" / "s.sqlite", self.disks["TMPDIR"]
        self.reference = self.place.model(BODY, "n")
        most = 0
        while self.faults.total() < self.at_least and most < 4 * self.at_least:
            most += self.chance.choice((1, 2, 3))
            self.sweep(most, faults=self.chance.choice((1, 2, 2)))
        self.sweep(most, faults=0)
        self.judge_whole(most)
        for file in self.place.here.rglob("unsaved-*.jsonl"):
            done = self.place.run("import", file, "--store", self.place.store)
            stored = {record["record_id"] for record in self.place.records()}
            if done.code or any(json.loads(line)["record_id"] not in stored for line in file.read_text().splitlines()):
                self.harm["lost"].append(f"{file.name} is not imported: exit {done.code}, {done.last}")

    def sweep(self, most: int, *, faults: int) -> None:
        """Run a sweep with some faults, and judge what came of it."""
        words = [
            "sweep",
            self.reference,
            "--backend",
            "fake",
            "--evaluations",
            "3",
            "--json",
            "--store",
            self.place.store,
        ]
        words += ["--param", f"n={','.join(map(str, range(1, most + 1)))}", "--time-limit", LIMIT_SECONDS]
        words += ["--scenario", self.chance.choice(("cold", "cold", "cold,warm"))] if faults else ["--scenario", "cold"]
        words += ["--at-once", "2", "--overload"] if self.chance.random() < SHARE_SIDE_BY_SIDE and faults else []
        begun = len(self.log())
        run = Run(self.place.start(*words))
        run.listen()
        undo: list[Callable[[], object]] = []
        for _ in range(faults):
            in_a_sample, number = self.chance.random() < SHARE_IN_SAMPLES, self.chance.randint(0, 2)
            pause = self.chance.uniform(0.0, 0.6)
            if in_a_sample:
                self.await_log(begun + 2 * number + 1, run)
            time.sleep(pause)
            if run.process.poll() is None:
                self.hit(run, undo)
        run.await_end()
        for again in undo:
            with contextlib.suppress(OSError):
                again()
        self.judge(run)

    def hit(self, run: Run, undo: list[Callable[[], object]]) -> None:
        """Do one thing that is drawn by chance."""
        draw, seconds = self.chance.choice, self.chance.choice((0.3, 0.6, 1.2))
        whom, number, pick = (
            draw(("parent", "watcher", "starter", "worker", "child")),
            draw(SIGNALS),
            self.chance.random(),
        )
        what = draw([name for name in ON_FILES if self.disks or not name.endswith("full")])
        if self.chance.random() < SHARE_OF_SIGNALS:
            members = Tree(run.process.pid).look().members
            whom = whom if members[whom] else "parent"
            pid = members[whom][int(pick * len(members[whom]))]
            run.faults.append((time.time(), number.name, f"{whom} {pid}"))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                if number == signal.SIGSTOP:
                    time.sleep(seconds)
                    os.kill(pid, signal.SIGCONT)
            self.faults[f"{number.name} to {whom}"] += 1
            return
        run.faults.append((time.time(), what, ""))
        self.faults[what] += 1
        store = self.place.store
        match what:
            case "store full" | "TMPDIR full":
                disk = self.disks[what.split()[0]]
                with contextlib.suppress(Failed):
                    fill(disk)
                undo.append((disk / "filler").unlink)
                if pick < 0.5:  # noqa: PLR2004 - a share: some find room again
                    time.sleep(seconds)
                    undo.pop()()
            case "store locked":
                with (
                    contextlib.suppress(sqlite3.Error),
                    contextlib.closing(sqlite3.connect(store, timeout=1)) as holder,
                ):
                    holder.execute("BEGIN IMMEDIATE")
                    time.sleep(seconds)
            case "store removed" | "store's folder removed":
                self.forget()
                if what == "store removed":
                    store.unlink(missing_ok=True)
                else:
                    shutil.rmtree(store.parent, ignore_errors=True)
            case _:
                for folder in self.place.tmp.glob("firstgrad-*"):
                    shutil.rmtree(folder / "caches" if what == "caches removed" else folder, ignore_errors=True)

    def forget(self) -> None:
        """Expect no more what was in the store: its loss is the fault's doing."""
        self.known.clear()

    def log(self) -> list[str]:
        """Read what models noted."""
        path = self.place.here / "log"
        return path.read_text().splitlines() if path.exists() else []

    def await_log(self, lines: int, run: Run) -> None:
        """Wait until models noted so much, or the sweep ended."""
        with contextlib.suppress(Failed):
            wait_for(lambda: len(self.log()) >= lines or run.process.poll() is not None, "a sample", 10)

    def kept(self) -> dict[str, dict[str, Any]]:
        """Read all records that are anywhere."""
        files = [path for base in (self.place.here,) for path in base.rglob("unsaved-*.jsonl")]
        unsaved = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return {record["record_id"]: record for record in (*unsaved, *self.place.records())}

    def judge(self, run: Run) -> None:
        """Hold against each other what was done, what was said, what is kept and what is left."""
        story = "; ".join(f"{what} {whom}".strip() for _, what, whom in run.faults) or "in peace"
        hurt = {kind: partial_add(self.harm[kind], story) for kind in WORDS}
        if (code := run.process.poll()) is None:
            hurt["unclear"](f"not ended {END_SECONDS:g} s after its last sample")
            for pid in (*descendants(run.process.pid), run.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            code = run.process.wait()
        for reader in run.readers:
            reader.join(5)
        said = "".join(run.said)
        for file in self.place.tmp.glob("error-*.txt"):  # of the last door, which none of these faults should reach
            hurt["unclear"](f"exit {code}: {' '.join(file.read_text().split()[-60:])}")
            file.unlink()
        # Ctrl-C before firstgrad took it, while Python was starting or imported what the script names.
        is_taken = re.search(r'firstgrad/cli/__init__\.py", line \d+, in main', said) is not None
        is_pythons = "KeyboardInterrupt" in said and not is_taken and code in (1, -signal.SIGINT)
        if (code in (1, 4) or "Traceback (most recent" in said) and not is_pythons:
            told = said[said.find("Traceback (most recent") :]  # where there is none, the end
            hurt["unclear"](f"exit {code}: {told.strip()[-600:]}")
        kept = self.kept()
        self.judge_losses(run, kept, said, hurt["lost"])
        for name, record in kept.items():
            if name not in self.known:
                self.judge_record(record, run, hurt["false"])
        self.known = set(kept)
        self.told += run.faults
        left = self.what_is_left()
        killed = {whom.split()[0] for _, what, whom in run.faults if what in ("SIGKILL", "SIGTERM", "SIGHUP") and whom}
        if left and not {"parent", "watcher"} <= killed:  # then it is the next run that cleans
            hurt["left"](", ".join(left))

    def judge_losses(self, run: Run, kept: dict[str, Any], said: str, hurt: Callable[[str], None]) -> None:
        """Find what was said to be done, and isn't kept."""
        removed = max(
            (when for when, what, _ in run.faults if what.endswith("removed") and "store" in what), default=0.0
        )
        missing = [name for name, when in run.reported.items() if name not in kept]
        # What was stored before the store was taken away is gone, and reported in that moment; then no 0 is returned.
        if late := [name for name in missing if run.reported[name] > removed + 0.6 or not removed]:
            hurt(f"{len(late)} of {len(run.reported)} reported; exit {run.process.returncode}: {said.strip()[-120:]}")
        elif missing and run.process.returncode in (0, 3) and any(run.reported[name] > removed for name in missing):
            hurt(f"{len(missing)} reported while the store was removed, exit {run.process.returncode}")
        if gone := self.known - kept.keys():
            hurt(f"{len(gone)} that were there before")
        shown = len(re.findall(r"^\[\d+/\d+\] (?!.*(?:skipped|lost))", said, re.MULTILINE))
        if not removed and shown > len(kept.keys() - self.known):
            hurt(f"{shown} are shown, {len(kept.keys() - self.known)} are kept")

    def judge_record(self, record: dict[str, Any], run: Run, hurt: Callable[[str], None]) -> None:
        """Find what is not so in a record."""
        n = dict(record["case"]["model"]["parameters"])["n"]
        wall, cpu, status = planted(n)
        name, got = f"n={n}", record["status"]
        notes = [line.split() for line in self.log() if record["record_id"] in line]
        pids, ended = {int(note[0]) for note in notes}, any(note[3] == "end" for note in notes)
        judge_numbers(record, wall, cpu, lambda what: hurt(f"{name}: {what}"))
        if got == "ok" and status != "ok":
            hurt(f"{name}: ok, and the model raises")
        if got == "ok" and notes and not ended:
            hurt(f"{name}: ok, and its build never ended")
        if got in ("timeout", "out_of_memory", "mismatch"):
            hurt(f"{name}: {got}, which it was not: {record['failure']}")
        if got == "failed" and status == "ok" and not run.faults:
            hurt(f"{name}: failed in peace: {record['failure']}")
        if got == "crashed" and not run.faults:
            hurt(f"{name}: crashed in peace: {record['failure']}")
        stopped = any(what == "SIGSTOP" and whom in {f"worker {pid}" for pid in pids} for _, what, whom in run.faults)
        took = record["phases"][1]["wall_seconds"] if got == "ok" else 0.0
        if stopped and took > wall + 0.25 and not set(record["doubts"]) - EXPECTED_DOUBTS:
            hurt(f"{name}: stopped in its build ({took:.2f} s, planted {wall:.2f} s), ok without a doubt")

    def judge_whole(self, most: int) -> None:
        """Expect of the last sweep that each model has its sample now, and none too many."""
        counts: dict[int, Counter[str]] = {n: Counter() for n in range(1, most + 1)}
        for record in self.place.records():
            if record["case"]["scenario"] == "cold" and "suspended" not in record["doubts"]:  # that is measured again
                counts[dict(record["case"]["model"]["parameters"])["n"]][record["status"]] += 1
        for n, statuses in counts.items():
            if statuses.total() != 1:
                self.harm["lost" if not statuses else "false"].append(
                    f"n={n} has {statuses.total()} samples at the end"
                )

    def what_is_left(self) -> list[str]:
        """Wait a moment, and list processes and private folders that are left."""

        def look() -> list[str]:
            folders = [path.name for path in self.place.tmp.iterdir() if path.name != "filler"]
            return [*descendants().values(), *folders]

        until = time.monotonic() + GRACE_SECONDS
        while (left := look()) and time.monotonic() < until:
            time.sleep(0.02)
        return left


def judge_numbers(record: dict[str, Any], wall: float, cpu: float, hurt: Callable[[str], None]) -> None:
    """Find seconds that cannot be, or are less than what was planted."""
    for phase in record["phases"]:
        got, got_cpu = phase["wall_seconds"], phase["cpu_seconds"]
        if min(got, got_cpu) < 0 or got_cpu > (os.cpu_count() or 1) * got + 0.1:
            hurt(f"CPU {got_cpu:.2f} s in {got:.2f} s in {phase['phase']}")
        if phase["phase"] == "build" and (got < wall or got_cpu < cpu - 0.005):
            hurt(f"build {got:.3f} s, CPU {got_cpu:.3f} s; planted {wall}, {cpu}")


def partial_add(harm: list[str], story: str) -> Callable[[str], None]:
    """Add what is wrong together with what was done."""
    return lambda what: harm.append(f"{what} [after: {story}]")


def story(seed: int, number: int, at_least: int = 6) -> dict[str, Any]:
    """Tell one story in this process."""
    told = Story(seed, number, at_least)
    try:
        told.tell()
    except Exception as error:  # noqa: BLE001 - it is told with its seed
        told.harm["unclear"].append(f"the attack itself: {type(error).__name__}: {error}")
    finally:
        told.place.leftovers()
    return {"story": number, "faults": dict(told.faults), "harm": told.harm}


def run_many(
    seed: int, count: int, minutes: float, pool: Executor, isolated: Callable[..., dict[str, Any] | None]
) -> dict[str, Any]:
    """Tell stories until there were so many faults, or the time is over; sum them up."""
    faults: Counter[str] = Counter()
    harm: dict[str, list[str]] = {kind: [] for kind in WORDS}
    numbers, began = itertools.count(), time.monotonic()

    def tell(number: int) -> dict[str, Any]:
        done = isolated("--seed", str(seed), "--story", str(number), limit=STORY_SECONDS)
        return done or {"story": number, "faults": {}, "harm": {"unclear": ["the story did not end"]}}

    while faults.total() < count and time.monotonic() - began < 60 * minutes:
        for done in pool.map(tell, itertools.islice(numbers, 4)):
            faults.update(done["faults"])
            for kind, found in done["harm"].items():
                for what in found:
                    harm[kind].append(f"--seed {seed} --story {done['story']}: {what}")
                    print(f"{kind:<8}{harm[kind][-1]}", flush=True)
        print(f"{faults.total()} faults in {time.monotonic() - began:.0f} s", flush=True)
    return {
        "seed": seed,
        "faults": dict(sorted(faults.items())),
        "harm": harm,
        "failures": sum(map(len, harm.values())),
    }


def in_words(seen: dict[str, Any]) -> str:
    """Write what came of the faults."""
    faults, harm = Counter(seen["faults"]), seen["harm"]
    groups: Counter[str] = Counter()
    for name, count in faults.items():
        groups[name.split(" to ")[0]] += count
    kinds = ", ".join(f"{count} {name}" for name, count in groups.most_common())
    times = ", ".join(f"{len(harm[kind])} times {what}" for kind, what in WORDS.items())
    return (
        f"{faults.total()} random faults over sweeps with the fake backend (seed {seen['seed']}; signals go to "
        f"the parent, watchers, starters, workers and their children): {times}. The faults: {kinds}."
    ) + "".join(f"\n- {kind}: `{what}`" for kind, found in harm.items() for what in found)


def where() -> str:
    """Say where and when it was attacked."""
    system, python = f"{platform.system()} {platform.release().partition('-')[0]}", platform.python_version()
    return f"On {os.cpu_count()} cores, {system}, Python {python}, {datetime.now(UTC):%Y-%m-%d}."
