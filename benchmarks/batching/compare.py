"""What batching saves `fast_gradient`: the pose model as loops wrote it, with and without, and written as arrays.

Each sample is a process of its own; a round goes through all of them, every second one backwards. Reported are the
processor seconds from the built model to the first gradient, an evaluation, and the nodes of the log-density's graph.

Usage: ``python -m benchmarks.batching.compare [--rounds 2] [--page docs/findings.md]``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.markers import write_between_markers

MODELS = {"K=5, no HMM": (5, False), "K=5, HMM": (5, True), "K=20, HMM": (20, True)}
SIDES = {
    "loops, as they are": ("per_joint", False),
    "loops, batched": ("per_joint", True),
    "arrays": ("vectorised", True),
}
CALLS = 200


def measure(directions: int, formulation: str, *, has_hmm: bool, is_batched: bool) -> dict[str, float]:
    """Compile one gradient in this process."""
    from firstgrad import HmmSpec, PoseSpec, build_pose_model, fast_gradient
    from firstgrad.fast import freezing as module
    from firstgrad.fast.batching import batch
    from firstgrad.pose.spec import Formulation

    spec = PoseSpec(n_directions=directions, hmm=HmmSpec() if has_hmm else None, formulation=Formulation(formulation))
    model = build_pose_model(spec)
    point = model.initial_point()
    (logp,) = batch([model.logp()]) if is_batched else [model.logp()]
    nodes, waiting = set(), [logp.owner]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            waiting += [one.owner for one in node.inputs]
    if not is_batched:
        module.batch = lambda outputs, **_: outputs  # type: ignore[assignment]  # as it was before
    began = time.process_time()
    gradient = fast_gradient(model, initial_point=point)
    first = time.process_time() - began
    vector = gradient.flatten(point)
    seconds = []
    for _ in range(CALLS):
        start = time.perf_counter()
        gradient(vector)
        seconds.append(time.perf_counter() - start)
    return {"first": first, "call": statistics.median(seconds), "nodes": len(nodes), "logp": gradient(vector)[0]}


def main() -> None:
    """Measure all in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        (directions, has_hmm), (formulation, is_batched) = MODELS[chosen.one[0]], SIDES[chosen.one[1]]
        print(json.dumps(measure(directions, formulation, has_hmm=has_hmm, is_batched=is_batched)))
        return
    cells = [(model, side) for model in MODELS for side in SIDES]
    found: dict[tuple[str, str], list[dict[str, float]]] = {cell: [] for cell in cells}
    for number in range(chosen.rounds):
        for cell in reversed(cells) if number % 2 else cells:
            command = [sys.executable, "-m", "benchmarks.batching.compare", "--one", *cell]
            printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
            found[cell].append(json.loads(printed.splitlines()[-1]))
    lines = [
        "| pose model | written as | nodes | first gradient, CPU | evaluation |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (model, side), samples in found.items():
        first = ", ".join(f"{sample['first']:.2f}" for sample in samples)
        call = 1e3 * min(sample["call"] for sample in samples)
        lines.append(f"| {model} | {side} | {samples[0]['nodes']:,} | {first} s | {call:.3f} ms |")
    for model in MODELS:
        values = [found[model, side][0]["logp"] for side in SIDES]
        if not np.allclose(values, values[0], rtol=1e-11):
            sys.exit(f"{model}: the log-densities differ: {values}")
    text = "\n".join(lines)
    print(text)
    if chosen.page:
        write_between_markers(chosen.page, "batching", text)


if __name__ == "__main__":
    main()
