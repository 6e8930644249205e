"""Lesson plans: YAML files that list a class's activities."""
