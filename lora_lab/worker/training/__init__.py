"""The training loop, for one run or a group side by side, and its measurements."""
