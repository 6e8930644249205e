"""The lab's pages, one module each."""
