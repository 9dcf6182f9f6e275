"""Where the time of a compile went, seen from inside its process: units, rewriters, types of nodes, imports, spans.

This runs in the worker of a profile only. Nothing is patched: it listens to events that Python, Numba and JAX send.
"""
