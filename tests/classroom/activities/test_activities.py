"""The engine of a class: activities, the room's state machine, peer instruction, distributions and names."""

import json
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classroom.activities import names
from classroom.activities.activity import parse_activity_spec
from classroom.activities.distribution import is_close, spread_guesses
from classroom.activities.number import as_number, read_number, tell_distance
from classroom.activities.peer_instruction import (
    ADVICE_TEXTS,
    advise,
    compare_rounds,
    pair_disagreeing,
)
from classroom.activities.room import (
    LOBBY,
    RoomState,
    fold,
    open_round,
    plan_next_step,
    plan_previous_step,
    step_to,
)
from study.base.errors import LearnerError
from study.base.typed_numbers import parse_in_unit
from tests.classroom.builders import NUMBER, PLAN, POLL, PREDICT, QUESTION, TALK, happened

VOTES = st.dictionaries(st.sampled_from("abcdefghij"), st.sampled_from(["right", "slip", "other"]))


def walk(*, advised: object = None) -> list[tuple[int, str | None]]:
    room = RoomState()
    steps: list[tuple[int, str | None]] = []
    while True:
        try:
            step = plan_next_step(room, PLAN, advised=advised)  # type: ignore[arg-type]
        except LearnerError:
            return steps
        steps.append((step["position"], step["phase"]))
        room = fold([happened(room.last + 1, "step", step)], room)


def test_next_goes_through_every_phase_of_every_activity() -> None:
    question = ["vote", "advice", "discuss", "revote", "reveal", "twin", "twin-reveal"]
    assert walk()[:7] == [(0, phase) for phase in question]
    assert walk()[7:] == [
        (1, "vote"), (1, "reveal"), (2, "vote"), (2, "reveal"),
        (3, "vote"), (3, "distribution"), (3, "run"), (4, "show"),
    ]  # fmt: skip


def test_advice_to_go_on_skips_discussion_and_revote() -> None:
    assert (0, "discuss") not in walk(advised="reveal")
    assert walk(advised="reveal")[2] == (0, "reveal")


def led(*steps: tuple[int, str | None]) -> RoomState:
    """A room that was led through steps."""
    return fold(
        happened(number, "step", {"position": position, "phase": phase})
        for number, (position, phase) in enumerate(steps, start=1)
    )


def back(room: RoomState) -> tuple[int, str | None]:
    step = plan_previous_step(room)
    return step["position"], step["phase"]


@pytest.mark.parametrize("advised", [None, "reveal"])
def test_back_undoes_next(advised: str | None) -> None:
    steps = walk(advised=advised)
    room = led(*steps)
    for before in reversed([(LOBBY, None), *steps[:-1]]):
        assert back(room) == before
        room = fold([happened(room.last + 1, "step", plan_previous_step(room))], room)
    for at_the_start in (room, RoomState()):
        with pytest.raises(LearnerError, match="Press Next to begin"):
            plan_previous_step(at_the_start)


def test_back_leads_to_nothing_that_the_class_has_skipped() -> None:
    """Not to a second vote on what is seen, a run that nobody started, a twin that was not asked."""
    assert back(led((0, "vote"), (0, "advice"), (0, "reveal"))) == (0, "advice")
    assert back(led((3, "vote"), (4, "show"))) == (3, "vote")
    assert back(led((0, "reveal"), (1, "vote"))) == (0, "reveal")
    assert back(led((0, "vote"), (1, "vote"), (0, "vote"))) == (LOBBY, None)


def test_back_after_the_end_leads_to_where_the_class_was() -> None:
    room = fold([happened(2, "end", {})], led((0, "vote")))
    assert back(room) == (0, "vote")


def test_back_passes_an_activity_that_was_taken_out() -> None:
    room = fold([happened(4, "withdraw", {"position": 5})], led((0, "vote"), (5, "vote"), (1, "vote")))
    assert back(room) == (0, "vote")
    assert plan_previous_step(led((0, "vote"), (5, "vote")), without=5) == {"position": 0, "phase": "vote"}


def test_a_question_without_a_twin_ends_with_its_answer() -> None:
    assert replace(QUESTION, twin=None).phases[-1] == "reveal"
    with pytest.raises(LearnerError, match="no such step"):
        step_to(0, "twin", [replace(QUESTION, twin=None)])


def test_the_end_closes_every_round_and_a_step_opens_the_class_again() -> None:
    events = [happened(1, "step", {"position": 0, "phase": "vote"}), happened(2, "end", {})]
    ended = fold(events)
    assert (ended.ended, ended.round) == (True, 0)
    assert fold([happened(3, "step", {"position": 0, "phase": "revote"})], ended).round == 2
    assert open_round({"position": 3, "phase": "vote"}) == (3, 1)
    assert open_round({}) == open_round(None) == (LOBBY, 0)


