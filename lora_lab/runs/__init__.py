"""Runs: a run's folder, events, state and measurements, and the sweeps that runs belong to."""
