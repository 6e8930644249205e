"""Recording what is measured once and kept: for live figures, for "Read the run", and the paces of grids."""
