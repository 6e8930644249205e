"""The learner's state, derived from the logs: progress, mastery, study modes, next steps."""
