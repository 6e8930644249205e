"""The explain prompts: what to explain, the concepts of a good explanation, and a model answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from study.base.errors import LearnerError
from study.content.concepts import ConceptMap, note_unknown_concepts
from study.content.declared import read_declared
from study.content.yaml_reader import Fields, Problem, read_items

PROMPTS_FILE = Path(__file__).parent / "prompts.yaml"
CONCEPTS = 4


@dataclass(frozen=True, kw_only=True)
class PromptConcept:
    """One concept that a good explanation states."""

    id: str
    label: str
    definition: str
    """The public contract's sentence, which the network was trained on."""

    shown: str = ""
    """What a learner reads instead, where the contract's sentence says more than holds."""

    @property
    def said(self) -> str:
        """Return the sentence that a learner reads."""
        return self.shown or self.definition


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt to explain in one's own words. `links` are its study concepts."""

    id: str
    text: str
    hint: str
    concepts: tuple[PromptConcept, ...]
    links: tuple[str, ...]
    model_answer: str
    source: str
    own: bool = False
    """Whether a learner wrote it: its texts are plain and it has neither links nor a model answer."""


def load_prompts(concepts: ConceptMap) -> Mapping[str, Prompt]:
    """Read all prompts by id, in file order. Raises ContentError with every problem in the file."""
    read = partial(_read_prompt, concepts=concepts)
    prompts = read_items(PROMPTS_FILE, kind="prompt", read=read, under="prompts")
    return {prompt.id: prompt for prompt in prompts}


def parse_own_prompt(given: Mapping[str, Any]) -> Prompt:
    """Parse a learner's own prompt: a text, a hint and four one-line concepts.

    Raises LearnerError when it can't be graded.
    """
    problems: list[Problem] = []
    written = {name: value for name, value in given.items() if value != ""}
    fields = Fields({"id": "own", **written}, file="own prompt", kind="prompt", problems=problems)
    prompt_id, text, hint = fields.text("id"), fields.text("text"), fields.text("hint", default="")
    lines = fields.texts("concepts")
    if len(lines) != CONCEPTS:
        fields.note(f"needs {CONCEPTS} concepts, one line each, got {len(lines)}")
    if problems:
        what = "; ".join(problem.text for problem in problems)
        raise LearnerError(f"This prompt can't be graded: {what}.", do_next="Give text, hint and concepts.")
    concepts = tuple(
        PromptConcept(id=f"concept-{number}", label=line.partition(":")[0], definition=line)
        for number, line in enumerate(lines, start=1)
    )
    return Prompt(
        id=prompt_id,
        text=text,
        hint=hint,
        concepts=concepts,
        links=(),
        model_answer="",
        source="own prompt",
        own=True,
    )


def write_as_own(prompt: Prompt) -> Prompt:
    """Return a prompt as a learner would have written it, with one line per concept."""
    if prompt.own:
        return prompt
    lines = [f"{concept.label}: {concept.definition}" for concept in prompt.concepts]
    return parse_own_prompt({"id": prompt.id, "text": prompt.text, "hint": prompt.hint, "concepts": lines})


def _read_prompt(fields: Fields, concepts: ConceptMap) -> Prompt:
    prompt = read_declared(fields, Prompt, own=False)
    if len({part.id for part in prompt.concepts}) != len(prompt.concepts):
        fields.note("two concepts share an id")
    if len(prompt.concepts) != CONCEPTS:
        fields.note(f"needs {CONCEPTS} concepts, got {len(prompt.concepts)}")
    note_unknown_concepts(fields, prompt.links, concepts)
    return prompt
