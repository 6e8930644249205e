"""FSRS scheduling, its simulation and metrics, and the parameter fit for one learner. No store, no pages."""
