"""Inspections of weights and adapters: rounding, losses, singular values, subspaces."""
