"""Charts as values: what every package draws on, and the forms that several of them share."""
