"""Predicted bytes of a training step in the lab's own loop, component by component."""
