"""A learner's predictions about runs and quantization, and their verdicts."""
