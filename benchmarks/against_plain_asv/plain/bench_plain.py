"""The metrics and cells of firstgrad's own suite, in asv's plain ``time_``, ``peakmem_`` and ``track_`` benchmarks.

Each compiles for itself, in a process of its own, with private caches; a warm cache is filled once by `setup_cache`.
Nothing checks the results.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path


def _load_tiers():
    place = Path(__file__).parents[2] / "tiers.py"
    found = importlib.util.spec_from_file_location("firstgrad_tiers", place)
    module = sys.modules[found.name] = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


TIERS = _load_tiers()
MODES = {"jax": "JAX", "numba": "NUMBA"}


def use_caches(folder):
    """Send every backend's cache to a folder; before PyTensor is imported."""
    os.environ["PYTENSOR_FLAGS"] = f"base_compiledir={folder}"
    os.environ["NUMBA_CACHE_DIR"] = str(Path(folder, "numba"))


class _Plain:
    timeout = 3600
    rounds = 3
    number = repeat = 1
    warmup_time = 0
    param_names = ("timesteps", "directions", "hmm", "formulation", "backend", "scenario")

    def prepare(self, values, folder):
        """Import everything and generate the data, before any clock starts."""
        use_caches(folder)
        began = time.perf_counter()
        if values[4] == "jax":
            import jax

            jax.config.update("jax_enable_x64", True)
            jax.devices()
            import pytensor.link.jax.dispatch
        import pymc  # noqa: F401
        import pytensor

        if pytensor.config.cxx:
            import pytensor.link.c.lazylinker_c
        self.import_seconds = time.perf_counter() - began
        from firstgrad.pose.data import generate

        case = TIERS.case_of(**dict(zip(self.param_names, values, strict=True)))
        self.spec = case.model.pose
        self.data = generate(self.spec)
        self.mode = MODES.get(values[4]) or pytensor.compile.mode.Mode("cvm", "fast_run")

    def setup(self, *values):
        self.folder = tempfile.mkdtemp(prefix="plain-asv-")
        if values[5] == "warm":
            shutil.copytree(Path("filled").absolute(), self.folder, dirs_exist_ok=True, symlinks=True)
        self.prepare(values, self.folder)

    def teardown(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def first_gradient(self):
        from firstgrad.pose.graph import build_pose_model

        model = build_pose_model(self.spec, self.data)
        function = model.compile_dlogp(mode=self.mode)
        function(self.data.initial)
        return function

    def in_steps(self):
        """Return the seconds of each phase, as PyMC's own steps."""
        from pymc.pytensorf import gradient, rewrite_pregrad
        from pytensor.compile.debug.profiling import ProfileStats

        from firstgrad.pose.graph import build_pose_model

        clock, seconds = time.perf_counter, {}
        began = clock()
        model = build_pose_model(self.spec, self.data)
        seconds["build"], began = clock() - began, clock()
        logp = model.logp()
        seconds["logp_graph"], began = clock() - began, clock()
        slope = gradient(rewrite_pregrad(logp), model.continuous_value_vars)
        seconds["grad_graph"] = clock() - began
        profile = ProfileStats(atexit_print=False, flag_time_thunks=False)
        function = model.compile_fn(slope, inputs=model.value_vars, mode=self.mode, profile=profile)
        seconds["rewrite"], seconds["link"] = profile.rewriting_time, profile.linker_time
        began = clock()
        function(self.data.initial)
        seconds["first_call"] = clock() - began
        return seconds

    def time_to_first_gradient(self, *_):
        self.first_gradient()

    def peakmem_first_gradient(self, *_):
        self.first_gradient()

    def track_cpu(self, *_):
        began = os.times()
        self.first_gradient()
        ended = os.times()
        return sum(ended[:4]) - sum(began[:4])

    def track_phase_import(self, *_):
        return self.import_seconds

    def track_phase_build(self, *_):
        return self.in_steps()["build"]

    def track_phase_logp_graph(self, *_):
        return self.in_steps()["logp_graph"]

    def track_phase_grad_graph(self, *_):
        return self.in_steps()["grad_graph"]

    def track_phase_rewrite(self, *_):
        return self.in_steps()["rewrite"]

    def track_phase_link(self, *_):
        return self.in_steps()["link"]

    def track_phase_first_call(self, *_):
        return self.in_steps()["first_call"]

    def track_evaluation(self, *_):
        function = self.first_gradient()
        seconds = []
        for _ in range(200):
            began = time.perf_counter()
            function(self.data.initial)
            seconds.append(time.perf_counter() - began)
        return sorted(seconds)[100]

    def track_retained(self, *_):
        import psutil

        before = psutil.Process().memory_info().rss
        kept = self.first_gradient()
        gc.collect()
        return psutil.Process().memory_info().rss - before if kept else None

    def track_nodes_before(self, *_):
        from pytensor.graph.traversal import ancestors

        from firstgrad.pose.graph import build_pose_model

        found = ancestors([build_pose_model(self.spec, self.data).dlogp()])
        return len({variable.owner for variable in found if variable.owner})

    def track_nodes(self, *_):
        return len(self.first_gradient().f.maker.fgraph.apply_nodes)

    def track_compiled_units(self, *_):
        self.first_gradient()
        return len(list(Path(self.folder).rglob("*.so")))


for _unit, _names in {
    "seconds": ("cpu", "evaluation", *(f"phase_{name}" for name in ("import", "build", "logp_graph", "grad_graph"))),
    "bytes": ("retained",),
}.items():
    for _name in _names:
        getattr(_Plain, f"track_{_name}").unit = _unit


def _suite(grid):
    axes = (grid.timesteps, grid.directions, grid.hmm, grid.formulation, (grid.backend,), grid.scenario)
    attributes = {"params": [list(values) for values in axes], "__module__": __name__}
    if "warm" in grid.scenario:
        cells = [tuple(cell.values()) for cell in grid.cells() if cell["scenario"] == "warm"]

        def setup_cache(self):
            self.prepare(cells[0], Path("filled").absolute())
            self.first_gradient()

        attributes["setup_cache"] = setup_cache
    return type(grid.backend.upper(), (_Plain,), attributes)


for _grid in TIERS.tier():
    globals()[_grid.backend.upper()] = _suite(_grid)
