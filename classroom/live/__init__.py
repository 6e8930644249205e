"""Running classes: their committed state in memory, and the screens that wait for its changes."""
