"""Reviewing: the learner's snapshot, the session, what each event does, and the view of a card."""
