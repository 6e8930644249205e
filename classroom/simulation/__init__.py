"""Simulated students: real HTTP clients that join a running app, for rehearsals and load tests."""
