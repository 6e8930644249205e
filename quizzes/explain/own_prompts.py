"""Learners' own prompts: a text, a hint and four concepts, validated before they are stored."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from quizzes.grader.prompts import CONCEPTS, Prompt, parse_own_prompt
from study.base.errors import LearnerError
from study.store.logs.own_prompts import OwnPrompt, OwnPromptLog
from study.web import form_event

TEXT_LIMIT = 500
LINE_LIMIT = 300


@dataclass(frozen=True, kw_only=True)
class OwnPrompts:
    """The prompts that learners wrote, stored per profile."""

    log: OwnPromptLog

    def read_all(self, profile_id: str) -> dict[str, Prompt]:
        found = {}
        for one in self.log.all(profile_id):
            with contextlib.suppress(LearnerError):  # from a backup made by hand; it must not close the page
                found[one.id] = parse_own_prompt(one.given)
        return found

    def save(self, profile_id: str, event: Mapping[str, Any], *, at: datetime) -> str:
        """Validate and store the form; return the prompt's id. Raises LearnerError when a field is wrong."""
        prompt_id = form_event.read_field(event, "id")
        if prompt_id and prompt_id not in self.read_all(profile_id):
            raise LearnerError("That prompt is not in this profile.", do_next="Reload the page.")
        return self.log.save(profile_id, read_form(event, prompt_id), at=at)

    def withdraw(self, profile_id: str, prompt_id: str, *, at: datetime) -> None:
        """Remove a prompt from the list; explanations written for it stay in the log."""
        found = next((one for one in self.log.all(profile_id) if one.id == prompt_id), None)
        if found is None:
            raise LearnerError("That prompt is not in this profile.", do_next="Reload the page.")
        self.log.save(profile_id, found, at=at, withdrawn=True)


def read_form(event: Mapping[str, Any], prompt_id: str) -> OwnPrompt:
    """Parse and validate the form. Raises LearnerError with the first problem."""
    text = _clean_line(form_event.read_field(event, "text", limit=TEXT_LIMIT))
    hint = _clean_line(form_event.read_field(event, "hint", limit=TEXT_LIMIT))
    lines = tuple(_clean_line(line) for line in form_event.read_fields(event, "concept", limit=LINE_LIMIT))
    if not text:
        raise LearnerError("The prompt is empty.", do_next="Write what is to be explained.")
    if len(lines) != CONCEPTS or not all(lines):
        written = sum(bool(line) for line in lines)
        raise LearnerError(
            f"{written} of {CONCEPTS} concepts are written.",
            do_next=f"Write {CONCEPTS}, each a full sentence on one line.",
        )
    if len({line.lower() for line in lines}) < CONCEPTS:
        raise LearnerError("Two concepts are the same.", do_next="Make each one a different idea.")
    return OwnPrompt(id=prompt_id, text=text, hint=hint, concepts=lines)


def _clean_line(text: str) -> str:
    return " ".join(text.split())
