"""Live figures: the base of all figures, and the controls that set their parameters."""
