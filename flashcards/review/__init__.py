"""Reviewing: the learner's snapshot, the session, what each press does, and the view of a card."""
