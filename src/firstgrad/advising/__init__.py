"""What to take for the planned work: offers from samples, break-even, remedies that are backed by measured cases."""
