"""The deterministic simulator: a whole fleet of real programs on simulated network, clock and power, all decided by one seed."""
