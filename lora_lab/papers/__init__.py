"""Published numbers of papers and other projects, next to the computed ones."""