def test_events_set_locks_names_runs_and_who_is_out() -> None:
    events = [
        happened(1, "lock", {"on": True}),
        happened(2, "kick", {"student": "s1"}),
        happened(3, "kick", {"student": "s2"}),
        happened(4, "readmit", {"student": "s1"}),
        happened(5, "names", {"hidden": True}),
        happened(6, "run", {"position": 3, "run": "r"}),
    ]
    room = fold(events)
    assert room == RoomState(locked=True, kicked=frozenset({"s2"}), names_hidden=True, runs={3: "r"}, last=6)
    assert fold(events[3:], fold(events[:3])) == room


def test_a_spec_survives_json() -> None:
    for activity in PLAN:
        assert parse_activity_spec(json.loads(json.dumps(activity.to_json()))) == activity


def test_an_answer_is_one_of_the_options_or_a_number() -> None:
    assert QUESTION.read_answer(1, {"option": "slip", "more": 1}) == {"option": "slip"}
    for bad in ({}, {"option": "nothing"}, {"option": ["slip"]}):
        with pytest.raises(LearnerError, match="Choose one that is listed"):
            QUESTION.read_answer(1, bad)
    assert NUMBER.read_answer(1, {"number": " 1,5 "}) == {"number": 1.5}
    assert NUMBER.read_answer(1, {"number": "1,234,567"}) == {"number": 1234567.0}
    for typed in (None, "many", "nan", "1.234,5", [1]):
        with pytest.raises(LearnerError, match="Write digits"):
            NUMBER.read_answer(1, {"number": typed})
    for far_off in ("1e400", "1e16"):
        with pytest.raises(LearnerError, match="in another unit"):
            NUMBER.read_answer(1, {"number": far_off})
    with pytest.raises(LearnerError, match="takes no answers"):
        TALK.read_answer(1, {"option": "1"})


def test_a_guess_comes_with_its_unit_and_within_what_the_quantity_can_be() -> None:
    share = PREDICT.read_answer
    for typed, number in (("2 %", 2.0), ("1,8%", 1.8), ("0", 0.0), ("100", 100.0)):
        assert share(1, {"number": typed}) == {"number": number}
    for bad in ("150", "-1", "99999999"):
        with pytest.raises(LearnerError, match="Type 0 to 100 %"):
            share(1, {"number": bad})
    assert NUMBER.read_answer(1, {"number": "37 mb"}) == {"number": 37.0}
    with pytest.raises(LearnerError, match="asks for MB"):
        NUMBER.read_answer(1, {"number": "5 %"})
    with pytest.raises(LearnerError, match="0 or more"):
        read_number("-2 nats", unit="nats", quantity="final-loss")


@pytest.mark.parametrize(
    ("typed", "unit"),
    [
        ("1,500", "MB"),
        ("1,500", "nats"),
        ("1.5 GB", "MB"),
        ("1'500", ""),
        ("1500 Nats", "nats"),
        ("−1,500", ""),
    ],
)
def test_one_text_means_one_number_in_the_whole_app(typed: str, unit: str) -> None:
    assert abs(read_number(typed, unit=unit)) == 1500
    assert read_number(as_number(1500.0), unit=unit) == 1500
    if unit != "nats":  # a question of the app asks for units that it can convert
        assert read_number(typed, unit=unit) == parse_in_unit(typed, unit)


@pytest.mark.parametrize("typed", ["2.4", "2.4 million", "2,4M", "2400 thousand", "2.4e0"])
def test_a_count_in_millions_is_typed_with_or_without_the_word(typed: str) -> None:
    assert read_number(typed, unit="million") == pytest.approx(2.4)


def test_the_distance_of_a_guess_is_told_in_its_unit() -> None:
    assert tell_distance(2.0, 1.5, "%") == "Your guess is off by 0.5 percentage points."
    assert tell_distance(192, 96, "") == "Your guess is off by 96."
    assert tell_distance(30, 37.748736, "million") == "Your guess is off by 7.75 million."  # 37.75 is shown
    assert tell_distance(4.9, 5.312, "nats") == "Your guess is within 10 % of it."


@pytest.mark.parametrize(
    ("guesses", "beyond", "last"),
    [([1.8, 2.0, 2.0, 150.0], 1, 3.0), ([1.8, 2.5, 99.0], 1, 3.0), ([96.0, 128.0, 192.0], 0, 200.0)],
)
def test_one_guess_far_off_does_not_hide_how_the_others_differ(
    guesses: list[float], beyond: int, last: float
) -> None:
    found = spread_guesses(guesses)
    assert (found.beyond, sum(found.counts)) == (beyond, len(guesses))
    assert found.edges[-1] <= last


def test_a_poll_has_no_right_answer() -> None:
    assert POLL.is_correct(1, {"option": "1"}) is None
    assert QUESTION.is_correct(2, {"option": "right"}) is True
    assert QUESTION.is_correct(3, {"option": "other"}) is False


