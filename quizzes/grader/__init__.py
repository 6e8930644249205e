"""Entailment grader of explanations: prompts, passages, rules, and the client of its worker process."""
