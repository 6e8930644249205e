"""Statistics of the review log, and their charts."""
