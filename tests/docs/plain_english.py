"""A linter for phrases that read as translated: what learners and readers see, line by line.

    python -m tests.docs.plain_english [ROOT]

prints the number of findings for each pattern, and with `--list` the findings.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parents[2]

UNIT = r"(?:bits?|bytes?|[kMG]B|numbers?|seconds?|minutes?|times|steps?|constants?|codes?|tokens?|tables?|passes)"
WHOLE = (
    r"(?:weight|parameter|number|step|token|block|layer|row|matrix|epoch|value|adapter|second|constant|batch|"
    r"element|group|model|update|run|trained|trainable)"
)
SIZE = r"(?:\d[\d.,]*|\[\[[^\]]+\]\]|half|one|two|three|four|six|eight|twelve|sixteen)"
CAUSE = (
    r"(?:it|its|they|their|this|that|these|those|the|a|an|each|every|only|all|there|both|no|nothing|one|two|many|"
    r"most|some|you|we|he|she|[A-Z]\w*|\w+s) (?:[\w'-]+ ){0,4}?(?:is|are|was|were|has|have|had|can|can't|do|does|"
    r"did|don't|doesn't|would|must|need|needs|take|takes|hold|holds|keep|keeps|stay|stays|share|shares)\b"
)

PATTERNS: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "negated noun: 'is no X' for 'isn't an X'": (
            r"(?<!there )\b(?:is|are|was|were|isn't|be) no (?!longer\b|more\b|less\b|better\b|worse\b|larger\b|"
            r"smaller\b|faster\b|slower\b|higher\b|lower\b|one\b|different\b|\d)\w+"
        ),
        "negated pronoun: 'is none', 'proves none'": r"\b(?:is|are|was|were|proves?|has|have|make|makes) none\b(?! of)",
        "causal ', as'": rf", as {CAUSE}",
        "'a' for 'per'": rf"\b{UNIT} an? {WHOLE}s?\b(?! (?:of|that|is|with|has|can|in|from|at)\b)",
        "'takes' for 'uses' or 'needs'": (
            rf"\b(?:takes?|took|taking) (?:up to |about |only |roughly |another |exactly |at least |at most |some )?"
            rf"{SIZE}(?: more| extra)? ?(?:bits?|bytes?|[kMG]B)\b"
        ),
        "'a thousand million'": r"\bthousand million\b",
        "'in place of' for 'instead of'": r"\bin place of\b",
        "trailing 'apart', 'aside', 'left out'": r"\b(?:apart|aside|left out|besides)(?=[.,;:?)])",
        "'goes on' for 'continues'": r"\b(?:goes?|went|going) on(?: \w+ing\b|[.,;:]| and\b| until\b| with\b)",
        "'own' without a possessive": r"\b(?:an?|no|of) own\b|\bof (?:one's|its|their|his|her|your) own\b",
        "'who ...' for 'anyone who ...'": r"(?:(?<=[.:?!] )|^)(?:Who|Whoever) (?!is\b|was\b|gets?\b|are\b|or\b)\w+s\b",
        "'what becomes of', 'come of', 'what speaks for'": (
            r"\bwhat becomes of\b|\bcomes? of (?:that|this|the)\b|\bspeaks? for\b"
        ),
        "'gather' for 'accumulate'": r"\bgather(?:s|ed|ing)? (?:the )?gradients?\b|\bgradients? (?:\w+ )?gather",
        "idioms of another language": (
            r"\bsame rope\b|\bto this come\b|\bfor nothing else than\b|\band the more so\b|\bthe more so\b|"
            r"\ba little instead of\b|\bby the account of\b|\breckons? with\b|\bonce more once\b|"
            r"\bno fair judge\b|"
            r"\ball the same\b|\bnot to be told\b|\bbrings nothing\b|\bput it away\b|\bis not to be\b"
        ),
    }.items()
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A phrase, and the text that it stands in."""

    pattern: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.pattern}: {self.text}"


YAML_FOLDERS = (
    "study/lessons", "study/content", "flashcards/decks", "quizzes/questions", "quizzes/explain", "lora_lab",
)  # fmt: skip
PYTHON_FOLDERS = (
    "quizzes/families", "quizzes/kinds", "quizzes/explain", "quizzes/session", "lora_lab/figures",
    "lora_lab/projects", "lora_lab/claims", "lora_lab/views",
)  # fmt: skip
QUOTED = frozenset({"source", "references", "id", "concepts", "tags", "lines", "url", "formula", "check"})
"""Fields that hold names, code or formulas instead of sentences."""


def texts(root: Path = HERE) -> Iterator[tuple[str, str]]:
    """Yield every text that a learner or reader sees, with its file."""
    for folder in YAML_FOLDERS:
        for path in sorted((root / folder).rglob("*.yaml")):
            for text in _strings(yaml.safe_load(path.read_text("utf-8"))):
                yield str(path.relative_to(root)), text
    for folder in PYTHON_FOLDERS:
        for path in sorted((root / folder).glob("*.py")):
            for text in _literals(path.read_text("utf-8")):
                yield str(path.relative_to(root)), text
    for path in sorted((root / "docs" / "guide").glob("*.md")):
        plain = re.sub(r"(?ms)^```.*?^```$", "", path.read_text("utf-8"))
        for text in re.split(r"\n\s*\n|\n(?=[-|#]|\d+\. )", plain):
            yield str(path.relative_to(root)), " ".join(text.split())


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield " ".join(value.split())
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in QUOTED:
                yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def _literals(source: str) -> Iterator[str]:
    """Yield the texts of a module: string literals with a space in them, docstrings left out."""
    tree = ast.parse(source)
    docstrings = {
        node.value
        for part in ast.walk(tree)
        if isinstance(part, ast.Module | ast.ClassDef | ast.FunctionDef)
        for node in part.body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    } | {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    inside = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "8" for part in node.values)
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and " " in node.value
            and node not in docstrings | inside
        ):
            yield node.value


def findings(root: Path = HERE) -> Iterator[Finding]:
    """Find every pattern in every text."""
    for where, text in texts(root):
        for name, pattern in PATTERNS.items():
            for found in pattern.finditer(text):
                around = text[max(0, found.start() - 50) : found.end() + 40]
                yield Finding(pattern=name, where=where, text=around)


def main() -> None:
    """Print the counts, and with `--list` every finding."""
    listed = "--list" in sys.argv
    paths = [Path(word) for word in sys.argv[1:] if not word.startswith("--")]
    found = list(findings(*paths))
    for finding in found if listed else ():
        print(finding)
    for name, count in Counter(finding.pattern for finding in found).most_common():
        print(f"{count:5d} {name}")
    print(f"{len(found):5d} in all")


if __name__ == "__main__":
    main()
