"""Where an attack happens: folders and processes of its own, what it reads of them, and what is left at the end."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import termios
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FIRSTGRAD = os.environ.get("ATTACKED", str(Path(sys.executable).with_name("firstgrad")))
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = float(os.environ.get("PATIENCE", "1"))
"""Factor of all limits, for a machine that does much else."""
LIMIT_SECONDS = 60.0 * PATIENCE
GRACE_SECONDS = float(os.environ.get("GRACE_SECONDS", "8"))
_OF_MATPLOTLIB = (".cache", ".config")
_SUBREAPER, _PARENT_DEATH_SIGNAL = 36, 1  # PR_SET_CHILD_SUBREAPER and PR_SET_PDEATHSIG in Linux's prctl.h

MODEL = """\
import os, signal, subprocess, sys, time
from pathlib import Path
HERE = Path({here!r})
class Model:
    free_RVs = ("x",)
    def compile_fn(self):
        "The fake backend asks for no more than that it is there."
def build({parameters}):
{body}
    return Model()
"""


class Failed(Exception):  # noqa: N818 - the name of the outcome
    """What was promised is not so."""


class Skipped(Exception):  # noqa: N818 - the name of the outcome
    """It cannot be tried here; says why."""


def expect(right: object, otherwise: str) -> None:
    """Raise `Failed` with what is wrong, unless it is right."""
    if not right:
        raise Failed(otherwise)


def wait_for[T](look: Callable[[], T], what: str, seconds: float = LIMIT_SECONDS) -> T:
    """Look until something true is seen."""
    until = time.monotonic() + seconds
    while not (seen := look()):
        expect(time.monotonic() < until, f"{what}: not within {seconds:g} s")
        time.sleep(0.005)
    return seen


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended."""

    code: int
    out: str
    err: str
    seconds: float = 0.0

    @property
    def last(self) -> str:
        """The last line that it said, cut short."""
        return ((self.err.strip() or self.out.strip()).splitlines() or ["nothing"])[-1][:160]

    def expect(self, *codes: int, saying: str = "") -> Self:
        """Expect one of these exit codes, no traceback, and somewhere a text."""
        seen = f"exit {self.code}: {self.last}"
        expect("Traceback (most recent" not in self.err, f"a traceback, {seen}")
        expect(self.code in codes, f"{seen}; expected {' or '.join(map(str, codes))}")
        expect(saying in self.out + self.err, f"{seen}; doesn't say {saying!r}")
        expect(self.code in (0, 1) or (self.out + self.err).strip(), f"exit {self.code} in silence")
        return self


