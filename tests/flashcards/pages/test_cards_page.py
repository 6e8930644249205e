"""The Cards page as functions: what it shows before and after the flip, and what each press does."""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest

import lora_lab.quantities  # noqa: F401 - a card shows the number it was checked against
from flashcards.pages.cards import CardsPage
from flashcards.review.card_status import LEECH_LAPSES
from flashcards.scheduling.scheduler import preview_outcomes
from study.base.errors import LearnerError
from study.ports.context import Context
from study.text.markup import to_html
from study.web.frame import Reply
from tests.exercises import build_card_exercise
from tests.flashcards.builders import NOW
from tests.visits import build_event, opened, primary, words


@pytest.fixture
def page(context: Context) -> CardsPage:
    return CardsPage(context=context, exercise=build_card_exercise(context))


def flip(page: CardsPage, html: str, browser: str = "b1") -> str:
    return page.act(build_event(html, "flip"), opened(browser))["html"]


def rate(page: CardsPage, html: str, rating: int, browser: str = "b1") -> Reply:
    back = flip(page, html, browser)
    return page.act(build_event(back, "rate", nth=rating - 1), opened(browser))


def test_the_answer_is_not_in_the_page_before_the_flip(page: CardsPage) -> None:
    html = page.load(opened("b1"))
    card = page.exercise.reviews.decks.by_id[build_event(html, "flip")["card"]]
    assert card.front in words(html)
    assert card.back not in words(html)
    assert card.why not in words(html)
    back = flip(page, html)
    assert card.back in words(back)
    assert card.why in words(back)
    assert card.evidence.source in words(back)


def test_the_four_buttons_show_when_the_card_would_come_back(page: CardsPage) -> None:
    html = page.load(opened("b1"))
    easy = preview_outcomes(None, now=NOW, fuzz_seed=f"{build_event(html, 'flip')['card']} 0")[
        3
    ].interval.days
    back = flip(page, html)
    assert f"1 Again 1 min 2 Hard 6 min 3 Good 10 min 4 Easy {easy} d" in words(back)


@pytest.mark.parametrize(("act", "means"), [("bury", "comes back tomorrow"), ("suspend", "under Browse")])
def test_setting_a_card_aside_is_described(page: CardsPage, act: str, means: str) -> None:
    html = page.load(opened("b1"))
    [described_by] = re.findall(rf'data-act="{act}"[^>]* aria-describedby="([^"]+)"', html)
    [_, description] = re.split(rf'id="{described_by}"', html)
    assert means in words(f"<span{description}").split(". ")[0]


def test_a_rating_is_stored_before_the_next_card_shows(page: CardsPage) -> None:
    first = page.load(opened("b1"))
    reply = rate(page, first, 3)
    [profile] = page.context.store.profiles.all()
    [review] = page.context.store.cards.history(profile.id)
    assert review.card_id == build_event(first, "flip")["card"]
    assert build_event(reply["html"], "flip")["card"] != review.card_id
    assert reply["say"].startswith("Good: back in 10 min. Question: ")
    assert reply["focus"] == "#flip"


def test_an_edit_with_a_formula_that_can_not_be_read_is_refused_and_nothing_is_lost(page: CardsPage) -> None:
    html = page.load(opened("b1"))
    edited = page.act(build_event(html, "edit"), opened("b1"))["html"]
    fields = {"front": [r"a $\left($ b"], "back": ["fine"], "why": ["so"]}
    with pytest.raises(LearnerError, match="at character 3 can't be shown"):
        page.act(build_event(edited, "save-edit", fields=fields), opened("b1"))
    assert words(page.load(opened("b1"))) == words(html)


def test_a_stored_card_with_a_formula_that_can_not_be_read_shows_its_source(context: Context) -> None:
    folder = context.settings.decks_dir
    folder.mkdir()
    (folder / "old.yaml").write_text("deck: Old\ncards:\n  - {id: old, front: 'a $\\left($ b', back: c}\n")
    page = CardsPage(context=context, exercise=build_card_exercise(context))
    visitor = opened("b1", "deck=old")
    assert r"a $\left($ b" in words(page.load(visitor))


