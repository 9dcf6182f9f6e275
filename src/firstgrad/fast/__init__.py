"""The fastest verified first gradient: the log-density as one JAX function, and a PyTensor mode. Child side."""
