"""Live classes: a teacher opens a room on this machine, students join from phones and answer together."""
