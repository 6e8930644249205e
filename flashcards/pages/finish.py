"""The last screen of a session: what was learned, what was missed, when it comes back, what to do next."""

from typing import Any

from flashcards.review.presenter import count_unknown, format_return, list_missed_cards
from flashcards.review.session import CardSession
from flashcards.review.session_time import sum_session_seconds
from flashcards.review.snapshot import CardSnapshot
from flashcards.review.urls import MORE_NEW, CardChoice, build_url
from study.learner.progress import count_recalled, find_most_frequent


def finish_values(
    snapshot: CardSnapshot, session: CardSession, choice: CardChoice, *, time_up: bool
) -> dict[str, Any]:
    """Return the values of `finish.html` that follow from the log."""
    by_id, today = snapshot.decks.by_id, snapshot.today
    matching = [card for card in snapshot.decks.cards if choice.wanted.matches(card)]
    hidden, seen = snapshot.log.hidden, snapshot.log.memories
    unseen = [card for card in matching if card.id not in seen and card.id not in hidden]
    due_dates = snapshot.list_due_dates()  # postponed and buried ones included
    later = [due for card in matching if (due := due_dates.get(card.id)) and due > snapshot.now]
    rated = {review.card_id for review in today if review.card_id in by_id}
    missed = list_missed_cards(snapshot, today)
    remembered, asked = count_recalled(today)
    new, reviewed = sum(review.new for review in today), snapshot.log.reviews_today
    beyond = max(0, session.waiting - session.counts.review) if not time_up else 0
    minutes = snapshot.preferences.session_minutes or 10
    spent = int(sum_session_seconds(today, now=snapshot.now) / 60)
    return {
        "matching": matching,
        "rated": len({review.card_id for review in today}),
        "ratings": len(today),
        "new": new,
        "remembered": remembered,
        "asked": asked,
        "unknown": count_unknown(today),
        "learnt": sorted({concept for card_id in rated for concept in by_id[card_id].concepts}),
        "missed": missed,
        "weakest": find_most_frequent(each.concepts for each in missed),
        "next_due": format_return(snapshot, min(later)) if later else "",
        "time_up": time_up,
        "minutes": choice.extra.minutes or minutes,
        "more_minutes": minutes,
        "later": session.counts.left,
        "go_on": build_url(choice.filters, minutes=str(spent + minutes)),
        "beyond": beyond,
        "go_beyond": build_url(choice.filters, reviews=str(reviewed + session.waiting)),
        "back": build_url(choice.filters),
        "more": build_url(choice.filters, new=str(new + MORE_NEW)) if unseen else "",
        "more_new": min(MORE_NEW, len(unseen)),
    }
