"""What the answers say: calibration, item analysis, progress."""
