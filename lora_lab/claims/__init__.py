"""Can a printed line of `print_trainable_parameters` be true? What it would be, and what would print it."""
