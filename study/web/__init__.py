"""The page frame, the middleware, the server and the file routes."""
