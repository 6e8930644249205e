"""Side-by-side performance runs; never part of the tests."""
