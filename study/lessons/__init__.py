"""Lessons of the concepts, one YAML file each, and the rules that all content keeps."""
