"""The pose model, which ships with firstgrad: its parameters, its data, its graphs and its oracle."""
