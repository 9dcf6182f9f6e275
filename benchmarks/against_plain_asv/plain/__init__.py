"""An asv suite as one writes it without firstgrad: each metric is a benchmark that compiles for itself."""
