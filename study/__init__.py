"""Shared code of all packages: concept map, content, store, progress, page frame."""
