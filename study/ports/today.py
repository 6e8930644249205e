"""What Today says of a learner's cards, of a quiz that was left open, and of the last run."""

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True, kw_only=True)
class CardsDue:
    """A learner's due flashcards."""

    due: int
    """Learning, requested and due cards."""

    new: int
    """New cards within today's limit."""

    coming: tuple[int, ...]
    """Cards due on each of the next days, today first. Overdue cards, and those requested by a missed
    question, count for today.
    """

    unseen: int = 0
    """Of `due`, the cards that a missed question requested and that were never shown."""

    @property
    def seen(self) -> int:
        """The due cards that were shown before."""
        return self.due - self.unseen

    @property
    def left(self) -> int:
        """All cards that a learner would see today."""
        return self.due + self.new


@dataclass(frozen=True, kw_only=True)
class LastRun:
    """One line about a training run that has ended."""

    html: Markup
    is_own: bool
    """Whether this learner guessed about it; else it may be anybody's on this machine."""


@dataclass(frozen=True, kw_only=True)
class OpenQuiz:
    """A quiz that was begun and not ended."""

    name: str
    """What it is called in a sentence: an exam, or a quiz."""

    address: str
    answered: int
    total: int
    has_clock: bool
