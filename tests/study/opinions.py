"""Opinions on the concepts of an explanation, with nothing but their verdicts."""

from study.store.logs.explains import Opinion


def opinions(**verdicts: str) -> list[Opinion]:
    return [Opinion(concept_id=concept_id, verdict=verdict) for concept_id, verdict in verdicts.items()]
