"""What to take for the planned work: the ways, their race within a budget, offers, break-even, what to type."""
