"""How often `firstgrad lint` tells something that one would not tell a colleague."""
