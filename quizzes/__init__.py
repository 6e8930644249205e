"""Multiple-choice questions and explain-in-your-own-words prompts."""
