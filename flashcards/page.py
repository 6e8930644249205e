"""The Cards page: flip, rate, undo, filter. It draws what `exercise` and `reviews` decide."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from flashcards.exercise import CardExercise, in_words
from flashcards.session import CardFilter, Session
from study import events, frame
from study.content import LEVELS
from study.context import Context, Visit
from study.days import study_day
from study.errors import LearnerError, StaleError
from study.frame import Reply
from study.progress import recalled
from study.stations import Piece
from study.templates import render

MORE_NEW = 5
FILTERS = ("deck", "level", "tag", "concept")


def build(app: gr.Blocks, context: Context, exercise: CardExercise) -> None:
    """Add the page to the app."""
    page = CardsPage(context=context, exercise=exercise)
    with frame.page(app, context, title="Cards", path="/cards"):
        frame.island(page.act, page.load, "cards", waiting=frame.waiting("Cards"))


@dataclass(frozen=True, kw_only=True)
class CardsPage:
    """Handlers of the Cards page. Where a learner stands is read from the log each time."""

    context: Context
    exercise: CardExercise

    def load(self, request: gr.Request) -> str:
        """The card that comes next."""
        return self._next(frame.visit_of(self.context, request)).get("html", "")

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """One press."""
        visit = frame.visit_of(self.context, request, event)
        try:
            return self._press(visit, event)
        except StaleError as stale:
            return {**self._next(visit), "error": str(stale)}

    def _press(self, visit: Visit, event: dict[str, Any]) -> Reply:
        match event.get("act"):
            case "flip":
                piece = self.exercise.back(visit, event)
                return self._show(visit, piece, self._session(visit))
            case "rate":
                return self._next(visit, said=self.exercise.rate(visit, event))
            case "undo":
                return self._next(visit, said=self.exercise.undo(visit, event))
            case "filter":
                return self._filter(visit, event)
        raise LearnerError(f"This page has no {event.get('act')!r}.", do_next="Reload the page.")

    def _filter(self, visit: Visit, event: Mapping[str, Any]) -> Reply:
        chosen = {name: events.field(event, name) for name in FILTERS}
        return {"goto": _address(chosen)}

    def _next(self, visit: Visit, *, said: str = "") -> Reply:
        session = self._session(visit)
        if session.card is None:
            html = self._finish(visit, session)
            return {"html": html, "say": f"{said} No card is waiting.".strip(), "focus": "#main"}
        piece = self.exercise.front(visit, session.card)
        return self._show(visit, piece, session, said=said)

    def _show(self, visit: Visit, piece: Piece, session: Session, *, said: str = "") -> Reply:
        minutes = session.counts.left * self.exercise.seconds_each(visit) / 60
        html = render(
            "flashcards/cards.html",
            piece=piece.html,
            session=session,
            minutes=max(1, round(minutes)),
            undo=self.exercise.undoable(visit),
            filters=self._filters(visit),
        )
        return {"html": html, "say": f"{said} {piece.say}".strip(), "focus": piece.focus}

    def _session(self, visit: Visit) -> Session:
        return self.exercise.reviews.session(
            visit.profile.id,
            now=visit.now,
            wanted=_filter_of(visit.query),
            new_cards=_new_cards(visit),
        )

    def _finish(self, visit: Visit, session: Session) -> str:
        reviews = self.exercise.reviews
        today = reviews.today(visit.profile.id, now=visit.now)
        decks = reviews.decks
        matching = [card for card in decks.cards if _filter_of(visit.query).matches(card)]
        seen = reviews.log(visit.profile.id, now=visit.now).memories
        unseen = [card for card in matching if card.id not in seen]
        last = {review.card_id: review.rating for review in today if review.card_id in decks.by_id}
        learnt = {concept for card_id in last for concept in decks.by_id[card_id].concepts}
        remembered, asked = recalled(today)
        new = sum(review.new for review in today)
        return render(
            "flashcards/finish.html",
            matching=matching,
            rated=len({review.card_id for review in today}),
            new=new,
            remembered=remembered,
            asked=asked,
            learnt=sorted(learnt),
            shaky=[decks.by_id[card_id] for card_id, rating in last.items() if rating == 1],
            concepts=self.context.concepts,
            next_due=self._when(visit, session),
            more=_address({**_chosen(visit.query), "new": str(new + MORE_NEW)}) if unseen else "",
            more_new=min(MORE_NEW, len(unseen)),
            undo=self.exercise.undoable(visit),
            filters=self._filters(visit),
        )

    def _when(self, visit: Visit, session: Session) -> str:
        if session.next_due is None:
            return ""
        days = (study_day(session.next_due) - study_day(visit.now)).days
        if days <= 0:
            return f"in {in_words(session.next_due - visit.now)}"
        return "tomorrow" if days == 1 else f"in {days} days"

    def _filters(self, visit: Visit) -> dict[str, Any]:
        chosen = _filter_of(visit.query)
        decks = self.exercise.reviews.decks
        parts = [
            decks.titles.get(chosen.deck, ""),
            chosen.level,
            chosen.tag,
            self.context.concepts.name(chosen.concept) if chosen.concept else "",
        ]
        return {
            "chosen": chosen,
            "summary": ", ".join(part for part in parts if part),
            "decks": decks.titles,
            "levels": LEVELS,
        }


def _filter_of(query: Mapping[str, str]) -> CardFilter:
    return CardFilter(**_chosen(query))


def _chosen(query: Mapping[str, str]) -> dict[str, str]:
    return {name: query[name][:120] for name in FILTERS if query.get(name)}


def _new_cards(visit: Visit) -> int | None:
    """How many new cards this address lets in today; the learner's own limit if it does not say."""
    asked = visit.query.get("new", "")
    return events.number(asked, default=0, low=0, high=500) if asked else None


def _address(chosen: Mapping[str, str]) -> str:
    query = urlencode({name: value for name, value in chosen.items() if value})
    return f"/cards?{query}" if query else "/cards"
