"""The numbers of the content that `docs/content-review.md` gives are those of the content."""

import re
from pathlib import Path

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from flashcards.decks.deck import load_decks
from lora_lab.tasks.building import read_builds
from lora_lab.tasks.content import map_tasks_by_id
from lora_lab.tasks.reading import read_run_tasks
from quizzes.bank.bank import load_bank
from quizzes.bank.misconceptions import load_misconceptions, load_signs
from quizzes.grader.prompts import load_prompts
from study.base.yaml_loader import load_yaml
from study.content.concepts import load_concepts

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| ([^|]+) \| (\d+) \|$", re.MULTILINE)


def test_the_table_of_numbers_is_that_of_the_content() -> None:
    concepts = load_concepts()
    cards, bank = load_decks(concepts).cards, load_bank(concepts)
    checks = sum(len(card.evidence.checks) for card in cards)
    checks += sum(len(question.evidence.checks) for question in bank.questions)
    page = (ROOT / "docs" / "content-review.md").read_text("utf-8")
    part = page.partition("## What there is")[2].partition("## ")[0]
    written = {name: int(number) for name, number in ROW.findall(part)}
    there_is = {
        "concepts, nine modes each": len(concepts.by_id),
        "cards": len(cards),
        "questions": len(bank.questions),
        "question families": len(bank.families),
        "numbers of cards and questions that are computed again": checks,
        "misconceptions": len(load_misconceptions()),
        "figures": len(load_yaml((ROOT / "lora_lab" / "figures" / "figures.yaml").read_text("utf-8"))),
        "configure tasks": len(map_tasks_by_id()),
        "recorded runs to read": len(read_run_tasks()),
        "scripts to complete": len(read_builds()),
        "prompts to explain": len(load_prompts(concepts)),
    }
    new = [f"| {name} | {number} |" for name, number in there_is.items() if written.get(name) != number]
    assert written == there_is, "\n".join(["Write into the table of docs/content-review.md:", *new])


def test_the_signs_of_misconceptions_are_as_many_as_the_page_says() -> None:
    page = " ".join((ROOT / "docs" / "content-review.md").read_text("utf-8").split())
    signs = load_signs()
    of_cards, of_ideas = ({each.id for each in part.values()} for part in (signs.of_card, signs.of_idea))
    assert (
        f"{len(of_cards)} misconceptions show on forgotten cards as well ({len(signs.of_card)} cards), "
        f"{len(of_ideas)} in explanations ({len(signs.of_idea)} ideas), {len(of_cards | of_ideas)} in either"
    ) in page
