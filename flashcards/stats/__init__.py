"""What the review log says: statistics and their charts."""
