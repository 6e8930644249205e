"""Every wrong answer has one misconception, every misconception is met in two places or more."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from quizzes.bank.bank import QUESTIONS_DIR, load_bank
from quizzes.bank.misconceptions import load_misconceptions, map_misconceptions
from quizzes.kinds.grade import GradedPart
from quizzes.session.feedback import FeedbackRow
from study.base.yaml_loader import load_yaml
from study.content.concepts import load_concepts
from study.content.yaml_reader import ContentError


def written(value: Any) -> list[str]:
    """List the slugs in a file of questions."""
    if isinstance(value, list):
        return [slug for part in value for slug in written(part)]
    if not isinstance(value, dict):
        return []
    own = [str(value["misconception"]).partition(":")[0]] if "misconception" in value else []
    return own + [slug for part in value.values() for slug in written(part)]


def places() -> Counter[str]:
    """Count the places of each slug: wrong answers in questions, and families."""
    found: Counter[str] = Counter()
    for path in QUESTIONS_DIR.glob("*.yaml"):
        found.update(written(load_yaml(path.read_text("utf-8"))))
    for family in load_bank(load_concepts()).families.values():
        found.update(family.slips.keys())
    return found


PLACES = places()
FILE = "quizzes/bank/misconceptions.yaml"


def test_every_wrong_answer_has_a_misconception() -> None:
    without = sorted(set(PLACES) - set(map_misconceptions()))
    assert without == [], f"Add these to `slugs` of a misconception in {FILE}: {', '.join(without)}"


def test_no_slug_belongs_to_two_misconceptions() -> None:
    counted = Counter(slug for each in load_misconceptions() for slug in each.slugs)
    twice = [slug for slug, count in counted.items() if count > 1]
    assert twice == [], f"Keep each of these in one misconception of {FILE}: {', '.join(twice)}"


def test_every_misconception_is_met_in_two_places_or_more() -> None:
    met = {each.id: sum(PLACES[slug] for slug in each.slugs) for each in load_misconceptions()}
    rare = [name for name, count in met.items() if count < 2]
    assert rare == [], f"Join each of these with another misconception in {FILE}: {', '.join(rare)}"


def test_there_are_about_a_hundred_and_fifty_and_each_leads_to_a_page() -> None:
    found = load_misconceptions()
    assert 100 <= len(found) <= 180
    assert {each.concept for each in found} <= set(load_concepts().by_id)
    assert len({each.name for each in found}) == len(found)


def test_an_id_that_stands_twice_is_refused(tmp_path: Path) -> None:
    entry = {"id": "twice", "name": "count twice", "concept": "lora-rank", "slugs": ["a"]}
    path = tmp_path / "misconceptions.yaml"
    path.write_text(yaml.safe_dump({"misconceptions": [entry, entry]}), "utf-8")
    with pytest.raises(ContentError, match="twice"):
        load_misconceptions(path)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("thinks that rank is size", "It is easy to think that rank is size."),
        ("mixes up scale and rank", "It is easy to mix up scale and rank."),
        ("applies it twice", "It is easy to apply it twice."),
        ("uses the other width", "It is easy to use the other width."),
        ("confusion of A and B", "A common mix-up: confusion of A and B."),
        ("always adds the head", "A common mix-up: always adds the head."),
        ("not said by its author", ""),
        ("", ""),
    ],
)
def test_a_misconception_is_said_in_words_that_blame_nobody(written: str, said: str) -> None:
    part = GradedPart(id="x", text="x", state="wrong", misconception=written)
    assert FeedbackRow(letter="A", part=part, mark="").mix_up == said


def test_every_misconception_begins_with_a_verb_that_has_a_sentence() -> None:
    for question in load_bank(load_concepts()).list_matching():
        task = getattr(question.task, "asked", question.task)
        for option in getattr(task, "options", ()):
            if option.misconception:
                assert re.match(r"[a-z]+s ", option.misconception), option
