"""Tasks that the lab judges: configure a run, and find the fault of a recorded one."""
