"""Whatever listens to compilers: events, listeners, and the probes behind which every private name stands.

Nothing is patched: it hears what Python, PyTensor, Numba and JAX tell by themselves. Phases of a measurement, profiles
and live progress are its consumers.
"""
