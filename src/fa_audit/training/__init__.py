"""Training: one run, from its configuration to weights and series."""
