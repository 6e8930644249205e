"""Numbers as papers and other projects print them, beside the computed ones."""
