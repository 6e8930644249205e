"""Import and export of questions in the formats of other programs, one module per format."""
