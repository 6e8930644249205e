"""A card as it is shown: front, then back with four outcomes. What a press on it does to the log."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from flashcards.deck import Card, load_decks
from flashcards.fitting import Fitting
from flashcards.reviews import Reviews, Shown
from flashcards.scheduler import preview
from flashcards.session import Session
from study import events, units
from study.agenda import CardsDue
from study.concepts import ConceptMap
from study.context import Context, Visit
from study.errors import LearnerError, StaleError
from study.markup import to_plain
from study.progress import recalled, typical_seconds
from study.stations import Piece, Steps
from study.store.cards import CardReview
from study.store.runs import ReviewRun
from study.templates import render

SECONDS_UNTIL_KNOWN = 20.0  # a card, before this learner has rated five
SECONDS_AT_LEAST = 6.0  # a run of known cards is fast, but the next one may need thought


@dataclass(frozen=True, kw_only=True)
class CardExercise:
    """Shows cards and takes their ratings; the Cards page and the five-minute review are built on it."""

    reviews: Reviews
    concepts: ConceptMap
    fitting: Fitting
    label: str = "cards"

    @property
    def subjects(self) -> Mapping[str, tuple[str, ...]]:
        """Which concepts each card is about."""
        return self.reviews.decks.concepts_of

    def due(self, visit: Visit) -> CardsDue:
        """What waits for the learner."""
        return self.reviews.due(visit.profile.id, now=visit.now)

    def front(self, visit: Visit, card: Card) -> Piece:
        """The question. The answer is nowhere in this HTML: neither a search nor a screen reader finds it."""
        _, review_id = self.reviews.memory(visit.profile.id, card.id)
        html = render(
            "flashcards/front.html",
            card=card,
            title=self.reviews.decks.titles[card.deck],
            review_id=review_id,
            shown_at=visit.now.isoformat(),
        )
        return Piece(html=Markup(html), say=f"Question: {to_plain(card.front)}", focus="#flip")

    def back(self, visit: Visit, event: Mapping[str, Any]) -> Piece:
        """The answer, with what each rating would do from this moment."""
        card = self.reviews.decks.by_id.get(events.text(event, "card"))
        if card is None:
            raise LearnerError("That card is not in the decks any more.", do_next="Reload the page.")
        memory, review_id = self.reviews.memory(visit.profile.id, card.id)
        if review_id != events.whole(event, "review"):
            raise StaleError(
                "That card was rated in another window already.", do_next="Here is the next one."
            )
        scheduling = self.reviews.scheduling(visit.profile.id)
        outcomes = preview(memory, now=visit.now, scheduling=scheduling)
        html = render(
            "flashcards/back.html",
            card=card,
            title=self.reviews.decks.titles[card.deck],
            concepts=self.concepts,
            review_id=review_id,
            shown_at=events.moment(event, "shown").isoformat(),
            flipped_at=visit.now.isoformat(),
            outcomes=[(o.rating, o.name, in_words(o.interval)) for o in outcomes],
        )
        return Piece(html=Markup(html), say=f"Answer: {to_plain(card.back)}", focus="#answer")

    def rate(self, visit: Visit, event: Mapping[str, Any]) -> str:
        """Store a rating and say what it did."""
        shown = Shown(
            card_id=events.text(event, "card"),
            expected_review_id=events.whole(event, "review"),
            shown_at=events.moment(event, "shown"),
            flipped_at=events.moment(event, "flipped"),
        )
        rating = events.whole(event, "rating")
        outcome = self.reviews.rate(visit.profile.id, shown, rating=rating, now=visit.now)
        self.fitting.consider(visit.profile.id)
        return f"{outcome.name}: back in {in_words(outcome.interval)}."

    def undo(self, visit: Visit, event: Mapping[str, Any]) -> str:
        """Take the last rating back and say so."""
        self.reviews.undo(visit.profile.id, expected_review_id=events.whole(event, "review"), now=visit.now)
        return "Undone. The card is as it was."

    def ask_for(self, visit: Visit, concepts: tuple[str, ...], *, because: str) -> int:
        """Make cards about a missed question due; returns how many."""
        asked = self.reviews.request_about(visit.profile.id, concepts, because=because, now=visit.now)
        return len(asked)

    def undoable(self, visit: Visit, *, since: datetime | None = None) -> int | None:
        """The id of the rating that undo would take back: the last one of today, or of a run."""
        today = self.reviews.today(visit.profile.id, now=visit.now)
        recent = [review for review in today if since is None or review.reviewed_at >= since]
        return recent[-1].id if recent else None

    def session(self, visit: Visit) -> Session:
        """Where the learner stands with all cards."""
        return self.reviews.session(visit.profile.id, now=visit.now)

    def seconds_each(self, visit: Visit) -> float:
        """What a card takes this learner."""
        durations = self.reviews.store.cards.last_durations_ms(visit.profile.id)
        pace = typical_seconds(durations, until_known=SECONDS_UNTIL_KNOWN)
        return max(pace, SECONDS_AT_LEAST)

    # ---- as a station of the five-minute review ----

    def planned(self, visit: Visit, *, seconds: float) -> int:
        """How many ratings fit into this time; at least one, if a card waits."""
        fits = max(1, round(seconds / self.seconds_each(visit)))
        return min(self.session(visit).counts.left, fits)

    def steps(self, visit: Visit, run: ReviewRun) -> Steps:
        """Ratings since the run began; done early when no card is left."""
        done = len(self._in_run(visit, run))
        return Steps(done=done, total=run.cards if self.session(visit).card else min(done, run.cards))

    def show(self, visit: Visit, run: ReviewRun) -> Piece:
        """The next card."""
        card = self.session(visit).card
        if card is None:
            raise LearnerError("No card is waiting any more.", do_next="Reload the page to go on.")
        return self.front(visit, card)

    def act(self, event: dict[str, Any], visit: Visit, run: ReviewRun) -> Piece | None:
        """Flip, rate or undo."""
        match event.get("act"):
            case "flip":
                return self.back(visit, event)
            case "rate":
                self.rate(visit, event)
            case "undo":
                self.undo(visit, event)
        return None

    def summary(self, visit: Visit, run: ReviewRun) -> str:
        """How the cards of a run went."""
        reviews = self._in_run(visit, run)
        remembered, asked = recalled(reviews)
        rated = f"{len(reviews)} {'card' if len(reviews) == 1 else 'cards'} rated"
        return f"{rated}, {remembered} of {asked} recalled." if asked else f"{rated}."

    def _in_run(self, visit: Visit, run: ReviewRun) -> list[CardReview]:
        return self.reviews.store.cards.history(visit.profile.id, since=run.started_at)


def card_exercise(context: Context) -> CardExercise:
    """The cards of an app: its decks, read and checked, on its store."""
    decks = load_decks(context.concepts)
    reviews = Reviews(store=context.store, decks=decks)
    fitting = Fitting(reviews, clock=context.clock)
    return CardExercise(reviews=reviews, concepts=context.concepts, fitting=fitting)


def in_words(interval: timedelta) -> str:
    """An interval as a button shows it: `1 min`, `6 min`, `8 d`."""
    return units.as_duration(interval.total_seconds())
