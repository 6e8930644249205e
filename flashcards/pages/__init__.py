"""Cards and their browser: what is drawn of the engines in this package."""
