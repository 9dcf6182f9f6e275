"""``firstgrad bisect``: which commit, or which release, changed what a model's gradient takes."""
