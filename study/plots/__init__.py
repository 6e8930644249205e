"""Charts as values: the drawing surface of all packages, and the chart types that several of them share."""
