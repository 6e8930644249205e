"""Content as data: YAML to validated objects, the concept map, evidence, files of the learner."""
