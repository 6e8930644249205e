"""The view of a card: front, then back with four outcomes; and what an event on it appends to the log."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from flashcards.decks.note import Card
from flashcards.decks.pictures import render_picture
from flashcards.decks.typed_answers import compare_typed, render_back
from flashcards.review.card_status import FLAG_NAMES
from flashcards.review.fit_scheduler import Fitting
from flashcards.review.operations import Reviews, ShownCard, build_gone_error
from flashcards.review.session import CardFilter, CardSession
from flashcards.review.snapshot import CardSnapshot
from study.base import units
from study.base.errors import LearnerError
from study.content.concepts import ConceptMap
from study.figures.figure import FigureAbout, render_no_figure
from study.learner.progress import compute_typical_seconds, count_recalled
from study.ports.context import Visit
from study.ports.review import Ending, Fragment, Missed, Steps
from study.ports.today import CardsDue
from study.store.logs.cards import FORGOTTEN, CardReview, build_rated_elsewhere_error
from study.store.logs.five_minute_reviews import FiveMinuteReview
from study.text.markup import to_html, to_plain
from study.text.templates import render
from study.web import form_event

SECONDS_UNTIL_KNOWN = 20.0  # per card, until this learner has rated five
SECONDS_AT_LEAST = 6.0  # a run of known cards is fast, but the next one may need thought
TYPED_LIMIT = 1000


def read_shown(event: Mapping[str, Any]) -> ShownCard:
    """Parse the state of the card that the pressed button sent."""
    typed = (
        form_event.read_field(event, "typed", limit=TYPED_LIMIT) or str(event.get("typed", ""))[:TYPED_LIMIT]
    )
    return ShownCard(
        card_id=form_event.read_text(event, "card"),
        expected_review_id=form_event.read_whole(event, "review"),
        shown_at=form_event.read_moment(event, "shown"),
        flipped_at=form_event.read_moment(event, "flipped") if event.get("flipped") else None,
        typed=typed,
    )


def show_question(snapshot: CardSnapshot, card_id: str) -> ShownCard:
    """Return the state of a card that is shown now, its question first."""
    _, review_id = snapshot.find_memory(card_id)
    return ShownCard(card_id=card_id, expected_review_id=review_id, shown_at=snapshot.now)


@dataclass(frozen=True, kw_only=True)
class CardExercise:
    """The card exercise (show, rate, undo) on which the Cards page and the five-minute review are built."""

    reviews: Reviews
    concepts: ConceptMap
    fitting: Fitting
    figure_about: FigureAbout = render_no_figure
    label: str = "cards"

    @property
    def subjects(self) -> Mapping[str, tuple[str, ...]]:
        return self.reviews.decks.concepts_of

    def count_due(self, visit: Visit) -> CardsDue:
        return self.reviews.count_due(visit.profile.id, now=visit.now)

    def read_snapshot(self, visit: Visit) -> CardSnapshot:
        return self.reviews.read_snapshot(visit.profile.id, now=visit.now)

    def render_front(
        self, snapshot: CardSnapshot, card: Card, *, look: ShownCard | None = None, below: str = ""
    ) -> Fragment:
        """Render the question. Its HTML lacks the answer, so neither search nor a screen reader finds it.

        `below` replaces the button to flip.
        """
        look = look or show_question(snapshot, card.id)
        html = render(
            "flashcards/cards/front.html", **self._build_shared_values(snapshot, card, look), below=below
        )
        focus = "#typed" if card.typed else "#flip"
        return Fragment(html=html, say=f"Question: {to_plain(card.front)}", focus=focus)

    def back(
        self, visit: Visit, snapshot: CardSnapshot, look: ShownCard, *, cram: bool = False, below: str = ""
    ) -> Fragment:
        """Render the answer with each rating's outcome from this moment; `below` replaces the outcomes."""
        card = self.require_card(snapshot, look)
        flipped_at = look.flipped_at or snapshot.now
        look = replace(look, flipped_at=flipped_at)
        latest = snapshot.latest.get(card.id)
        outcomes = self.reviews.compute_outcomes(visit.profile.id, card.id, latest, at=flipped_at)
        html = render(
            "flashcards/cards/back.html",
            **self._build_shared_values(snapshot, card, look),
            back=render_back(card),
            compared=compare_typed(card, look.typed) if card.typed else None,
            concepts=self.concepts,
            figure=self.figure_about(card.concepts),
            outcomes=[(o.rating, o.name, format_interval(o.interval)) for o in outcomes],
            cram=cram,
            below=below,
        )
        return Fragment(html=html, say=f"Answer: {to_plain(render_back(card))}", focus="#answer")

    def require_card(self, snapshot: CardSnapshot, look: ShownCard) -> Card:
        """Return the card of an event. Raises StaleError when another window has rated it since."""
        card = snapshot.decks.by_id.get(look.card_id)
        if card is None:
            raise build_gone_error()
        if snapshot.find_memory(card.id)[1] != look.expected_review_id:
            raise build_rated_elsewhere_error()
        return card

    def rate(self, visit: Visit, event: Mapping[str, Any]) -> str:
        """Record a rating and return a sentence on its outcome."""
        shown, rating = read_shown(event), form_event.read_whole(event, "rating")
        outcome = self.reviews.rate(visit.profile.id, shown, rating=rating, now=visit.now)
        self.fitting.consider(visit.profile.id)
        return f"{outcome.name}: back in {format_interval(outcome.interval)}."

    def undo(self, visit: Visit, event: Mapping[str, Any]) -> str:
        """Undo the last operation and return a sentence on it."""
        self.reviews.undo(visit.profile.id, expected_id=form_event.read_whole(event, "verb"), now=visit.now)
        return "Undone. The card is as it was."

    def ask_for(self, visit: Visit, concepts: tuple[str, ...], *, because: str) -> int:
        """Make cards about a missed question due; return how many."""
        asked = self.reviews.request_about(visit.profile.id, concepts, because=because, now=visit.now)
        return len(asked)

    def find_undoable(self, visit: Visit, *, since: datetime | None = None, cram: str = "") -> int | None:
        """Return the id of the operation undo reverts: today's last; in a review or cram, its last answer."""
        last = self.reviews.find_undoable(visit.profile.id, now=visit.now, since=since)
        if last is None or (since and last.name != "rate"):
            return None
        return None if cram and not (last.name == "cram" and last.value["run"] == cram) else last.id

    def read_session(self, visit: Visit, concept: str = "") -> CardSession:
        """Read the learner's session over all cards, or over those about one concept."""
        return self.read_snapshot(visit).compute_session(wanted=CardFilter(concept=concept))

    def estimate_seconds_each(self, visit: Visit) -> float:
        durations = self.reviews.store.cards.read_last_durations_ms(visit.profile.id)
        pace = compute_typical_seconds(durations, until_known=SECONDS_UNTIL_KNOWN)
        return max(pace, SECONDS_AT_LEAST)

    def _build_shared_values(self, snapshot: CardSnapshot, card: Card, look: ShownCard) -> dict[str, Any]:
        """Build the template values that both sides of a card share."""
        return {
            "card": card,
            "look": look,
            "title": self.reviews.decks.titles.get(card.deck, card.deck),
            "picture": render_picture(card.picture) if card.picture else "",
            "flag": FLAG_NAMES[flag] if (flag := snapshot.status.flags.get(card.id)) else "",
        }

    # ---- activity of the five-minute review ----

    def count_planned(self, visit: Visit, *, seconds: float, concept: str = "") -> int:
        """Return how many ratings fit into this time; at least one, if a card waits."""
        fits = max(1, round(seconds / self.estimate_seconds_each(visit)))
        return min(self.read_session(visit, concept).counts.left, fits)

    def count_steps(self, visit: Visit, review: FiveMinuteReview) -> Steps:
        """Count the ratings since the review began; it is done early when no card is left."""
        done = len(self._read_reviews(visit, review))
        return Steps(
            done=done,
            total=review.cards if self.read_session(visit, review.concept).card else min(done, review.cards),
        )

    def show(self, visit: Visit, review: FiveMinuteReview) -> Fragment:
        snapshot = self.read_snapshot(visit)
        card = snapshot.compute_session(wanted=CardFilter(concept=review.concept)).card
        if card is None:
            raise LearnerError("No card is waiting now.", do_next="Reload the page to go on.")
        return self.render_front(snapshot, card)

    def act(self, event: dict[str, Any], visit: Visit, review: FiveMinuteReview) -> Fragment | None:
        match event.get("act"):
            case "flip":
                return self.back(visit, self.read_snapshot(visit), read_shown(event))
            case "rate":
                self.rate(visit, event)
            case "undo":
                self.undo(visit, event)
        return None

    def describe_ending(self, visit: Visit, review: FiveMinuteReview) -> Ending:
        reviews, snapshot = self._read_reviews(visit, review), self.read_snapshot(visit)
        remembered, asked = count_recalled(reviews)
        cards = {rated.card_id for rated in reviews}
        unknown = count_unknown(reviews)
        parts = [
            f"{len(cards)} {'card' if len(cards) == 1 else 'cards'} rated",
            f"{remembered} of {asked} {'repeat' if asked == 1 else 'repeats'} recalled" if asked else "",
            f"{unknown} new {'one' if unknown == 1 else 'ones'} not known at first sight" if unknown else "",
        ]
        return Ending(
            summary=f"{', '.join(part for part in parts if part)}.",
            missed=list_missed_cards(snapshot, reviews),
            next_due=_describe_next_due(snapshot),
        )

    def _read_reviews(self, visit: Visit, review: FiveMinuteReview) -> list[CardReview]:
        """Read the ratings of a review: more may follow on the Cards page in between."""
        return self.reviews.store.cards.history(visit.profile.id, since=review.started_at)[: review.cards]


