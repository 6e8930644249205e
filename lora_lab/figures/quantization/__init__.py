"""Live figures of how 4-bit formats store weights, and at what error."""
