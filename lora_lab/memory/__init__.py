"""Memory estimate of a training step in the lab's own loop, per component."""
