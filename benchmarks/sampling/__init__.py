"""``firstgrad.sample`` against ``pm.sample``: time, posteriors, calibration."""