@pytest.mark.parametrize(
    ("right", "count", "advice"),
    [
        (29, 100, "re-teach"),
        (30, 100, "discuss"),
        (70, 100, "discuss"),
        (71, 100, "go-on"),
        (1, 2, "too-few"),
    ],
)
def test_the_30_70_rule(right: int, count: int, advice: str) -> None:
    assert advise(right, count) == advice


def test_few_votes_leave_the_choice_to_the_teacher() -> None:
    assert ADVICE_TEXTS["too-few"].endswith("If in doubt, discuss and vote again.")


def test_the_transition_counts_those_who_voted_twice() -> None:
    first = {"a": "right", "b": "slip", "c": "slip", "d": "right", "e": "other"}
    second = {"a": "right", "b": "right", "c": "other", "d": "slip", "f": "right"}
    found = compare_rounds(first, second, "right")
    assert found.moves == {"right-right": 1, "wrong-right": 1, "right-wrong": 1, "wrong-wrong": 1}
    assert found.gain == 0.0  # 2 of 4 right before, 2 of 4 after


@given(VOTES, VOTES)
def test_a_transition_covers_exactly_the_common_voters(first: dict[str, str], second: dict[str, str]) -> None:
    found = compare_rounds(first, second, "right")
    assert found.both == len(first.keys() & second.keys())
    assert found.gain is None or found.gain <= 1


@given(VOTES)
def test_pairs_disagree_and_name_each_student_once(chosen: dict[str, str]) -> None:
    pairs = pair_disagreeing(chosen)
    named = [student for pair in pairs for student in pair]
    assert len(named) == len(set(named))
    assert all(chosen[one] != chosen[other] for one, other in pairs)
    largest = max((list(chosen.values()).count(option) for option in set(chosen.values())), default=0)
    assert len(pairs) == min(len(chosen) // 2, len(chosen) - largest)  # no pairing can do better


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60), st.none() | st.floats(-1e9, 1e9))
def test_every_guess_is_counted_and_the_value_is_in_view(guesses: list[float], value: float | None) -> None:
    found = spread_guesses(guesses, value=value)
    assert sum(found.counts) == len(guesses)
    assert len(found.edges) == len(found.counts) + 1 <= 15
    if value is not None:
        width = found.edges[1] - found.edges[0]
        assert found.edges[0] - 1e-6 * width <= value <= found.edges[-1] + 1e-6 * width


def test_one_joke_does_not_squeeze_the_others() -> None:
    found = spread_guesses([1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 1e12])
    assert found.edges[-1] < 10
    assert found.counts[-1] >= 1
    assert spread_guesses([]).counts == ()


def test_close_is_within_a_tenth() -> None:
    assert is_close(36.1, 40)
    assert not is_close(35.9, 40)


def test_drawn_names_are_two_words_and_unique() -> None:
    rng, taken = Random(1), set[str]()
    for _ in range(300):
        drawn = names.draw_name(taken, rng)
        assert drawn not in taken
        assert len(drawn) <= names.LONGEST_NAME
        taken.add(drawn)
    everything = {f"{a} {b}" for a in names.FIRST for b in names.SECOND}
    assert names.draw_name(everything, rng).endswith(" 2")


REFUSED = [
    "", "  ", "x" * 25, "<b>", "=1+1", "@SUM", "-2", "a--b", "a" + "\u0301" * 9, "AMBER fox",
    "Sh1t Happens", "f.u.c.k", "s h i t", "Nazis",
]  # fmt: skip
ORDINARY = [
    "Zoë", "Ana María", "O'Neil", "O’Brien", "Li-Wei 2", "Łukasz K.", "अमिता", "ไพลิน", "j_smith",
    "max.muster@uni.de", "Ignazio", "Draper", "Grape", "Therapeut", "Shitara", "Ashit", "Slutsky", "Pornchai",
    "Faggin", "Scunthorpe",
]  # fmt: skip


@pytest.mark.parametrize("typed", REFUSED)
def test_a_name_that_cannot_be_shown_is_refused(typed: str) -> None:
    with pytest.raises(LearnerError, match="Type another one"):
        names.read_name(typed, {"Amber Fox"})


@pytest.mark.parametrize("typed", ["zoe\u0308", "ZO\u00cb", "\uff3ao\u00eb"])
def test_a_name_that_looks_like_anothers_is_taken(typed: str) -> None:
    with pytest.raises(LearnerError, match="has that name"):
        names.read_name(typed, {"Zo\u00eb"})


@pytest.mark.parametrize("typed", ORDINARY)
def test_ordinary_names_are_allowed(typed: str) -> None:
    assert names.read_name(f"  {typed} ", {"Amber Fox"}) == typed
