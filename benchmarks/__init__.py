"""Performance benchmarks; they are not part of the tests."""
