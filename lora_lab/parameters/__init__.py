"""Exact parameter counts of a model and of what an adapter trains, without torch."""
