"""Several processes that serve the students of a class, behind one address and on one database server."""
