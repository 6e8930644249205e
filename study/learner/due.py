"""What Today needs to know of each kind of study, so that it need not know the packages behind them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class CardsDue:
    """The flashcards waiting for a learner."""

    due: int
    """Learning, requested and due cards."""

    new: int
    """New cards that today's limit still allows."""

    coming: tuple[int, ...]
    """Cards due on each of the coming days, today first; what is overdue, or asked for by a missed
    question, counts for today."""

    @property
    def left(self) -> int:
        """All cards a learner would see today."""
        return self.due + self.new


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """Which concepts each card, question, prompt and prediction is about."""

    of_card: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of_question: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of_prompt: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)
    """What each prompt asks, by its id."""

    of_idea: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """By prompt, and by what a good explanation of it says."""

    of_prediction: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the quantity that was guessed."""

    def counts(self, concept_id: str) -> tuple[int, int]:
        """How many cards and how many questions are about a concept."""
        cards = sum(concept_id in concepts for concepts in self.of_card.values())
        questions = sum(concept_id in concepts for concepts in self.of_question.values())
        return cards, questions
