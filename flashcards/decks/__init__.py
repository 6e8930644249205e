"""Decks as YAML: notes, the cards they make, pictures, typed answers."""
