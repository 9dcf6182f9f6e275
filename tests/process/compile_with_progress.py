"""A user's script: compiles a tiny model with and without the display, and tells what it saw as a line of JSON."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pymc as pm
from pytensor.compile.mode import Mode

import firstgrad
from firstgrad.progress import compile_progress as display


def hooks():
    """What a display could leave behind."""
    left = {
        "threads": sorted(each.name for each in threading.enumerate() if each.name.startswith("firstgrad")),
        "handlers": len(logging.getLogger("pytensor.link.c.cmodule").handlers),
        "streams": [sys.stdout is OUT, sys.stderr is ERR],
    }
    if "numba.core.event" in sys.modules:
        left["numba"] = len(sys.modules["numba.core.event"]._registered["numba:compile"])
    if "jax.monitoring" in sys.modules:
        from jax._src import monitoring

        left["jax"] = [len(monitoring.get_event_duration_listeners()), len(monitoring.get_event_listeners())]
    return left


# A tiny model's stages are over in less than the usual 0.2 s: whether they are seen must not be chance.
display.LOOK_SECONDS = 0.005
OUT, ERR = sys.stdout, sys.stderr
DEADLINE_SECONDS, NOT_INTERRUPTED = 90, 9
backend, how = sys.argv[1:]
with pm.Model() as model:
    a = pm.Normal("a", 0, 1, shape=3)
    s = pm.HalfNormal("s")
    pm.Normal("y", a.sum(), s, observed=np.arange(5.0))
point = model.initial_point()
mode = {"c": lambda: Mode("cvm", "fast_run"), "numba": lambda: "NUMBA", "jax": lambda: "JAX"}[backend]


def compile_once():
    return np.asarray(model.compile_dlogp(mode=mode())(point))


@contextmanager
def interrupted():
    """Send SIGINT every second until one gets through: JAX's callback of the garbage collector swallows some."""
    through = threading.Event()

    def send():
        for _ in range(DEADLINE_SECONDS):
            if through.wait(1.0):
                return
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(NOT_INTERRUPTED)

    # A shell's background jobs, and what they start, ignore the signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=send, daemon=True).start()
    try:
        yield
    finally:
        through.set()


first = np.zeros(0)
progress = firstgrad.compile_progress(model, title="tiny", every_seconds=2.0)
raised = ""
before = hooks()
try:
    with progress:
        first = compile_once()
        if how == "error":
            raise ValueError("the user's")  # noqa: TRY301 - as a user's own code would
        if how == "interrupt":
            with interrupted():
                while True:
                    compile_once()
except (ValueError, KeyboardInterrupt) as error:
    raised = type(error).__name__
after = hooks()
again = compile_once() if how == "plain" else first
summary = progress.summary
print(  # noqa: T201 - it talks to the test
    json.dumps(
        {
            "raised": raised,
            "before": before,
            "after": after,
            "equal": first.tobytes() == again.tobytes(),
            "looks": dict(summary.looks),
            "units": {each.kind: each.compiled for each in summary.units},
            "gap": summary.longest_gap_seconds,
            "peak": summary.peak_rss_bytes,
        }
    )
)
