"""The question bank and the rules for its questions."""
