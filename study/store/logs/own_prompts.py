"""Prompts that a learner wrote: every version is kept, the newest counts."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from study.store import schema as t
from study.store.database import StoreLog, cache_reads, read_row

OWN = "own-"


@dataclass(frozen=True, kw_only=True)
class OwnPrompt:
    """The newest version of a prompt; its concepts are lines such as "Frozen base: the weights stay"."""

    id: str
    text: str
    hint: str
    concepts: tuple[str, ...]

    @property
    def given(self) -> Mapping[str, Any]:
        return {"id": self.id, "text": self.text, "hint": self.hint, "concepts": list(self.concepts)}


class OwnPromptLog(StoreLog):
    """Versions of own prompts, appended, never changed; a withdrawn prompt is not listed."""

    def save(self, profile_id: str, prompt: OwnPrompt, *, at: datetime, withdrawn: bool = False) -> str:
        """Append a version; a new prompt (without an id) gets one. Returns its id."""
        prompt_id = prompt.id or f"{OWN}{uuid.uuid4().hex[:12]}"
        written = {"text": prompt.text, "hint": prompt.hint, "concepts": list(prompt.concepts)}
        row = {"prompt_id": prompt_id, **written, "withdrawn": withdrawn, "saved_at": at}
        self._append(t.own_prompts, profile_id=profile_id, **row)
        return prompt_id

    @cache_reads
    def all(self, profile_id: str) -> list[OwnPrompt]:
        """The prompts of a profile, oldest first."""
        wanted = select(t.own_prompts).where(t.own_prompts.c.profile_id == profile_id)
        newest: dict[str, OwnPrompt | None] = {}
        for row in self._read_rows(wanted.order_by(t.own_prompts.c.saved_at, t.own_prompts.c.id)):
            prompt = read_row(OwnPrompt, row, id=row.prompt_id, concepts=tuple(row.concepts))
            newest[row.prompt_id] = None if row.withdrawn else prompt
        return [prompt for prompt in newest.values() if prompt]
