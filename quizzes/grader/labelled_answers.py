"""Labelled answers: possible answers to a prompt, each with its verdicts on the four concepts.

One tab-separated file per prompt; docs/grader.md says how they were written. They train and evaluate the
grader.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from quizzes.grader.prompts import Prompt, parse_own_prompt
from study.content.yaml_reader import ContentError, Problem
from study.ports.classes import ConceptVerdict

ANSWERS = Path(__file__).parent / "answers"
OTHER_WRITER = ANSWERS / "dev"
"""Answers of a writer who wrote none of the others: the set that thresholds are fitted on."""

BLIND = tuple(ANSWERS / name for name in ("fresh", "fresh2", "fresh3", "fresh4", "fresh5", "fresh6"))
"""Answers of six more writers: nothing is learnt from them and nothing is set on them; they measure.

The third wrote on the eight newer prompts, the first two on the first twelve, the others on all.
"""

OWN_TRAINING = ANSWERS / "own-train"
"""Prompts like a learner's own on many subjects, and answers, from which the reader of own prompts learns."""

OWN_BLIND = tuple(ANSWERS / name for name in ("own", "own2", "own3", "own4"))
"""Prompts like a learner's own by four writers, and answers: nothing is learnt from them or set on them."""

HEADER = ("class", "voice", "pair", "verdicts", "answer")
LETTERS: dict[str, ConceptVerdict] = {"c": "covered", "p": "partial", "x": "contradicted", "m": "missing"}

NOISE = frozenset(
    {
        "keyword-stuffing",
        "prompt-copy",
        "hint-copy",
        "off-topic",
        "homonym",
        "gibberish",
        "injection",
        "empty-talk",
    }
)
"""Classes of answers that claim nothing."""

RIGHT_NEGATIONS = frozenset({"correct-with-negation", "rejects-false"})
"""Classes whose covered concepts are stated with a negation."""


@dataclass(frozen=True, kw_only=True)
class LabelledAnswer:
    """One labelled answer; `verdicts` are in the order of its prompt's concepts."""

    prompt_id: str
    kind: str
    voice: str
    pair: str
    verdicts: tuple[ConceptVerdict, ...]
    text: str

    @property
    def group(self) -> str:
        """The group that a split must not divide: minimal pairs share one, other answers have their own."""
        return f"{self.prompt_id}/{self.pair or self.text}"


def load_answers(prompt_ids: Iterable[str], *, folder: Path = ANSWERS) -> list[LabelledAnswer]:
    """Read all answers of these prompts. Raises ContentError with every problem in their files."""
    problems: list[Problem] = []
    read = [
        answer
        for prompt_id in prompt_ids
        for answer in _read_file(folder / f"{prompt_id}.tsv", prompt_id, problems)
    ]
    if problems:
        raise ContentError(problems)
    return read


def load_own_prompts(folder: Path) -> dict[str, Prompt]:
    """Read the prompts by id that measure how well a prompt from outside the training set is graded."""
    given = json.loads((folder / "prompts.json").read_text("utf-8"))
    return {prompt_id: parse_own_prompt({"id": prompt_id, **fields}) for prompt_id, fields in given.items()}


def _read_file(path: Path, prompt_id: str, problems: list[Problem]) -> list[LabelledAnswer]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        problems.append(Problem(file=path.name, line=1, item="answers", text=f"cannot be read ({error})"))
        return []
    found = []
    for number, line in enumerate(lines[1:], start=2):
        problem, answer = _read_answer(line.split("\t"), prompt_id)
        if answer is None:
            problems.append(Problem(file=path.name, line=number, item="answer", text=problem))
        else:
            found.append(answer)
    return found


def _read_answer(cells: Sequence[str], prompt_id: str) -> tuple[str, LabelledAnswer | None]:
    if len(cells) != len(HEADER):
        return f"needs {len(HEADER)} columns, got {len(cells)}", None
    kind, voice, pair, letters, text = cells
    if len(letters) != 4 or not set(letters) <= set(LETTERS):
        return f"needs four letters of c, p, x, m, got {letters!r}", None
    if not text.strip():
        return "has no text", None
    verdicts = tuple(LETTERS[letter] for letter in letters)
    return "", LabelledAnswer(
        prompt_id=prompt_id, kind=kind, voice=voice, pair=pair, verdicts=verdicts, text=text.strip()
    )
