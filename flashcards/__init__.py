"""Flip cards with spaced repetition."""
