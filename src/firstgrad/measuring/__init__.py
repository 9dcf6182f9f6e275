"""Measuring: `launch` on the parent side, `worker` in the fresh process, and what passes between them."""

from __future__ import annotations
