"""firstgrad's own asv suite. It measures the built-in pose model with the firstgrad of each commit."""
