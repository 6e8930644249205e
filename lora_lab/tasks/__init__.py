"""Tasks that the lab judges: configure a run, find the fault of a recorded one, complete a script."""
