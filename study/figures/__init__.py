"""Live figures: what every one of them has, and the controls that move it."""
