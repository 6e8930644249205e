"""The device that a worker computes on: which one, its number type, its memory, and what is wrong with it."""
