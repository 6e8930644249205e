"""Checker of printed `print_trainable_parameters` lines: can it be true, and what would print it."""