def test_undo_brings_the_card_back_as_it_was(page: CardsPage) -> None:
    first = page.load(opened("b1"))
    rated = rate(page, first, 4)["html"]
    undone = page.act(build_event(rated, "undo"), opened("b1"))
    assert build_event(undone["html"], "flip") == build_event(first, "flip")
    assert undone["say"].startswith("Undone.")


def test_undo_is_offered_on_the_last_page_and_works_there(page: CardsPage) -> None:
    html = page.load(opened("b1", "new=1"))
    back = page.act(build_event(html, "flip", query="?new=1"), opened("b1"))["html"]
    done = page.act(build_event(back, "rate", nth=3, query="?new=1"), opened("b1"))["html"]
    assert "No card is waiting" in words(done)
    assert "Today you rated 1 card, 1 of them new" in words(done)
    undone = page.act(build_event(done, "undo", query="?new=1"), opened("b1"))
    assert build_event(undone["html"], "flip")["card"] == build_event(html, "flip")["card"]


def test_a_card_rated_twice_is_one_card_on_the_last_page(page: CardsPage) -> None:
    html = page.load(opened("b1", "new=1"))
    for rating in (1, 4):
        back = page.act(build_event(html, "flip", query="?new=1"), opened("b1"))["html"]
        html = page.act(build_event(back, "rate", nth=rating - 1, query="?new=1"), opened("b1"))["html"]
    shown = words(html)
    assert "Today you rated 1 card, 1 of them new, more than once. 1 of 1 repeat remembered." in shown
    assert (
        "At first sight, you did not know 1 of the new ones; the first time you see a card does not" in shown
    )


def test_with_a_filter_the_next_card_is_the_next_of_these(page: CardsPage) -> None:
    address = "new=1&concept=lora-rank"
    html = page.load(opened("b1", address))
    back = page.act(build_event(html, "flip", query=f"?{address}"), opened("b1"))["html"]
    done = page.act(build_event(back, "rate", nth=3, query=f"?{address}"), opened("b1"))["html"]
    assert "No card is waiting with these filters." in words(done)
    assert "The next of these cards comes back in " in words(done)


def test_bar_and_words_count_cards_that_are_done(page: CardsPage) -> None:
    html = page.load(opened("b1", "new=2"))
    assert "0 of 2 done · about" in words(html)
    back = page.act(build_event(html, "flip", query="?new=2"), opened("b1"))["html"]
    html = page.act(build_event(back, "rate", nth=2, query="?new=2"), opened("b1"))["html"]
    assert "0 of 2 done, 1 in learning · about" in words(html)
    assert 'aria-label="0 of 2 cards done today"><span style="width:0.0%">' in html


def test_the_last_page_names_what_was_missed_and_leads_to_its_concept(page: CardsPage) -> None:
    html = page.load(opened("b1", "new=2"))
    missed = page.exercise.reviews.decks.by_id[build_event(html, "flip")["card"]]
    for rating in (1, 4, 4):
        back = page.act(build_event(html, "flip", query="?new=2"), opened("b1"))["html"]
        html = page.act(build_event(back, "rate", nth=rating - 1, query="?new=2"), opened("b1"))["html"]
    shown = words(html)
    assert "No card is waiting" in shown
    days = r"comes back (tomorrow|in \d+ days)"
    assert re.search(rf"Missed {re.escape(words(to_html(missed.front)))} {days}", shown)
    name = page.context.concepts.name(missed.concepts[0])
    assert primary(html) == [f"Read about {name}"]


def test_without_a_miss_the_last_page_leads_to_a_quiz(page: CardsPage) -> None:
    html = page.load(opened("b1", "new=1"))
    back = page.act(build_event(html, "flip", query="?new=1"), opened("b1"))["html"]
    done = page.act(build_event(back, "rate", nth=3, query="?new=1"), opened("b1"))["html"]
    assert "Missed" not in words(done)
    assert primary(done) == ["Take a quiz"]


