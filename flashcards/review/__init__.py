"""Reviewing: the learner's snapshot, the session, what each press does, and how a card is shown."""
