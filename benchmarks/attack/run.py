"""Attack firstgrad, each time in a process that nothing it starts can leave; say what held and what failed.

``python -m benchmarks.attack.run --only 13 --faults 500`` (``make attack ONLY=13 FAULTS=500``).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.attack import faults, singles  # noqa: F401 - it fills the catalogue
from benchmarks.attack.place import PATIENCE, ROOT, Failed, Place, Skipped, adopt, descendants, remove
from benchmarks.attack.tables import ATTACKS, KINDS, Attack

LIMIT_SECONDS = 150.0 * PATIENCE


def try_one(one: Attack) -> dict[str, Any]:
    """Attack in this process, and look what is left."""
    adopt()
    place, began, outcome, seen = Place(), time.monotonic(), "held", ""
    try:
        one.do(place)
    except Skipped as why:
        outcome, seen = "skipped", str(why)
    except Failed as why:
        outcome, seen = "failed", str(why)
    except Exception as error:  # noqa: BLE001 - such as no record where one was expected
        outcome, seen = "failed", f"{type(error).__name__}: {error}"
    finally:
        left = place.leftovers()
    if left and outcome != "skipped":
        outcome, seen = "failed", "; ".join([*([seen] if seen else []), f"left: {', '.join(left)}"])
    return describe(one) | {"outcome": outcome, "seen": seen[:400], "seconds": round(time.monotonic() - began, 1)}


def describe(one: Attack) -> dict[str, Any]:
    """Write what is kept of an attack itself."""
    return {"kind": one.kind, "attack": one.name, "right": one.right}


def isolated(*words: str, limit: float = LIMIT_SECONDS) -> dict[str, Any] | None:
    """Run a part of this script in a process of its own; None where that passed its limit, and everything is ended."""
    with tempfile.TemporaryFile("w+") as out, ExitStack() as at_last:
        folder = Path(tempfile.mkdtemp(prefix="attack-")).resolve()
        at_last.callback(remove, folder)  # also what an attack leaves that is killed at its limit
        command = [sys.executable, "-m", "benchmarks.attack.run", *words]
        process = subprocess.Popen(command, stdout=out, cwd=ROOT, env=os.environ | {"TMPDIR": str(folder)})
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGSTOP)  # it adopts what is orphaned: nothing can leave while it lives
            while members := list(descendants(process.pid)):
                for pid in members:
                    os.kill(pid, signal.SIGKILL)
            process.kill()
            process.wait()
            return None
        out.seek(0)
        return json.loads(out.read().strip().rpartition("\n")[2] or "null")


def run_attack(one: Attack) -> dict[str, Any]:
    """Run an attack, and print a line."""
    done = isolated("--name", one.name)
    if done is None:
        done = describe(one) | {
            "outcome": "failed",
            "seen": f"not over after {LIMIT_SECONDS:g} s",
            "seconds": LIMIT_SECONDS,
        }
    print(f"{done['outcome']:<8}{one.kind:>3} {one.name[:90]}{': ' if done['seen'] else ''}{done['seen']}", flush=True)
    return done


def to_markdown(data: dict[str, Any]) -> str:
    """Write the table of kinds, and what came of the random faults."""
    lines = [data["where"], "", "| | attacks | held | failed | skipped |", "| --- | ---: | ---: | ---: | ---: |"]
    for kind, title in KINDS.items():
        outcomes = Counter(one["outcome"] for one in data["attacks"] if one["kind"] == kind)
        cells = [str(outcomes[name] or "") for name in ("held", "failed", "skipped")]
        lines.append(f"| {kind}. {title} | {outcomes.total()} | {' | '.join(cells)} |")
    outcomes = Counter(one["outcome"] for one in data["attacks"])
    cells = [str(outcomes[name] or 0) for name in ("held", "failed", "skipped")]
    lines.append(f"| **all** | {outcomes.total()} | {' | '.join(cells)} |")
    for name in ("failed", "skipped"):
        if some := [f"{one['attack']} ({one['seen'][:160]})" for one in data["attacks"] if one["outcome"] == name]:
            lines += ["", f"{name.capitalize()}: {'; '.join(some)}.".replace("|", "\\|").replace("\n", " ")]
    if data["faults"]:
        lines += ["", faults.in_words(data["faults"])]
    return "\n".join(lines)


def main() -> None:
    """Attack, print, write the data and the page; exit 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="kinds, such as 13,14, or a part of an attack's name; 0: no attack")
    parser.add_argument("--faults", type=int, default=0, help="so many random faults over sweeps")
    parser.add_argument("--minutes", type=float, default=60.0, help="for the faults")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument("--story", type=int, help="only this sweep of the faults")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--data", type=Path, help="write what came out here")
    parser.add_argument("--name", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.name is not None:
        print(json.dumps(try_one(next(one for one in ATTACKS if one.name == chosen.name))))
        return
    if chosen.story is not None:
        adopt()
        print(json.dumps(faults.story(chosen.seed, chosen.story, chosen.faults or 6)))
        return
    wanted = [part.strip() for part in chosen.only.split(",") if part.strip()]
    attacks = [
        one
        for one in ATTACKS
        if not wanted or any(part == str(one.kind) or (not part.isdigit() and part in one.name) for part in wanted)
    ]
    with ThreadPoolExecutor(chosen.at_once) as pool:
        results = list(pool.map(run_attack, attacks))
        seen = faults.run_many(chosen.seed, chosen.faults, chosen.minutes, pool, isolated) if chosen.faults else {}
    data = (
        json.loads(chosen.data.read_text()) if chosen.data and chosen.data.exists() else {"attacks": [], "faults": {}}
    )
    data |= {"where": faults.where()} | ({"attacks": results} if results else {}) | ({"faults": seen} if seen else {})
    print(to_markdown(data))
    if chosen.data:
        chosen.data.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    sys.exit(1 if seen.get("failures") or any(one["outcome"] == "failed" for one in results) else 0)


if __name__ == "__main__":
    main()