def test_the_last_page_left_open_overnight_goes_on_with_the_new_days_cards(page: CardsPage) -> None:
    html = page.load(opened("b1", "new=0"))
    assert "No card is waiting" in words(html)
    [day] = re.findall(r'data-poll="60000" data-day="([^"]+)"', html)
    poll = {"act": "poll", "day": day, "query": "?new=0"}
    assert page.act(poll, opened("b1")) == {}
    clock = partial(NOW.__add__, timedelta(days=1))
    tomorrow = replace(page, context=replace(page.context, clock=clock))
    assert "Show the answer" in words(tomorrow.act({**poll, "query": ""}, opened("b1"))["html"])


def test_a_card_rated_in_another_window_gives_the_next_one_and_says_so(page: CardsPage) -> None:
    first = page.load(opened("b1"))
    back = flip(page, first)
    page.act(build_event(back, "rate", nth=2), opened("b1"))
    stale = page.act(build_event(back, "rate", nth=0), opened("b1"))
    assert "already been rated in another window" in stale["error"]
    assert build_event(stale["html"], "flip")["card"] != build_event(first, "flip")["card"]
    flipped_late = page.act(build_event(first, "flip"), opened("b1"))
    assert "another window" in flipped_late["error"]


def test_a_card_whose_deck_was_removed_meanwhile_gives_the_next_one_and_says_so(page: CardsPage) -> None:
    back = flip(page, page.load(opened("b1")))
    reply = page.act(build_event(back, "rate", nth=2, card="of-a-removed-deck"), opened("b1"))
    assert reply["error"].startswith("That card is no longer in the decks. Nothing was changed")
    assert "Show the answer" in words(reply["html"])


def test_an_address_chooses_deck_and_level(page: CardsPage) -> None:
    html = page.load(opened("b1", "deck=qlora&level=advanced"))
    card = page.exercise.reviews.decks.by_id[build_event(html, "flip")["card"]]
    assert (card.deck, card.level) == ("qlora", "advanced")
    assert "QLoRA, advanced" in words(html)


def test_a_choice_without_cards_says_so_and_leads_out(page: CardsPage) -> None:
    html = page.load(opened("b1", "deck=gone"))
    assert "No card matches these filters." in words(html)
    assert 'href="/cards"' in html


def test_choosing_a_deck_changes_the_address(page: CardsPage) -> None:
    chosen = build_event(page.load(opened("b1")), "filter", fields={"deck": ["qlora"], "level": [""]})
    assert page.act(chosen, opened("b1")) == {"goto": "/cards?deck=qlora"}


def test_the_filter_says_how_many_cards_were_chosen_elsewhere(page: CardsPage) -> None:
    shown = words(page.load(opened("b1", "ids=init-values,rank-doubles")))
    assert "2 chosen cards" in shown


def test_a_computed_number_is_shown_where_a_card_was_checked(page: CardsPage) -> None:
    checked = next(card for card in page.exercise.reviews.decks.cards if card.evidence.checks)
    visit_page = page.load(opened("b1", f"concept={checked.concepts[0]}&new=99"))
    event = {**build_event(visit_page, "flip"), "card": checked.id}
    back = page.act(event, opened("b1"))["html"]
    check = checked.evidence.checks[0]
    assert f"{words(to_html(check.formula))}; with {words(to_html(check.given))}" in words(back)
    assert check.call not in words(back)


def test_two_browsers_do_not_share_a_session(page: CardsPage) -> None:
    first = page.load(opened("b1"))
    rate(page, first, 4)
    assert build_event(page.load(opened("b2")), "flip")["card"] == build_event(first, "flip")["card"]


def test_a_browser_without_cookies_is_told_what_to_do(page: CardsPage) -> None:
    with pytest.raises(Exception, match="Allow cookies for this address"):
        page.load(opened(""))


def test_an_unknown_press_is_no_silent_success(page: CardsPage) -> None:
    with pytest.raises(Exception, match="This page doesn't know the action 'explode'"):
        page.act({"act": "explode"}, opened("b1"))


