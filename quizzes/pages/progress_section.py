"""The questions' section of the Progress page: calibration, Brier score, and item analysis for authors."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from quizzes.bank.bank import Bank
from quizzes.stats.calibration import RatedAnswer, plot_calibration
from quizzes.stats.item_analysis import ANSWERS_NEEDED, compute_statistics, find_title
from study.base.confidence_intervals import compute_share
from study.base.html import NO_HTML
from study.learner.progress import CHARTS_FROM
from study.plots.plot import Plot
from study.ports.context import Visit
from study.ports.learn import RecurringMiss
from study.store import Store
from study.text.templates import render


@dataclass(frozen=True, kw_only=True)
class QuizSection:
    """The questions' section; implements `study.ports.progress.Section`."""

    store: Store
    bank: Bank
    recurring: Callable[[Visit], Sequence[RecurringMiss]]
    name: str = "questions"
    leading: Sequence[str] = ("calibration",)

    def render_html(self, visit: Visit) -> Markup:
        """Render the section; empty before the first answer and without recurring misses."""
        answers = self.store.quizzes.history(visit.profile.id)
        share = compute_share([answer.correct for answer in answers])
        recurring = self.recurring(visit)
        if share is None and not recurring:
            return NO_HTML
        items = compute_statistics(self.store, self.bank)
        return render(
            "quizzes/stats/progress.html",
            share=share,
            said=len(self._list_rated(visit)),
            charts_from=CHARTS_FROM,
            recurring=recurring,
            items=[(item, find_title(item.question_id, self.bank)) for item in items],
            needed=ANSWERS_NEEDED,
        )

    def build_charts(self, visit: Visit) -> Iterator[Plot]:
        """Build calibration and Brier score, once confidence was tapped often enough."""
        yield from plot_calibration(self._list_rated(visit), now=visit.now, days=visit.days)

    def act(self, event: dict[str, Any], visit: Visit) -> Mapping[str, Any] | None:
        return None

    def _list_rated(self, visit: Visit) -> list[RatedAnswer]:
        answers = self.store.quizzes.history(visit.profile.id)
        return [
            RatedAnswer(confidence=answer.confidence, correct=answer.correct, at=answer.answered_at)
            for answer in answers
            if answer.confidence is not None
        ]
