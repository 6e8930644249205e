"""Forms, addresses and presets of runs and grids."""
