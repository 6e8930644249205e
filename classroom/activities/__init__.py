"""What a class does, as pure functions: activities, the room's state, votes and their distribution."""
