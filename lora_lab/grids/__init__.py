"""Results of a grid: time and memory estimates in advance, findings that the seeds support."""
