"""Results of a grid: time and memory beforehand, findings that the seeds support."""
