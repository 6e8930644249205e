"""Grades an explanation by concepts: prompts, passages, rules, and the client of the network's process."""
