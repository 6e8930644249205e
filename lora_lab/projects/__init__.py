"""Guided experiments: a question, a grid of runs, checks, a report."""
