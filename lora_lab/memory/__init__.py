"""Memory estimate of a training step, per component: in the lab's own loop and in other frameworks."""
