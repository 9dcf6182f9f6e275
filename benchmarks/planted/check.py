"""Check that planted regressions are found, and that nothing is found where nothing changed.

In a scratch clone of this repository, heads are committed on top of HEAD: one whose pose factory adds nodes (the same
density), one whose factory sleeps for five seconds, and some that change nothing. Each is compared with HEAD by
``asv continuous`` (exit code 1: worse) and by firstgrad's own gates on the same samples: ``firstgrad compare``, whose
exact counts see no sleep, and that with ``--gate seconds``.

Usage: ``python benchmarks/planted/check.py [--same 3] [--factor 1.1] [--bench REGEX]``. Exit code 1 where a planted
regression was missed or an unchanged head raised an alarm.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FACTORY = "src/firstgrad/pose/graph.py"
# One cell, all metrics: JAX, T=20, K=2, no HMM, vectorised, cold.
CELL = r"Jax.*\(20, 2, 'off', 'vectorised', 'jax', 'cold'\)"
GROWN = re.compile(r"\b(slower|larger|failed)\b")
NODES = """
        # Planted: terms whose sum is zero but for rounding, which no rewrite knows.
        angle = pt.sum(x_root)
        pm.Potential(
            "planted", pt.sum(pt.stack([pt.sin(k * angle) ** 2 + pt.cos(k * angle) ** 2 - 1.0 for k in range(1, 7)]))
        )
    return model
"""
DELAY = """
    import time

    time.sleep(5.0)
    return model
"""


def call(folder: Path, *command: str, **environment: str) -> tuple[int, str]:
    """Run a command; its exit code and what it printed."""
    env = os.environ | {"HOME": str(folder.parent), "FIRSTGRAD_TIER": "quick"} | environment
    # A measured commit must not see this checkout.
    env.pop("PYTHONPATH", None)
    done = subprocess.run(command, cwd=folder, env=env, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def git(folder: Path, *words: str) -> str:
    """Run git as somebody."""
    code, output = call(folder, "git", "-c", "user.name=Planter", "-c", "user.email=planter@example.org", *words)
    if code:
        sys.exit(f"git {' '.join(words)}: {output}")
    return output.strip()


def plant(folder: Path, name: str, change: str | None) -> str:
    """Commit a head on top of base; returns the commit."""
    git(folder, "checkout", "--quiet", "-B", name, "base")
    if change is not None:
        file = folder / FACTORY
        text = file.read_text()
        if text.count("\n    return model\n") != 1:
            sys.exit(f"{FACTORY} has changed: this script cannot plant anything into it")
        file.write_text(text.replace("\n    return model\n", change))
    git(folder, "commit", "--quiet", "--all", "--allow-empty", "--message", name)
    return git(folder, "rev-parse", "HEAD")


def compare(folder: Path, head: str, options: argparse.Namespace, store: Path) -> tuple[tuple[int, ...], list[str]]:
    """Compare a head with base by all three; their exit codes, and the lines that say what changed."""
    program = Path(sys.executable).parent
    command = ["continuous", "base", head, "--factor", str(options.factor), "--bench", options.bench]
    code, output = call(folder, str(program / "asv"), *command, FIRSTGRAD_STORE=str(store))
    codes, changed = [code], [line for line in output.splitlines() if re.match(r"\| [+-] ", line)]
    for gate in ("counts", "seconds"):
        command = ["compare", git(folder, "rev-parse", "base"), head, "--store", str(store), "--gate", gate]
        code, told = call(folder, str(program / "firstgrad"), *command)
        codes.append(code)
        output += told
    if not set(codes) <= {0, 1}:
        print(output[-4000:])
    return tuple(codes), changed + [line.rstrip() for line in told.splitlines() if GROWN.search(line)]


def main() -> None:
    """Plant, compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--same", type=int, default=3, help="comparisons of unchanged heads")
    parser.add_argument("--only-same", action="store_true", help="leave out the planted regressions")
    parser.add_argument("--factor", type=float, default=1.1, help="asv's")
    parser.add_argument("--bench", default=CELL)
    options = parser.parse_args()

    good = True
    with tempfile.TemporaryDirectory(prefix="firstgrad-planted-") as place:
        folder = Path(place) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        git(folder, "checkout", "--quiet", "-B", "base")
        git(folder, "branch", "--force", "main", "base") if git(folder, "branch", "--show-current") != "main" else None
        call(folder, str(Path(sys.executable).parent / "asv"), "machine", "--yes")
        planted = [] if options.only_same else [("nodes", NODES, (1, 1, 1)), ("delay", DELAY, (1, 0, 1))]
        rounds = [*planted, *((f"same-{number}", None, (0, 0, 0)) for number in range(1, options.same + 1))]
        print("| head | asv continuous | compare | compare --gate seconds | wanted |\n" + 5 * "|---" + "|", flush=True)
        for name, change, wanted in rounds:
            head = plant(folder, name, change)
            codes, changed = compare(folder, head, options, Path(place) / f"{name}.sqlite")
            good &= codes == wanted
            print(f"| {name} | {' | '.join(map(str, codes))} | {wanted} |", flush=True)
            for line in changed:
                print(f"    {line}", flush=True)
    sys.exit(not good)


if __name__ == "__main__":
    main()
