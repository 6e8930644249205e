"""One run, its folder, its events, and the engine that queues it."""
