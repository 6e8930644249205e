"""Import and export of cards in the formats of other programs, one module per format."""
