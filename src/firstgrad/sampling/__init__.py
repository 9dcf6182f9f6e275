"""Short sampling runs, each in a process of its own: what a gradient's numbers mean for a sampler."""
