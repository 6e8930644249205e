"""A learner's guesses about runs and quantization, and how they are judged."""
