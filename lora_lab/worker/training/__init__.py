"""The training loop, one run or a group side by side, and what it measures."""