def count_unknown(reviews: Iterable[CardReview]) -> int:
    """Count the new cards that were not known at first sight: missed, but no repeats that failed."""
    return sum(review.new and review.rating == FORGOTTEN for review in reviews)


def list_missed_cards(snapshot: CardSnapshot, reviews: Iterable[CardReview]) -> tuple[Missed, ...]:
    """Return each card with a rating of Again among these reviews, in their order, and when it comes back.

    A card that was recalled later in the same session counts as missed too.
    """
    forgotten = dict.fromkeys(review.card_id for review in reviews if review.rating == FORGOTTEN)
    cards = [snapshot.decks.by_id[card_id] for card_id in forgotten if card_id in snapshot.decks.by_id]
    due_dates = snapshot.list_due_dates()
    return tuple(
        Missed(
            name=to_html(card.front),
            returns=_describe_return(snapshot, due_dates.get(card.id)),
            concepts=card.concepts,
        )
        for card in cards
    )


def _describe_return(snapshot: CardSnapshot, due: datetime | None) -> str:
    if due is None:
        return "suspended"
    return "due now" if due <= snapshot.now else f"comes back {format_return(snapshot, due)}"


def _describe_next_due(snapshot: CardSnapshot) -> str:
    """Say how many cards can be reviewed now; if none can, when the next one comes back."""
    waiting = snapshot.compute_session().counts.left
    if waiting:
        return f"{waiting} more {'card' if waiting == 1 else 'cards'} can be reviewed now."
    later = [due for due in snapshot.list_due_dates().values() if due > snapshot.now]
    return f"The next card comes back {format_return(snapshot, min(later))}." if later else ""


def format_return(snapshot: CardSnapshot, due: datetime) -> str:
    """Format when a card comes back later: `in 10 min`, `tomorrow`, `in 8 days`."""
    days = snapshot.preferences.days.count_between(snapshot.now, due)
    if days <= 0:
        return f"in {format_interval(due - snapshot.now)}"
    return "tomorrow" if days == 1 else f"in {days} days"


def format_interval(interval: timedelta) -> str:
    """Format an interval as a button shows it: `1 min`, `6 min`, `8 d`."""
    return units.as_duration(interval.total_seconds())
