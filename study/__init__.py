"""What every part shares: concept map, content, store, progress, page frame."""
