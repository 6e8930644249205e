"""Questions on the Progress page: calibration and Brier score, and for authors how the questions do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from quizzes.bank import Bank
from quizzes.calibration import CONFIDENCES, Said, calibration_figures
from quizzes.items import ANSWERS_NEEDED, ItemStatistics, item_statistics
from study.context import Visit
from study.intervals import share_of
from study.plots.plot import Plot
from study.store import Store
from study.templates import render


@dataclass(frozen=True, kw_only=True)
class QuizSection:
    """See `study.sections.Section`."""

    store: Store
    bank: Bank
    name: str = "questions"

    def html(self, visit: Visit) -> Markup:
        """Nothing before the first answer."""
        answers = self.store.quizzes.history(visit.profile.id)
        share = share_of([answer.correct for answer in answers])
        if share is None:
            return Markup("")
        items = statistics_of(self.store, self.bank)
        shown = render(
            "quizzes/progress.html",
            share=share,
            said=len(self._said(visit)),
            items=[(item, self.bank.by_id[item.question_id]) for item in items],
            needed=ANSWERS_NEEDED,
        )
        return Markup(shown)

    def figures(self, visit: Visit) -> Iterator[Plot]:
        """Calibration and Brier score, once a confidence was tapped."""
        yield from calibration_figures(self._said(visit), now=visit.now, days=visit.days)

    def act(self, event: dict[str, Any], visit: Visit) -> Mapping[str, Any] | None:
        """Nothing to press."""
        return None

    def _said(self, visit: Visit) -> list[Said]:
        answers = self.store.quizzes.history(visit.profile.id)
        tapped = ((answer, getattr(answer, "confidence", None)) for answer in answers)
        return [
            Said(confidence=confidence, correct=answer.correct, at=answer.answered_at)
            for answer, confidence in tapped
            if confidence in CONFIDENCES
        ]


def statistics_of(store: Store, bank: Bank) -> list[ItemStatistics]:
    """Every question of the bank with enough answers, of all learners on this machine."""
    wrong = {
        question.id: [option.id for option in question.options if not option.correct]
        for question in bank.questions
    }
    sittings = [answers for _, answers in store.quizzes.sittings()]
    return [item for item in item_statistics(sittings, wrong) if item.question_id in bank.by_id]
