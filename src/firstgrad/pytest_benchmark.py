"""Measured cases as pytest-benchmark tests."""
