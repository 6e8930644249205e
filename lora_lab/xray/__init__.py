"""X-ray of an adapter: what a finished run has learnt, matrix by matrix, and compared with another run."""
