"""What a learner knows and what is due: progress, mastery, study modes, the day's work."""
