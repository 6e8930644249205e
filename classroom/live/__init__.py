"""Classes that are going on: what is committed, in memory, and whoever waits for its changes."""
