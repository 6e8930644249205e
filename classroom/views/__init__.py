"""What each screen of a class shows: HTML fragments made from a room's state."""