# ---- more than rating ----


def test_bury_suspend_and_flag_are_taken_back_by_the_same_undo(page: CardsPage) -> None:
    first = page.load(opened("b1"))
    card = build_event(first, "flip")["card"]
    chooser = page.act(build_event(first, "flags"), opened("b1"))
    assert chooser["focus"] == "#flags"
    flagged = page.act(build_event(chooser["html"], "flag", nth=1), opened("b1"))
    assert "⚑ May be wrong" in words(flagged["html"])
    buried = page.act(build_event(flagged["html"], "bury"), opened("b1"))["html"]
    suspended = page.act(build_event(buried, "suspend"), opened("b1"))
    assert suspended["say"].startswith("Suspended.")
    html = suspended["html"]
    for expected in (build_event(buried, "flip")["card"], card, card):
        html = page.act(build_event(html, "undo"), opened("b1"))["html"]
        assert build_event(html, "flip")["card"] == expected
    assert "⚑" not in words(html)
    assert 'data-act="undo"' not in html


def test_an_edit_in_the_middle_of_a_review_keeps_the_schedule_and_the_side_shown(page: CardsPage) -> None:
    back = flip(page, page.load(opened("b1")))
    form = page.act(build_event(back, "edit"), opened("b1"))
    assert form["focus"] == "#edit textarea"
    fields = {"front": ["My question"], "back": ["My answer"], "why": ["Mine"]}
    saved = page.act(build_event(form["html"], "save-edit", fields=fields), opened("b1"))
    assert "My answer Why Mine" in words(saved["html"])
    assert "your own text" in words(saved["html"])
    assert build_event(saved["html"], "rate")["flipped"] == build_event(back, "rate")["flipped"]
    again = page.act(build_event(saved["html"], "edit"), opened("b1"))["html"]
    reverted = page.act(build_event(again, "revert"), opened("b1"))["html"]
    assert "My answer" not in words(reverted)
    stale = build_event(again, "save-edit", fields=fields)
    with pytest.raises(Exception, match="Copy what you wrote"):
        page.act(stale, opened("b1"))


def test_a_typed_answer_is_compared_and_rated_by_the_learner(page: CardsPage) -> None:
    html = page.load(opened("b1", "deck=words-formulas-pictures&tag=peft"))
    query = {"query": "?deck=words-formulas-pictures&tag=peft"}
    event = {**build_event(html, "flip", fields={"typed": ["target_module"]}), **query}
    back = page.act(event, opened("b1"))["html"]
    assert "Close target_module missing: s" in words(back)
    assert build_event(back, "rate")["typed"] == "target_module"


def test_a_number_is_judged_by_what_the_lab_computes(page: CardsPage) -> None:
    card = "work-out-count"
    html = page.load(opened("b1", "deck=words-formulas-pictures&tag=counting&new=99"))
    event = {**build_event(html, "flip"), "card": card, "fields": {"typed": ["1221120"]}}
    back = page.act(event, opened("b1"))["html"]
    assert "You typed 1221120 ✓ right" in words(back)
    formula = words(to_html("r · (d_in + d_out), summed over the adapted matrices of all layers"))
    given = "model smollm2-135m, rank 4, targets all-linear"
    assert f"Computed here: 1,221,120 {formula}; with {given}" in words(back)


def test_a_cram_goes_round_until_all_is_known_and_can_be_undone(page: CardsPage) -> None:
    start = build_event(page.load(opened("b1")), "filter", fields={"tag": ["peft"], "how": ["cram"]})
    query = page.act(start, opened("b1"))["goto"].partition("?")[2]
    html = page.load(opened("b1", query))
    assert "0 of 1 known" in words(html)
    for known in (0, 1):
        back = page.act(build_event(html, "flip", query=query), opened("b1"))["html"]
        assert "no card's schedule moves" in words(back)
        html = page.act(build_event(back, "cram", nth=known, query=query), opened("b1"))["html"]
    assert "You knew the card, after 2 answers" in words(html)
    assert 'data-act="undo"' not in page.load(opened("b1", "tag=peft&cram=2026-03-04T10:00:01Z"))
    undone = page.act(build_event(html, "undo", query=query), opened("b1"))["html"]
    assert "0 of 1 known" in words(undone)
    [profile] = page.context.store.profiles.all()
    assert page.context.store.cards.history(profile.id) == []


