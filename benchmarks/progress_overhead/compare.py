"""What does `compile_progress` cost? The same compile with and without its display, in turn.

By default one process compiles a model many times, in the order ``-++-``, after one compile that does not count: caches
are the same for both sides, and processor seconds differ little from time to time. With ``--fresh`` each compile has a
process and an empty cache of its own. Standard error is a pseudo terminal, so that the display draws.

Usage: ``python -m benchmarks.progress_overhead.compare [--backend jax] [--pairs 20] [--timesteps 5] [--directions 1]
[--fresh] [--limit 1.02] [--keep]``. Exit code 1 where the whole interval lies above the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from benchmarks.overhead.kept import keep, ratio_of
from firstgrad.measuring.private import PrivateCaches, worker_variables

COMPILING = Path(__file__).with_name("compiling.py")


def compile_signs(arguments: list[str], signs: str) -> tuple[list[float], list[float]]:
    """Compile in one process; return processor seconds of each compile, and of the displays' threads."""
    parent, child = pty.openpty()
    drain = threading.Thread(target=_drain, args=(parent,), daemon=True)
    drain.start()
    with PrivateCaches() as private:
        done = subprocess.run(
            [sys.executable, str(COMPILING), *arguments, signs],
            env=worker_variables(private.folder, os.environ) | {"TERM": "xterm-256color"},
            stdout=subprocess.PIPE,
            stderr=child,
            text=True,
            check=False,
        )
    os.close(child)
    drain.join()
    if done.returncode:
        sys.exit(f"the compile failed with exit code {done.returncode}: python {COMPILING} {arguments} {signs}")
    told = json.loads(done.stdout.splitlines()[-1])
    return told["spent"], told["own"]


def _drain(terminal: int) -> None:
    with suppress(OSError):  # a pseudo terminal that everyone has left reads as an error
        while os.read(terminal, 65536):
            pass
    os.close(terminal)


def main() -> None:
    """Measure the pairs and print the ratio with its interval."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="jax", choices=["jax", "numba", "c"])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--timesteps", type=int, default=5)
    parser.add_argument("--directions", type=int, default=1)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--limit", type=float, default=1.02)
    parser.add_argument("--keep", action="store_true", help="in docs/data")
    chosen = parser.parse_args()
    arguments = [chosen.backend, str(chosen.timesteps), str(chosen.directions)]
    signs = "".join("-+" if pair % 2 else "+-" for pair in range(chosen.pairs))
    if chosen.fresh:
        parts = [compile_signs(arguments, sign) for sign in signs]
        spent = [part[0][0] for part in parts]
        own = [seconds for part in parts for seconds in part[1]]
    else:
        spent, own = compile_signs(arguments, f"-{signs}")
        spent = spent[1:]
    shown = np.array([seconds for sign, seconds in zip(signs, spent, strict=True) if sign == "+"])
    bare = np.array([seconds for sign, seconds in zip(signs, spent, strict=True) if sign == "-"])
    ratios = shown / bare
    median, low, high = ratio_of(ratios)
    how = "fresh processes, empty caches" if chosen.fresh else "one process"
    print(
        f"{chosen.backend}, pose T={chosen.timesteps} K={chosen.directions}, {how}: {np.median(bare):.2f} s of "
        f"processor time without, ratio with the display median {median:.3f}, "
        f"95% interval [{low:.3f}, {high:.3f}] (bootstrap, {chosen.pairs} pairs); "
        f"its own thread {np.median(own / shown):.2%}"
    )
    if chosen.keep:
        keep(
            f"`compile_progress()`, {chosen.backend}",
            f"pose T={chosen.timesteps} K={chosen.directions}, {how}",
            ratios,
            np.median(bare),
        )
    sys.exit(1 if low > chosen.limit else 0)


if __name__ == "__main__":
    main()
