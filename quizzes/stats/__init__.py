"""Statistics of the answers: calibration, item analysis, progress."""
