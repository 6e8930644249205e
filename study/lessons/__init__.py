"""Lessons, one YAML file per concept, and the lint rules of all content."""
