"""``firstgrad.sample`` against ``pm.sample``: how long, and whether the draws are of the same distribution.

``python -m benchmarks.sampling.run speed``: 4 chains of 500 + 500 draws of a hierarchy with an LKJ prior, start to
end, cold and warm, each in a process of its own, in turns. ``posteriors``: means and standard deviations of five models
in Monte Carlo errors. ``calibration``: ranks of what data were drawn from among the draws of its posterior.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROUNDS = 3
SIDES = ("pm.sample", "firstgrad.sample")


def main() -> None:
    """Run what is asked for, and print it as JSON."""
    what, *rest = sys.argv[1:]
    runs = {"speed": speed, "posteriors": posteriors, "calibration": calibrate, "one": run_one}
    print(json.dumps(runs[what](*rest), indent=2))


def sentences(stored: dict[str, Any]) -> str:
    """Say how long `firstgrad.sample` takes of `pm.sample`'s time, and whether both draw the same."""
    seconds, ratios, calibration = stored["speed"]["seconds"], stored["speed"]["ratios"], stored["calibration"]

    def spread(when: str) -> str:
        times = [
            f"{min(seconds[name]):.1f} to {max(seconds[name]):.1f} s" for name in (f"{side}, {when}" for side in SIDES)
        ]
        return f"{min(ratios[when]):.2f} to {max(ratios[when]):.2f} of the time ({times[1]} against {times[0]})"

    models = stored["posteriors"].values()
    quantities = sum(one["quantities"] for one in models)
    beyond = sum(one["quantities"] * one["beyond 2"] for one in models) / quantities
    values = " and ".join(f"{one['p']:.2f}" for one in calibration.values())
    return (
        "A hierarchy of 8 groups with an LKJ prior, 4 chains of 500 + 500 draws, on 2 cores that did other work too: "
        f"`firstgrad.sample` took {spread('cold')} that `pm.sample` took from empty caches, and {spread('warm')} from "
        f"full ones. Over {len(models)} models, {quantities} means and standard deviations differ from those of "
        f'`pm.sample(backend="jax")` by at most {max(one["largest"] for one in models):.1f} Monte Carlo errors, '
        f"{beyond:.0%} of them by more than 2. Simulation-based calibration of "
        f"{next(iter(calibration.values()))['models']} models with two parameters gives uniform ranks "
        f"(Kolmogorov-Smirnov p = {values})."
    )


def speed(rounds: str = str(ROUNDS)) -> dict[str, Any]:
    """Time both in turns: in an empty folder of caches, and again in the same one."""
    seconds: dict[str, list[float]] = {f"{side}, {when}": [] for side in SIDES for when in ("cold", "warm")}
    for _ in range(int(rounds)):
        for side in SIDES:
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "kept").mkdir(mode=0o700)
                caches = {
                    "PYTENSOR_FLAGS": f"base_compiledir={folder}/pytensor",
                    "NUMBA_CACHE_DIR": f"{folder}/numba",
                    "FIRSTGRAD_CACHE_DIR": f"{folder}/kept",
                }
                for when in ("cold", "warm"):
                    command = [sys.executable, "-m", "benchmarks.sampling.run", "one", side]
                    done = subprocess.run(command, env=os.environ | caches, capture_output=True, text=True, check=True)
                    seconds[f"{side}, {when}"].append(json.loads(done.stdout)["seconds"])
    ratios = {
        when: [
            ours / theirs for ours, theirs in zip(*(seconds[f"{side}, {when}"] for side in SIDES[::-1]), strict=True)
        ]
        for when in ("cold", "warm")
    }
    return {"seconds": seconds, "ratios": ratios, "medians": {when: median(many) for when, many in ratios.items()}}


def run_one(side: str) -> dict[str, float]:
    """Time one call in this process, imports left out."""
    import arviz  # noqa: F401 - imported for its time
    import nutpie  # noqa: F401
    import pymc as pm

    import firstgrad

    asked = {"draws": 500, "tune": 500, "chains": 4, "cores": 2, "random_seed": 1, "progressbar": False, "quiet": True}
    if side == SIDES[0]:
        import numba  # noqa: F401
    else:
        import jax

        jax.devices()
        _ = firstgrad.sample
    from benchmarks.sampling.models import varying_slopes

    model = varying_slopes()
    begin = time.perf_counter()
    trace = (pm.sample if side == SIDES[0] else firstgrad.sample)(
        model=model, compute_convergence_checks=False, **asked
    )
    return {"seconds": time.perf_counter() - begin, "drawing": trace.posterior.attrs["sampling_time"]}


def posteriors(draws: str = "1000") -> dict[str, Any]:
    """Compare means and standard deviations; the reference is pm.sample's nutpie with JAX."""
    import pymc as pm

    import firstgrad
    from benchmarks.sampling.models import MODELS

    table = {}
    for name, build in MODELS.items():
        model = build()
        asked = {"draws": int(draws), "tune": 1000, "chains": 4, "cores": 2, "progressbar": False, "quiet": True}
        nuts = {"nuts": {"target_accept": 0.95}}
        ours = firstgrad.sample(model, random_seed=11, compute_convergence_checks=False, **asked, **nuts)
        theirs = pm.sample(
            model=model, backend="jax", random_seed=22, compute_convergence_checks=False, **asked, **nuts
        )
        distances = _distances(ours.posterior.to_dataset(), theirs.posterior.to_dataset())
        table[name] = {
            "quantities": len(distances),
            "largest": float(np.max(np.abs(distances))),
            "beyond 2": float(np.mean(np.abs(distances) > 2)),  # noqa: PLR2004 - 5% are expected
        }
    return table


def _distances(ours: Any, theirs: Any) -> Any:
    """Give differences of means and standard deviations in their Monte Carlo errors."""
    import arviz_stats

    far = []
    for name in theirs.data_vars:
        for kind in ("mean", "sd"):
            values, errors = [], []
            for one in (ours, theirs):
                part = one[[name]]
                flat = part[name].stack(all=("chain", "draw"))
                values.append(np.ravel(flat.mean("all") if kind == "mean" else flat.std("all")))
                errors.append(np.ravel(arviz_stats.mcse(part, method=kind)[name]))
            error = np.hypot(*errors)
            far.append(((values[0] - values[1]) / np.where(error > 0, error, np.inf))[error > 0])
    return np.concatenate(far)


def calibrate(n_models: str = "400", seed: str = "3") -> dict[str, Any]:
    """Draw parameters and data of many small models, and rank the parameters among the draws of their posteriors.

    The models share nothing, so their ranks are independent of each other: uniform where the draws are right.
    """
    from scipy.stats import kstest

    from benchmarks.sampling.models import calibration_ranks

    asked = {"draws": 500, "tune": 500, "chains": 2, "cores": 2, "progressbar": False, "quiet": True}
    ranks = calibration_ranks(int(n_models), int(seed), **asked)
    return {name: {"models": len(rank), "p": float(kstest(rank, "uniform").pvalue)} for name, rank in ranks.items()}


if __name__ == "__main__":
    main()
