"""What a learner calls the rows of a backup, by their table."""

OTHER = "Other records"
"""Rows that mean nothing to a learner by themselves, such as what was taken back."""

TITLES = {
    "answers": "Answers to questions",
    "answer_retries": "Second attempts at questions",
    "card_requests": "Cards made ready by a miss",
    "card_reviews": "Card reviews",
    "card_verbs": "Actions on cards",
    "drafts": "Drafts",
    "explain_attempts": "Explanations",
    "explain_verdicts": "Judgements of explanations",
    "hints_shown": "Hints seen",
    "mode_marks": "Marks in lessons",
    "own_prompts": "Your own prompts to explain",
    "prediction_verdicts": "Judgements of predictions",
    "predictions": "Predictions",
    "preferences": "Settings",
    "project_entries": "Entries in projects",
    "quiz_sessions": "Quizzes",
    "reading_places": "Places in lessons",
    "review_runs": "Five-minute reviews",
    "task_attempts": "Answers to tasks",
}


def title_of_table(table: str) -> str:
    """Return what the rows of a table are for a learner; `OTHER` for a table that has no words of its own."""
    return TITLES.get(table, OTHER)
