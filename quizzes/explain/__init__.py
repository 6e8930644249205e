"""Explanations in the learner's own words: prompts, their concepts, and how they are judged."""
