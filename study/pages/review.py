"""The daily review: cards, three questions, one explanation; a learner can stop at any point."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup

from study.base.errors import LearnerError, StaleError
from study.base.html import NO_HTML
from study.learner.progress import find_most_frequent
from study.ports.context import Context, Visit
from study.ports.review import CardActivity, ExplainActivity, Fragment, QuizActivity, ReviewActivity, Steps
from study.store.logs.five_minute_reviews import FiveMinuteReview
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply

SECONDS = 300.0
"""A review takes five minutes: cards fill what the questions and the explanation leave of them."""

CARD_SECONDS = 60.0
"""Cards get this much even where a learner needs longer for the rest."""

QUESTIONS = 3
SEEDS = 10_000


@dataclass(frozen=True, kw_only=True)
class ReviewPlan:
    """The content of a review that starts now."""

    cards: int
    questions: int
    minutes: int
    explanations: int = 1

    returning: int = 0
    """Due retries: questions missed with confidence that come back today."""


@dataclass(frozen=True, kw_only=True)
class UnfinishedReview:
    """A review of today that was begun and not finished."""

    address: str
    steps: Sequence[tuple[str, Steps]]
    """By the name of each activity."""


@dataclass(frozen=True, kw_only=True)
class ReviewPage:
    """Handlers of the review. Its progress is read from the logs of its three activities."""

    place = frame.IslandPlace(
        elem_id="review", title="Review", path="/review", under="/practise", heading="Daily review"
    )

    context: Context
    cards: CardActivity
    quiz: QuizActivity
    explain: ExplainActivity

    @property
    def activities(self) -> Sequence[ReviewActivity]:
        return (self.cards, self.quiz, self.explain)

    def load(self, request: gr.Request) -> Markup:
        """Render the next exercise of the review in the URL; without one, an offer to start."""
        visit = frame.open_visit(self.context, request)
        review = self._find_review(visit)
        self.explain.prepare()  # it loads while the cards are reviewed
        if review is None:
            return render(
                "study/review/review_start.html",
                plan=self.plan(visit),
                unfinished=self.find_unfinished(visit),
            )
        return self._show_next(visit, review).get("html", NO_HTML)

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """Handle one event: most belong to the activity whose exercise is shown."""
        visit = frame.open_visit(self.context, request, event)
        if event.get("act") == "start":
            return {"goto": self.start(visit)}
        review = self._find_review(visit)
        if review is None:
            raise LearnerError("This review is not in this profile.", do_next="Start one from Today.")
        if event.get("act") == "next":
            return self._show_next(visit, review)
        try:
            return self._handle_event(visit, review, event)
        except StaleError as stale:
            return {**self._show_next(visit, review), "error": str(stale)}

    def _handle_event(self, visit: Visit, review: FiveMinuteReview, event: dict[str, Any]) -> Reply:
        activity = self._choose_activity(event)
        piece = activity.act(event, visit, review)
        if piece is None and event.get("act") == "draft":
            return {}
        return self._show_next(visit, review) if piece is None else self._wrap(visit, review, activity, piece)

    def plan(self, visit: Visit, concept: str = "") -> ReviewPlan:
        """Plan what fits into five minutes for this learner, of everything or of one concept."""
        questions, explanations = QUESTIONS, 1
        if concept:  # which may have fewer
            questions = len(self.quiz.draw_question_ids(visit, length=QUESTIONS, seed=0, concept=concept))
            explanations = int(bool(self.explain.choose_prompt(visit, concept)))
        seconds = questions * self.quiz.estimate_seconds_each(visit)
        seconds += explanations * self.explain.estimate_seconds_each(visit)
        cards = self.cards.count_planned(visit, seconds=max(CARD_SECONDS, SECONDS - seconds), concept=concept)
        seconds += cards * self.cards.estimate_seconds_each(visit)
        return ReviewPlan(
            cards=cards,
            questions=questions,
            explanations=explanations,
            minutes=max(1, round(seconds / 60)),
            returning=self.quiz.count_returning(visit),
        )

    def start(self, visit: Visit, concept: str = "") -> str:
        """Record a new review, of everything or of one concept, and return its URL."""
        seed = self.context.rng.randrange(SEEDS)
        review = self.context.store.five_minute_reviews.start(
            visit.profile.id,
            cards=self.plan(visit, concept).cards,
            seed=seed,
            question_ids=self.quiz.draw_question_ids(visit, length=QUESTIONS, seed=seed, concept=concept),
            prompt_id=self.explain.choose_prompt(visit, concept),
            concept=concept,
            started_at=visit.now,
        )
        return _address(review)

    def find_unfinished(self, visit: Visit) -> UnfinishedReview | None:
        """Find the review that was begun last today, unless it is finished."""
        today = visit.days.start(visit.now)
        for review in self.context.store.five_minute_reviews.list_since(visit.profile.id, today):
            steps = [(activity.label, activity.count_steps(visit, review)) for activity in self.activities]
            if any(step.done for _, step in steps):
                finished = all(step.finished for _, step in steps)
                return None if finished else UnfinishedReview(address=_address(review), steps=steps)
        return None

    def _find_review(self, visit: Visit) -> FiveMinuteReview | None:
        review_id = visit.query.get("run", "")
        return self.context.store.five_minute_reviews.find(visit.profile.id, review_id) if review_id else None

    def _choose_activity(self, event: dict[str, Any]) -> ReviewActivity:
        owners: dict[Any, ReviewActivity] = {
            **dict.fromkeys(("flip", "rate", "undo"), self.cards),
            **dict.fromkeys(("answer", "give-up"), self.quiz),
            **dict.fromkeys(self.explain.acts, self.explain),
        }
        owner = owners.get(event.get("act"))
        if owner is None:
            raise form_event.build_unknown_act_error(event)
        return owner

    def _show_next(self, visit: Visit, review: FiveMinuteReview) -> Reply:
        for activity in self.activities:
            if not activity.count_steps(visit, review).finished:
                return self._wrap(visit, review, activity, activity.show(visit, review))
        return self._show_ending(visit, review)

    def _show_ending(self, visit: Visit, review: FiveMinuteReview) -> Reply:
        endings = [activity.describe_ending(visit, review) for activity in self.activities]
        missed = [each for ending in endings for each in ending.missed]
        html = render(
            "study/review/review_done.html",
            concept=self.context.concepts.by_id.get(review.concept),
            endings=endings,
            missed=missed,
            weakest=find_most_frequent(each.concepts for each in missed),
            waiting=self.cards.count_planned(visit, seconds=SECONDS),
            concepts=self.context.concepts,
            undo=self.cards.find_undoable(visit, since=review.started_at),
        )
        named = f"{len(missed)} missed." if missed else "Nothing missed."
        return {"html": html, "say": f"Review done. {named}", "focus": "#main"}

    def _wrap(
        self, visit: Visit, review: FiveMinuteReview, activity: ReviewActivity, piece: Fragment
    ) -> Reply:
        steps: list[tuple[ReviewActivity, Steps]] = [
            (each, each.count_steps(visit, review)) for each in self.activities
        ]
        html = render(
            "study/review/review.html",
            concept=self.context.concepts.by_id.get(review.concept),
            piece=piece.html,
            current=activity.label,
            steps=steps,
            done=sum(step.done for _, step in steps),
            total=sum(step.total for _, step in steps),
            undo=self.cards.find_undoable(visit, since=review.started_at),
        )
        return {"html": html, "say": piece.say, "focus": piece.focus}


def _address(review: FiveMinuteReview) -> str:
    return f"/review?run={review.id}"
