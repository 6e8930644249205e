"""The append-only logs of a learner's work, one module per table or group of tables."""
