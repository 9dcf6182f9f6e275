"""Other tools' ways to send cases: asv suites and pytest-benchmark tests."""

from __future__ import annotations
