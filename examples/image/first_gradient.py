"""The image's program: its first gradient, and whether it was loaded or compiled."""

from __future__ import annotations

from model import build

import firstgrad

gradient = firstgrad.fast_gradient(build())
print(f"first gradient: {gradient.kept}")
