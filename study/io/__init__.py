"""In and out: export, import with preview and undo, backups."""