class Place:
    """The folders of one attack, and the processes that it starts."""

    def __init__(self) -> None:
        self.here = Path(tempfile.mkdtemp(prefix="attack-")).resolve()
        self.work, self.tmp, self.home = (self.here / name for name in ("work", "tmp", "home"))
        for folder in (self.work, self.tmp, self.home):
            folder.mkdir()
        self.store = self.work / ".firstgrad" / "results.sqlite"
        self.planted: list[Path] = []
        """Private folders of others that are to stay."""

    def model(self, body: str = "", parameters: str = "n=0", name: str = "m.py", folder: Path | None = None) -> str:
        """Write a model's file; its reference."""
        lines = "\n".join(f"    {line}" for line in (body.strip() or "pass").splitlines())
        path = (folder or self.work) / name
        path.write_text(MODEL.format(here=str(self.here), parameters=parameters, body=lines))
        return f"{path.name if path.parent == self.work else path}:build"

    def start(
        self, *words: object, variables: Mapping[str, str] | None = None, cwd: Path | None = None, **how: Any
    ) -> subprocess.Popen[str]:
        """Start firstgrad (or, where a word is a path, what it names), in a process group of its own."""
        command = [str(word) for word in words]
        return subprocess.Popen(
            command if "/" in command[0] else [FIRSTGRAD, *command],
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "process_group": 0}
            | how,
            text=True,
            errors="backslashreplace",
            cwd=cwd or self.work,
            env=self.variables(variables),
        )

    def variables(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Environment variables of what is started."""
        own = {"TMPDIR": str(self.tmp), "HOME": str(self.home), "COLUMNS": "200"}
        return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | own | dict(more or {})

    def end(self, process: subprocess.Popen[str], limit: float = 60.0) -> Ended:
        """Wait for its end; one that takes too long has failed."""
        began, limit = time.monotonic(), limit * PATIENCE
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"not ended after {limit:g} s") from None
        return Ended(process.returncode, out or "", err or "", time.monotonic() - began)

    def run(self, *words: object, limit: float = 60.0, **how: Any) -> Ended:
        """Run to the end."""
        return self.end(self.start(*words, **how), limit)

    def fake(self, verb: str, reference: str, *words: object, **how: Any) -> Ended:
        """Run a verb that measures, with the backend that compiles nothing."""
        return self.run(verb, reference, "--backend", "fake", "--evaluations", "3", *words, **how)

    def records(self, store: Path | None = None) -> list[dict[str, Any]]:
        """Read what a SQLite store has, without firstgrad."""
        if not (path := store or self.store).is_file():
            return []
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection, \
                suppress(sqlite3.OperationalError):  # fmt: skip
            return [json.loads(text) for (text,) in connection.execute("SELECT document FROM records ORDER BY 1")]
        return []

    def record(self) -> dict[str, Any]:
        """Read the only record of the store."""
        records = self.records()
        expect(len(records) == 1, f"{len(records)} records instead of one")
        return records[0]

    def unsaved(self) -> list[dict[str, Any]]:
        """Read what lies in files beside a store."""
        files = [path for base in (self.work, self.tmp, self.home) for path in base.rglob("unsaved-*.jsonl")]
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def tmpfs(self, name: str, size: str) -> Path:
        """Mount a small disk, until the end."""
        (path := self.here / name).mkdir(parents=True, exist_ok=True)
        options = f"size={size},mode=777"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", path], capture_output=True, check=False)
        if done.returncode:
            raise Skipped("no tmpfs may be mounted here")
        return path

    def terminal(self, *words: object, during: Callable[[int, subprocess.Popen[str]], None]) -> tuple[int, bytes]:
        """Run on a pseudo terminal, `during` with its other end and the process; give code and all that was shown."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        own = {"stdin": slave, "stdout": slave, "stderr": slave, "process_group": None}
        process = self.start("/usr/bin/setsid", "-c", FIRSTGRAD, *words, variables={"TERM": "xterm-256color"}, **own)
        os.close(slave)
        shown = b""
        try:
            during(master, process)
            until = time.monotonic() + LIMIT_SECONDS
            while time.monotonic() < until:
                if select.select([master], [], [], 0.05)[0]:
                    try:
                        shown += os.read(master, 1 << 16)
                    except OSError:
                        break
                elif process.poll() is not None:
                    break
            return process.wait(5), shown
        except subprocess.TimeoutExpired:
            raise Failed(f"not ended after {LIMIT_SECONDS:g} s") from None
        finally:
            os.close(master)

    def leftovers(self) -> list[str]:
        """Wait a moment, then list processes and files that are left; end and remove them."""
        with suppress(Failed):
            wait_for(lambda: not descendants(), "their end", GRACE_SECONDS)
        left = [f"process {words}" for words in descendants().values()]
        while members := descendants():
            for pid in members:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        left += [f"folder {path.name}" for path in self.tmp.iterdir() if path not in self.planted]
        left += [f"in the home folder {path.name}" for path in self.home.iterdir() if path.name not in _OF_MATPLOTLIB]
        remove(self.here)
        return left


def remove(folder: Path) -> None:
    """Remove a folder with all that is mounted in it."""
    for line in Path("/proc/mounts").read_text().splitlines():
        if (path := line.split()[1]).startswith(f"{folder}/"):
            subprocess.run(["umount", "-l", path], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def adopt() -> None:
    """Become the parent of whatever is orphaned below this process; end, and clean up, with one's own parent."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and their children, ignore it
    for option, value in ((_SUBREAPER, 1), (_PARENT_DEATH_SIGNAL, signal.SIGINT)):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants(root: int = 0) -> dict[int, str]:
    """List what lives below a process (this one), and reap what ended: number and command line."""
    if not root:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    members, to_visit = {}, [root or os.getpid()]
    while to_visit:
        to_visit += (children := _children(to_visit.pop()))
        for pid in children:
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if words:  # not a zombie
                    members[pid] = words[-160:].strip()
    return members


def _children(pid: int) -> list[int]:
    children: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            children += map(int, file.read_text().split())
    return children


@dataclass(slots=True)
class Tree:
    """The processes of a running command, by what they are to it."""

    parent: int
    members: dict[str, list[int]] = field(default_factory=dict)

    def look(self) -> Self:
        """See who is there now."""
        self.members = {"parent": [self.parent], "watcher": [], "starter": [], "worker": [], "child": []}
        direct = _children(self.parent)
        for pid, words in descendants(self.parent).items():
            kind = "worker" if "measuring.worker" in words else "child"
            if "watcher.py" in words and "bash" not in words:
                kind = "watcher" if pid in direct else "starter"
            self.members[kind].append(pid)
        return self

    def await_(self, kind: str) -> int:
        """Wait until there is one of a kind; its number."""
        return wait_for(lambda: self.look().members[kind], f"a {kind}")[0]

    def kill(self, kind: str, number: int) -> None:
        """Send a signal to all of a kind."""
        for pid in self.members[kind]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
