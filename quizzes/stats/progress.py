"""The questions' section of the Progress page: calibration, Brier score, and item analysis for authors."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from quizzes.bank.bank import Bank
from quizzes.families import match_family
from quizzes.kinds.choices import Single
from quizzes.stats.calibration import RatedAnswer, plot_calibration
from quizzes.stats.item_analysis import ANSWERS_NEEDED, ItemStatistics, compute_item_statistics
from study.base.confidence_intervals import compute_share
from study.base.html import NO_HTML
from study.learner.progress import CHARTS_FROM
from study.plots.plot import Plot
from study.ports.context import Visit
from study.ports.learn import RecurringMiss
from study.store import Store
from study.store.logs.quizzes import QuizAnswer
from study.text.markup import to_plain
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
            items=[(item, _find_title(item.question_id, self.bank)) for item in items],
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


def compute_statistics(store: Store, bank: Bank) -> list[ItemStatistics]:
    """Return each question with enough answers of all learners on this machine; a family counts as one."""
    wrong = {
        question.id: [option.id for option in question.task.options if not option.correct]
        for question in bank.questions
        if isinstance(question.task, Single)
    }
    sessions = [
        [_map_to_family(answer, bank) for answer in given]
        for _, given in store.quizzes.read_answered_sessions()
    ]
    levels = {question.id: question.level for question in bank.questions}
    levels |= {family.id: family.level for family in bank.families.values()}
    items = compute_item_statistics(sessions, wrong, levels)
    return [item for item in items if _find_title(item.question_id, bank)]


def _map_to_family(answer: QuizAnswer, bank: Bank) -> QuizAnswer:
    """Return an answer to a generated question as one to its family, because each seed has other numbers."""
    family = match_family(answer.question_id, bank.families)
    return replace(answer, question_id=family.id) if family else answer


def _find_title(item_id: str, bank: Bank) -> str:
    """Return the title of an item; empty when it has left the bank."""
    if item_id in bank.families:
        return bank.families[item_id].title
    question = bank.by_id.get(item_id)
    return to_plain(question.stem) if question else ""
