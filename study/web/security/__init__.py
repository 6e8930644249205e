"""Who may do what, how often, and which scripts may run; nothing here knows a page."""
