"""What the estimates of `firstgrad lint` rest on."""
