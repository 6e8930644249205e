"""Live figures of what happens during training and use: memory, schedules, tokens."""
