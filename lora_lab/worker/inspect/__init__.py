"""Looks into weights and adapters: rounding, losses, singular values, subspaces."""
