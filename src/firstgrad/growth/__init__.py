"""How costs grow with sizes: lines of samples along a size, laws fitted to them, their changes, cliffs, series."""
