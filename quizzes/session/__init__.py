"""A quiz from start to summary: modes, attempts, feedback, spaced retry of confident errors."""
