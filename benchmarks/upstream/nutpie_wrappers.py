"""What nutpie's Numba compile compiles again in every process, and what three loops in its wrappers would change.

Needs PyMC and nutpie only (``--pose``: firstgrad). Processes follow each other with one cache; seconds are processor
seconds of ``nutpie.compile_pymc_model``. ``loops`` replaces three lines of nutpie 0.16.11's two wrappers, which work on
whole arrays, by loops: it shows what a fix could bring.

Usage: ``python benchmarks/upstream/nutpie_wrappers.py [--pose]``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROWS = ("as it is", "as it is", "as it is", "cache=True", "cache=True", "loops", "as it is", "loops")
LOOPS = {
    "            if not np.all(np.isfinite(out)):\n                return 3\n": (
        "            for i in range(n_dim):\n"
        "                if not np.isfinite(out[i]):\n                    return 3\n"
    ),
    "            out[...] = grad\n": "            for i in range(n_dim):\n                out[i] = grad[i]\n",
    "            out[...] = values\n": "            for i in range(n_expanded):\n                out[i] = values[i]\n",
}


def with_loops(source: str) -> str:
    """Replace what the wrappers do to whole arrays; SystemExit where nutpie's source is another one."""
    for old, new in LOOPS.items():
        if source.count(old) != 1:
            sys.exit(f"this nutpie doesn't have this line once: {old.strip()}")
        source = source.replace(old, new)
    return source


def build(*, is_pose: bool) -> Any:
    """Build a model of one vector, or firstgrad's pose model with T=20 and K=2."""
    if is_pose:
        from firstgrad.pose.data import generate
        from firstgrad.pose.graph import build_pose_model
        from firstgrad.pose.spec import PoseSpec

        spec = PoseSpec(n_timesteps=20, n_directions=2)
        return build_pose_model(spec, generate(spec))
    import pymc as pm

    with pm.Model() as model:
        x = pm.Normal("x", shape=3)
        pm.Normal("y", x, 1.0, observed=[1.0, 2.0, 3.0])
    return model


def measure(way: str, *, is_pose: bool) -> None:
    """Compile in this process; print the seconds and the names of the jitted functions that were compiled."""
    import nutpie.compile_pymc as wrappers
    from numba.core import event
    from pytensor.link.numba import dispatch  # noqa: F401 - imported before, not within the seconds

    if way == "loops":
        source = with_loops(Path(wrappers.__file__).read_text())
        exec(compile(source, wrappers.__file__, "exec"), wrappers.__dict__)  # noqa: S102 - nutpie's own source
    names: list[str] = []

    class Listener(event.Listener):
        def on_start(self, started: Any) -> None:
            names.append(started.data["dispatcher"].py_func.__name__)

        def on_end(self, ended: Any) -> None:
            pass

    model = build(is_pose=is_pose)
    event.register("numba:compile", Listener())
    began = time.process_time()
    wrappers.compile_pymc_model(model, backend="numba", **({"cache": True} if way == "cache=True" else {}))
    print(json.dumps([time.process_time() - began, names]))


def main() -> None:
    """Print a row a process."""
    is_pose = "--pose" in sys.argv
    if "--measure" in sys.argv:
        measure(sys.argv[sys.argv.index("--measure") + 1], is_pose=is_pose)
        return
    print("| wrappers | CPU | functions compiled | files in Numba's own cache |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        flags = {"PYTENSOR_FLAGS": f"base_compiledir={folder}", "NUMBA_CACHE_DIR": f"{folder}/own"}
        for number, way in enumerate(ROWS):
            words = [sys.executable, __file__, "--measure", way, *(["--pose"] if is_pose else [])]
            done = subprocess.run(words, env=os.environ | flags, check=True, capture_output=True, text=True)
            seconds, names = json.loads(done.stdout.splitlines()[-1])
            files = sum(path.is_file() for path in Path(folder, "own").rglob("*"))
            state = "" if number else ", empty cache"
            print(f"| {way}{state} | {seconds:.1f} s | {len(names)} | {files} |", flush=True)
            if number == 1:
                print(", ".join(sorted(set(names))), file=sys.stderr)


if __name__ == "__main__":
    main()
