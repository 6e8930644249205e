"""What a learner calls the rows of a backup, by their table."""

from collections.abc import Mapping
from typing import NamedTuple

OTHER = "Other records"
"""Rows that mean nothing to a learner by themselves, such as what was taken back."""


class RowName(NamedTuple):
    """What the rows of a table are called: together, and one of them where they are counted in a sentence."""

    title: str
    one: str = ""


NAMES = {
    "quiz_sessions": RowName("Quizzes", "quiz"),
    "explain_attempts": RowName("Explanations", "explanation"),
    "predictions": RowName("Predictions", "prediction"),
    "preferences": RowName("Settings", "setting"),
    "drafts": RowName("Drafts", "draft"),
    "reading_places": RowName("Places in lessons", "place in a lesson"),
    "answers": RowName("Answers to questions"),
    "answer_retries": RowName("Second attempts at questions"),
    "card_requests": RowName("Cards made ready by a miss"),
    "card_reviews": RowName("Card reviews"),
    "card_verbs": RowName("Actions on cards"),
    "explain_verdicts": RowName("Judgements of explanations"),
    "hints_shown": RowName("Hints seen"),
    "mode_marks": RowName("Marks in lessons"),
    "own_prompts": RowName("Your own prompts to explain"),
    "prediction_verdicts": RowName("Judgements of predictions"),
    "project_entries": RowName("Entries in projects"),
    "review_runs": RowName("Daily reviews"),
    "task_attempts": RowName("Answers to tasks"),
}
"""By table. Only what a learner can have continued or changed since an import is counted in sentences."""


def name_table(table: str) -> str:
    """Return what the rows of a table are for a learner; `OTHER` for a table that has no words of its own."""
    return NAMES[table].title if table in NAMES else OTHER


def count_rows(counts: Mapping[str, int]) -> list[str]:
    """Return counts of rows in words, such as `2 quizzes`; tables whose rows aren't counted are left out."""
    return [
        f"{counts[table]} {name.one if counts[table] == 1 else name.title.lower()}"
        for table, name in NAMES.items()
        if name.one and counts.get(table)
    ]
