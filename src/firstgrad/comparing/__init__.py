"""Two sides, base and head: found or measured in rounds, their ratios estimated, each change judged."""
