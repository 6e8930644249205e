"""What each card, question, prompt and prediction is about."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """The concepts of each card, question, prompt and prediction."""

    of_card: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of_question: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of_prompt: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)
    """The text of each prompt, by its id."""

    of_idea: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """By prompt, and by an idea of a good explanation."""

    of_prediction: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the guessed quantity."""

    def count_items(self, concept_id: str) -> tuple[int, int]:
        cards = sum(concept_id in concepts for concepts in self.of_card.values())
        questions = sum(concept_id in concepts for concepts in self.of_question.values())
        return cards, questions
