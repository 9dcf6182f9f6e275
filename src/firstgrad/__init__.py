"""firstgrad: how long until the first gradient of a PyMC model, how fast the next ones, and why."""

from __future__ import annotations
