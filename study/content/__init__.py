"""Content as data: YAML to validated objects, the concept map, evidence, the learner's own files."""
