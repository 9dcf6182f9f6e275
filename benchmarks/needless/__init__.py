"""What scripts do needlessly, and what they take once they do as `firstgrad trace` says."""
