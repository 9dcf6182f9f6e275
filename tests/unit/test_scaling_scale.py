"""100,000 samples into a table, laws, ratios and figures, within seconds and a gibibyte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SAMPLES = 100_000
SCRIPT = """
import json, random, resource, sys, time
from pathlib import Path

from firstgrad.growth.contrasts import Contrast, find_contrasts
from firstgrad.growth.lines import find_growth
from firstgrad.case import BackendName
from firstgrad.cli.scaling import HEADLINE_METRICS
from firstgrad.show.growth import growth_pictures, ratio_pictures
from firstgrad.show.style import save_picture
from firstgrad.columns import METRICS, cells_of, metric_named, samples_table
from planted_sweep import planted_records

folder, wanted = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(1)
seeds = [cells_of(each) for each in planted_records(1, backends=(BackendName.JAX, BackendName.C, BackendName.NUMBA))]
samples = []
for number in range(wanted):
    cells = seeds[number % len(seeds)]
    noise = chance.lognormvariate(0, 0.05)
    noisy = {
        metric.name: cells[metric.name] * noise
        for metric in METRICS
        if cells[metric.name] is not None and metric.unit != "count"
    }
    samples.append({**cells, **noisy, "record_id": f"{number}"})

began = time.process_time()
table = samples_table(samples)
metrics = [metric_named(name) for name in HEADLINE_METRICS]
axes = ["timesteps", "directions"]
growths = find_growth(table, axes, metrics)
contrasts = [each for axis in axes for each in find_contrasts(table, axis, metrics, [Contrast.HMM])]
wanted = {"scaling-timesteps-jax-cold", "ratio-hmm-timesteps-time_to_first_gradient"}
figures = [each for each in (*growth_pictures(growths), *ratio_pictures(contrasts)) if each.name in wanted]
for figure in figures:
    save_picture(figure, folder)
# Not getrusage: its mark begins with that of the process which started this one.
peak_kilobytes = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
print(json.dumps({
    "seconds": time.process_time() - began,
    "peak_bytes": peak_kilobytes * 1024,
    "laws": sum(len(each.lines) for each in growths),
    "ratios": len(contrasts),
    "figures": len(figures),
}))
"""


def test_100_000_records_become_laws_and_figures_in_seconds(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(SAMPLES)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    found = json.loads(done.stdout)
    assert (found["laws"], found["ratios"], found["figures"]) == (2 * 6 * 12, 2 * 6 * 6, 2)
    assert len(list(tmp_path.glob("*.svg"))) == 2
    # Processor time, which is up to half as much again while other processes use the caches.
    assert found["seconds"] < 15, found
    assert found["peak_bytes"] < 2**30, found
