"""PyMC graphs of the pose model, and the door to the user's own. Seen by the worker only."""

from __future__ import annotations
