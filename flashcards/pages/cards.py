"""The Cards page: flip, rate, undo, edit, flag, bury, suspend, cram. It renders what the engines decide."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from markupsafe import Markup

from flashcards.pages.editing import edit_form, save_edit
from flashcards.pages.finish import finish_values
from flashcards.pages.writing import ADDRESS
from flashcards.review.card_status import FLAG_NAMES
from flashcards.review.cram import Cram
from flashcards.review.operations import ShownCard
from flashcards.review.presenter import CardExercise, read_shown, show_question
from flashcards.review.session import CardSession
from flashcards.review.snapshot import CardSnapshot
from flashcards.review.urls import HOWS, CardChoice, build_mode_query, build_url, read_choice
from flashcards.scheduling.backlog import LONGEST_DAYS
from study.base.errors import StaleError
from study.base.html import NO_HTML
from study.content.yaml_reader import LEVELS
from study.ports.context import Context, Visit
from study.ports.review import Fragment
from study.store.logs.cards import FORGOTTEN
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply


@dataclass(frozen=True, kw_only=True)
class CardsPage:
    """The event handlers of the Cards page. Each request reads the learner's state from the log."""

    place = frame.IslandPlace(elem_id="cards", title="Cards", path="/cards")

    context: Context
    exercise: CardExercise

    def load(self, request: gr.Request) -> Markup:
        return self._show_next(frame.open_visit(self.context, request)).get("html", NO_HTML)

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        visit = frame.open_visit(self.context, request, event)
        try:
            return self._handle_event(visit, event)
        except StaleError as stale:
            if event.get("act") in ("save-edit", "revert"):
                raise  # what was typed stays on the page
            return {**self._show_next(visit), "error": str(stale)}

    def _handle_event(self, visit: Visit, event: dict[str, Any]) -> Reply:
        match event.get("act"):
            case "flip" | "look" | "flags" | "edit":
                return self._look(visit, event)
            case "rate":
                return self._rate(visit, event)
            case "undo":
                return self._show_next(visit, said=self.exercise.undo(visit, event))
            case "cram" | "bury" | "suspend" | "resume":
                return self._show_next(visit, said=self._set_aside(visit, event))
            case "flag":
                said = self._flag(visit, event)
                return self._look(visit, {**event, "act": "look"}, said=said)
            case "save-edit" | "revert":
                said = save_edit(self.exercise, visit, event)
                return self._look(visit, {**event, "act": "look"}, said=said)
            case "spread":
                return self._show_next(visit, said=self._spread(visit, event))
            case "filter" | "search":
                return self._leave(visit, event)
            case "poll":  # the last page of a session, left open overnight
                is_today = form_event.read_text(event, "day") == visit.today.isoformat()
                return {} if is_today else self._show_next(visit)
        raise form_event.build_unknown_act_error(event)

    # ---- events ----

    def _look(self, visit: Visit, event: Mapping[str, Any], *, said: str = "") -> Reply:
        """Render the same card again: its other side, or with flags or the edit form below it."""
        snapshot, look, act = self.exercise.read_snapshot(visit), read_shown(event), event.get("act")
        card = snapshot.decks.by_id.get(look.card_id)
        if card is None or (act == "look" and look.card_id in snapshot.log.hidden):
            return self._show_next(visit, said=said)  # an edit removed its gap, or it was hidden
        below, focus = "", ""
        if act == "flags":
            chosen = snapshot.status.flags.get(card.id, "")
            below = render("flashcards/cards/flags.html", flags=FLAG_NAMES, chosen=chosen, look=look)
            focus = "#flags"
        if act == "edit":
            below, focus = edit_form(snapshot, card.id, carried=render_carried(look)), "#edit textarea"
        cram = bool(read_choice(visit.query).cram)
        if act == "flip" or look.flipped_at:
            fragment = self.exercise.back(visit, snapshot, look, cram=cram, below=below)
            look = replace(look, flipped_at=look.flipped_at or snapshot.now)
        else:
            self.exercise.require_card(snapshot, look)
            fragment = self.exercise.render_front(snapshot, card, look=look, below=below)
        shown = Fragment(
            html=fragment.html, say=fragment.say if not below else "", focus=focus or fragment.focus
        )
        return self._show(visit, snapshot, shown, look=None if below else look, said=said)

    def _rate(self, visit: Visit, event: Mapping[str, Any]) -> Reply:
        said = self.exercise.rate(visit, event)
        card_id = form_event.read_text(event, "card")
        forgot = event.get("rating") == str(FORGOTTEN)
        lapses = self.exercise.reviews.count_lapses(visit.profile.id, card_id) if forgot else 0
        if not lapses:
            return self._show_next(visit, said=said)
        snapshot = self.exercise.read_snapshot(visit)
        carried = render_carried(show_question(snapshot, card_id))
        card = snapshot.decks.by_id[card_id]
        notice = render("flashcards/cards/leech.html", card=card, lapses=lapses, carried=carried)
        return self._show_next(visit, said="Set aside: you forgot this card often.", notice=notice)

    def _set_aside(self, visit: Visit, event: Mapping[str, Any]) -> str:
        reviews, profile_id = self.exercise.reviews, visit.profile.id
        card_id = form_event.read_text(event, "card")
        match event.get("act"):
            case "bury":
                reviews.bury(profile_id, card_id, now=visit.now)
                return "Buried until tomorrow."
            case "suspend":
                reviews.suspend(profile_id, card_id, now=visit.now)
                return "Suspended. Bring it back under Browse."
            case "resume":
                reviews.resume(profile_id, card_id, now=visit.now)
                return "Brought back."
        known = event.get("known") == "yes"
        reviews.answer_cram(
            profile_id,
            read_choice(visit.query).cram,
            card_id,
            known=known,
            shown_at=form_event.read_moment(event, "shown"),
            now=visit.now,
        )
        return "Known." if known else "It comes again."

    def _flag(self, visit: Visit, event: Mapping[str, Any]) -> str:
        card_id, flag = form_event.read_text(event, "card"), form_event.read_text(event, "flag")
        self.exercise.reviews.flag(visit.profile.id, card_id, flag, now=visit.now)
        name = next((name for each, name in FLAG_NAMES.items() if each == flag), "")
        return f"Flagged: {name}." if name else "Flag taken off."

    def _spread(self, visit: Visit, event: Mapping[str, Any]) -> str:
        written = form_event.read_field(event, "days")
        days = form_event.read_number(written, default=2, low=2, high=LONGEST_DAYS)
        wanted = read_choice(visit.query).wanted
        moved = self.exercise.reviews.spread(visit.profile.id, over_days=days, now=visit.now, wanted=wanted)
        return f"{moved} {'review' if moved == 1 else 'reviews'} spread over {days} days."

    def _leave(self, visit: Visit, event: Mapping[str, Any]) -> Reply:
        if event.get("act") == "search":
            return {"goto": f"/browse?{urlencode({'words': form_event.read_field(event, 'words')})}"}
        chosen = {name: form_event.read_field(event, name) for name in ("deck", "level", "tag", "concept")}
        new_today = self.exercise.read_snapshot(visit).log.new_today
        how = build_mode_query(form_event.read_field(event, "how"), new_today=new_today, now=visit.now)
        return {"goto": build_url(chosen, **how)}

    # ---- rendering ----

    def _show_next(self, visit: Visit, *, said: str = "", notice: str = "") -> Reply:
        snapshot, choice = self.exercise.read_snapshot(visit), read_choice(visit.query)
        session = snapshot.compute_session(wanted=choice.wanted, extra=choice.extra)
        cram = self._cram(visit, choice)
        card = cram.card if cram else session.card
        minutes_left = snapshot.compute_minutes_left(choice.extra)
        time_up = cram is None and minutes_left is not None and minutes_left <= 0
        if card is None or time_up:
            return self._finish(visit, snapshot, session, cram, said=said, notice=notice, time_up=time_up)
        if not notice and not cram:
            notice = self._offer(visit, snapshot, choice)
        fragment = self.exercise.render_front(snapshot, card)
        look = show_question(snapshot, card.id)
        return self._show(visit, snapshot, fragment, look=look, said=said, notice=notice, session=session)

    def _show(
        self,
        visit: Visit,
        snapshot: CardSnapshot,
        fragment: Fragment,
        *,
        look: ShownCard | None,
        said: str = "",
        notice: str = "",
        session: CardSession | None = None,
    ) -> Reply:
        choice = read_choice(visit.query)
        session = session or snapshot.compute_session(wanted=choice.wanted, extra=choice.extra)
        cram = self._cram(visit, choice)
        html = render(
            "flashcards/cards/cards.html",
            fragment=fragment.html,
            look=look,
            cram=cram,
            notice=notice,
            **(_cram_figures(cram) if cram else self._count_cards(visit, session)),
            **self.build_footer(visit, session, choice),
        )
        return {"html": html, "say": f"{said} {fragment.say}".strip(), "focus": fragment.focus}

    def _count_cards(self, visit: Visit, session: CardSession) -> dict[str, Any]:
        """Count in cards, for the bar as for the words: a card in its learning steps is not done."""
        minutes = max(1, round(session.answers_left * self.exercise.estimate_seconds_each(visit) / 60))
        counts = session.counts
        missed = f", {counts.unseen} about what you missed" if counts.unseen else ""
        to_review = counts.review - counts.unseen
        learning = f", {counts.learning} in learning" if counts.learning else ""
        return {
            "figures": f"{session.done} of {session.total} done{learning} · about {minutes} min left",
            "done": session.done,
            "total": session.total,
            "meter": f"{session.done} of {session.total} cards done today",
            "left": f"Left: {counts.new} new, {counts.learning} learning, {to_review} to review{missed}",
        }

    def build_footer(self, visit: Visit, session: CardSession, choice: CardChoice) -> dict[str, Any]:
        """Return the template values of the footer, which every view of this page has."""
        decks, chosen = self.exercise.reviews.decks, choice.wanted
        parts = [
            decks.titles.get(chosen.deck, ""),
            chosen.level,
            chosen.tag,
            self.context.concepts.name(chosen.concept) if chosen.concept else "",
            f"{chosen.ids.count(',') + 1} chosen cards" if chosen.ids else "",
        ]
        return {
            "undo": self.exercise.find_undoable(visit, cram=choice.cram),
            "may_write": visit.is_owner,
            "write": ADDRESS,
            "filters": {
                "chosen": chosen,
                "summary": ", ".join(part for part in parts if part),
                "decks": decks.titles,
                "levels": LEVELS,
                "concepts": self.context.concepts.by_id.values(),
                "hows": HOWS,
                "waiting": session.waiting if session.waiting > 1 else 0,
            },
        }

    def _offer(self, visit: Visit, snapshot: CardSnapshot, choice: CardChoice) -> Markup:
        """Render the offer to spread a backlog, before the day's first review."""
        if snapshot.log.reviews_today:
            return NO_HTML
        pace = self.exercise.estimate_seconds_each(visit)
        backlog = snapshot.count_backlog(choice.wanted, seconds_each=pace, extra=choice.extra)
        if not backlog.is_too_much:
            return NO_HTML
        return render("flashcards/cards/backlog.html", backlog=backlog)

    def _cram(self, visit: Visit, choice: CardChoice) -> Cram | None:
        if not choice.cram:
            return None
        reviews = self.exercise.reviews
        return reviews.cram(visit.profile.id, choice.cram, now=visit.now, wanted=choice.wanted)

    def _finish(
        self,
        visit: Visit,
        snapshot: CardSnapshot,
        session: CardSession,
        cram: Cram | None,
        *,
        said: str,
        notice: str,
        time_up: bool,
    ) -> Reply:
        choice = read_choice(visit.query)
        html = render(
            "flashcards/cards/finish.html",
            day=visit.today.isoformat(),
            cram=cram,
            notice=notice,
            concepts=self.context.concepts,
            left="",
            **finish_values(snapshot, session, choice, time_up=time_up),
            **self.build_footer(visit, session, choice),
        )
        last = "The time for this session is up." if time_up else "No card is waiting."
        return {"html": html, "say": f"{said} {last}".strip(), "focus": "#main"}


def render_carried(look: ShownCard) -> Markup:
    """Render the attributes that every button on a card sends back."""
    return render("flashcards/cards/carried.html", look=look)


def _cram_figures(cram: Cram) -> dict[str, Any]:
    return {
        "figures": f"{cram.known} of {cram.total} known",
        "done": cram.known,
        "total": cram.total,
        "meter": f"{cram.known} of {cram.total} cards known",
        "left": f"{cram.tries} {'answer' if cram.tries == 1 else 'answers'} in this cram",
    }
