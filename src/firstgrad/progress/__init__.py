"""Live progress of compiles in the user's own process: a thread looks at the stack, and nothing is patched.

Nothing here imports PyMC, PyTensor, Numba or JAX; what they have loaded is found in ``sys.modules``.
"""
