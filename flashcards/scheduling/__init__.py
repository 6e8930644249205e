"""When a card comes back: FSRS, its simulation and metrics, the fit to a learner. No store, no page."""
