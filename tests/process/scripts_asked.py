"""Loads the model of each reference that it is given, in one process, and prints what came of it as JSON."""

import json
import sys
from pathlib import Path

import pymc  # noqa: F401 - as in a worker: before the model

from firstgrad.backends.user_model import load_user_model
from firstgrad.errors import FirstgradError
from firstgrad.model import make_model

answers = {}
for reference in sys.argv[1:]:
    path, words = sys.path.copy(), sys.argv
    try:
        built = load_user_model(make_model(reference)).build()
        names = [variable.name for variable in built.model.basic_RVs]
        answers[Path(reference).name] = {"names": names, "note": built.note}
    except FirstgradError as error:
        answers[Path(reference).name] = {"error": f"{type(error).__name__}: {error}"}
    sys.path, sys.argv = path, words
sys.__stdout__.write(f"\n{json.dumps(answers)}\n")
