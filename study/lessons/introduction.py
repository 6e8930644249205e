"""The five-minute introduction: its steps, read from `content/introduction.yaml`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from study.content.declared import read_declared
from study.content.evidence import Evidence, read_evidence
from study.content.yaml_reader import Fields, read_items
from study.text.computed_text import fill_numbers, find_problems

FILE = Path(__file__).parents[1] / "content" / "introduction.yaml"
OUTCOMES = ("falls", "stays", "rises")
"""What the loss of the learner's run can do, in the order of the last step's choices."""


@dataclass(frozen=True, kw_only=True)
class IntroductionChoice:
    """One answer to a step's question."""

    say: str
    because: str
    """Why it is right or wrong; empty where a run decides."""


@dataclass(frozen=True, kw_only=True)
class IntroductionStep:
    """One picture and one question."""

    id: str
    title: str
    figure: str = ""
    """The id of a live figure; empty in the step that runs a training."""

    settings: Mapping[str, str]
    play: str = ""
    """The setting that a Play button runs through; empty for none."""

    card: str = ""
    """The id of the card that keeps the step's idea; empty in the step that runs a training."""

    text: str
    question: str
    choices: tuple[IntroductionChoice, ...]
    right: int
    """The number of the right choice, from 1; 0 where the learner's run decides."""

    evidence: Evidence

    @property
    def runs(self) -> bool:
        return not self.figure


@cache
def read_introduction() -> tuple[IntroductionStep, ...]:
    """Read all steps. Raises ContentError with every problem in the file."""
    return read_items(FILE, kind="step", read=_read_step)


def order_cards(missed: str) -> tuple[str, ...]:
    """Return the cards of all steps, those first whose number is among the digits of `missed`."""
    numbered = ((str(number), step.card) for number, step in enumerate(read_introduction(), 1) if step.card)
    return tuple(card for _, card in sorted(numbered, key=lambda each: each[0] not in missed))


def _read_step(entry: Fields) -> IntroductionStep:
    runs = entry.flag("run")
    ask = entry.read_child("ask", kind="question")
    choices = tuple(_read_choice(each, runs=runs) for each in ask.children("choices", kind="choice"))
    right = 0 if runs else ask.raw("right")
    if not isinstance(right, int) or (not runs and not 1 <= right <= len(choices)):
        ask.note(f"`right` must be the number of a choice, got {right!r}")
        right = 1
    if not runs and not entry.has("card"):
        entry.note("a step with a question needs the `card` that keeps its idea")
    if runs and len(choices) != len(OUTCOMES):
        ask.note(f"a run has {len(OUTCOMES)} outcomes, got {len(choices)} choices")
    question, text = ask.text("say"), " ".join(entry.text("text").split())
    for problem in find_problems(text):
        entry.note(problem)
    settings = entry.raw("set") or {}
    printed = [fill_numbers(text), question, *(f"{each.say} {each.because}" for each in choices)]
    ask.close()
    return read_declared(
        entry,
        IntroductionStep,
        settings={str(name): str(value) for name, value in settings.items()},
        text=text,
        question=question,
        choices=choices,
        right=right,
        evidence=read_evidence(entry, printed=" ".join(printed)),
    )


def _read_choice(entry: Fields, *, runs: bool) -> IntroductionChoice:
    because = entry.text("because", default="" if runs else None)
    return read_declared(entry, IntroductionChoice, because=because)