def test_a_session_ends_when_its_minutes_are_over_and_can_go_on(context: Context) -> None:
    moments = iter([NOW + timedelta(minutes=n) for n in range(0, 80, 2)])
    later = replace(context, clock=moments.__next__)
    page = CardsPage(context=later, exercise=build_card_exercise(later))
    html = page.load(opened("b1"))
    [profile] = context.store.profiles.all()
    context.store.preferences.change(profile.id, session_minutes=5)
    while "minutes are up" not in (html := rate(page, html, 4)["html"]):
        assert len(context.store.cards.history(profile.id)) < 5
    assert (
        words(html).partition("Your 5 minutes are up.")[2].strip().startswith("8 cards are left for later.")
    )
    [go_on] = re.findall(r'href="/cards\?(minutes=\d+)"', html)
    html = page.load(opened("b1", go_on))
    assert "Show the answer" in words(html)
    while "minutes are up" not in words(html):
        assert len(context.store.cards.history(profile.id)) < 9
        back = page.act(build_event(html, "flip", query=f"?{go_on}"), opened("b1"))["html"]
        html = page.act(build_event(back, "rate", nth=3, query=f"?{go_on}"), opened("b1"))["html"]
    assert f"Your {go_on.partition('=')[2]} minutes are up." in words(html)
    assert "Go on for 5 more minutes" in words(html)


def test_a_backlog_is_offered_and_spread_with_one_press(context: Context) -> None:
    page = CardsPage(context=context, exercise=build_card_exercise(context))
    html = page.load(opened("b1"))
    for _ in range(6):
        html = rate(page, html, 4)["html"]
    [profile] = context.store.profiles.all()
    context.store.preferences.change(profile.id, reviews_a_day=2)
    later = replace(context, clock=late)
    page = CardsPage(context=later, exercise=build_card_exercise(later))
    html = page.load(opened("b1"))
    assert "6 reviews wait, 2 fit today." in words(html)
    spread = page.act(build_event(html, "spread", fields={"days": ["3"]}), opened("b1"))
    assert spread["say"].startswith("6 reviews spread over 3 days.")
    assert "2 to review" in words(spread["html"])
    html = spread["html"]
    for _ in range(2):
        html = rate(page, html, 4)["html"]
    context.store.preferences.change(profile.id, new_cards_a_day=0)
    assert "The next card comes back tomorrow." in words(page.load(opened("b1")))
    assert "reviews wait" not in words(spread["html"])


def late() -> datetime:
    return NOW + timedelta(days=60)


def test_a_leech_is_announced_with_what_to_do(context: Context) -> None:
    now, card, html, exercise = NOW, "", "", build_card_exercise(context)
    for times in range(2 * LEECH_LAPSES):
        moment = replace(context, clock=partial(at, now))
        page = CardsPage(context=moment, exercise=exercise)
        html = page.load(opened("b1", "tag=peft"))
        card = build_event(html, "flip")["card"]
        flipped = page.act(build_event(html, "flip", query="?tag=peft"), opened("b1"))["html"]
        rating = 1 if times % 2 else 4
        html = page.act(build_event(flipped, "rate", nth=rating - 1, query="?tag=peft"), opened("b1"))["html"]
        now += timedelta(days=1500) if rating == 4 else timedelta(minutes=15)
    assert "8 times, so it is set aside" in words(html)
    assert "No card is waiting" in words(html)
    back = page.act(build_event(html, "resume", query="?tag=peft"), opened("b1"))["html"]
    assert build_event(page.act(build_event(back, "undo", query="?tag=peft"), opened("b1"))["html"], "undo")
    assert card == "typed-target-modules"


def at(moment: datetime) -> datetime:
    return moment
