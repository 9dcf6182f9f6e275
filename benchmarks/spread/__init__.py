"""How exactly identical runs repeat each count of work, and what counting costs."""
