"""Sweeps: a grid of cases, measured one after the other, on one machine or many; what was measured once is kept."""

from __future__ import annotations
