"""Import and export: downloads, import with dry run and undo, backups."""
