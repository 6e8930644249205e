"""What a class leaves behind: results by student and by item, as a page and as files."""
