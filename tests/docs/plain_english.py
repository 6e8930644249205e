"""A linter for phrases that read as translated: what learners, readers and maintainers see.

    python -m tests.docs.plain_english [ROOT]

prints the number of findings for each pattern, and with `--list` the findings.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parents[2]

UNITS = (
    r"(?:bits?|bytes?|[kMG]B|ms|numbers?|seconds?|minutes?|steps?|constants?|codes?|tables?|passes|matrices|row|"
    r"column|examples?|objects?|lines?|tokens?|sequences?|presses|operators?|files?|methods?|launches|levels?)"
)
WHOLES = (
    r"(?:weight|parameter|number|step|token|block|layer|row|matrix|epoch|value|adapter|second|constant|batch|"
    r"element|group|model|update|run|cell|blank|score|example|task|line|concept|prompt|route|press|flip|rating|"
    r"minute|day|page|round|rate|version|learner|student)"
)
SIZE = r"(?:\d[\d.,]*|\[\[[^\]]+\]\]|half|one|two|three|four|six|eight|twelve|sixteen)"
ABOUT = r"(?:up to |about |only |roughly |another |exactly |at least |at most |some )?"
VERBS = (
    r"(?:is|are|was|were|has|have|had|can|can't|would|must|needs?|takes?|holds?|keeps?|stays?|shares?|bring|"
    r"brings|matters?|mattered|depends?|differs?)"
)
COSTS = (
    r"(?:for|and|or|in|back|home|neither|care|longer|memory|room|time|seconds?|minutes?|hours?|days?|steps?|place|"
    r"turns?|pass|passes|sizes)"
)
"""Words after "takes" with which "for" doesn't name a mistake."""
TAKEN = (
    r"(?:an?|the|that|what|one|its|bits|bytes|equality|granted|large|more|noise|quantization|right|rounding|small|square|"
    r"stored|\w+'s)"
)
STORED = r"(?:adapter|file|model|cache|tensor|checkpoint|copy|matrix|layer|download|weights?|states?)"

SOURCES = {
    "negated noun, 'is no X'": (
        r"(?<!there )\b(?:is|are|was|were|be) no "
        r"(?!longer\b|more\b|less\b|better\b|worse\b|larger\b|smaller\b|faster\b|slower\b|higher\b|lower\b|one\b|different\b|\d)\w+"
    ),
    "negated pronoun, 'is none'": r"(?<!there )\b(?:is|are|was|were|proves?) none\b(?! of)",
    "causal ', as'": (
        r", as (?!far |long |many |much |soon |well |if |when |usual|in |for |with )"
        rf"(?:[\w'-]+ ){{1,5}}?{VERBS}\b"
    ),
    "'a' for 'per'": rf"\b{UNITS} an? {WHOLES}\b(?! (?:\w+s|of|that|with|can|in|from|at|has|for|time)\b|'s)",
    "'takes' for 'needs'": (
        rf"\b(?:takes?|took) {ABOUT}(?:{SIZE}(?: more| extra)? ?(?:bits?|bytes?|[kMG]B)\b|"
        r"\[\[[^\]]+\|[kMG]B\]\]|(?:the same|no) room\b|(?:bits|bytes) per\b|"
        r"an? (?:half|third|quarter|fifth|eighth)"
        r"(?:[.;]| (?:less|more) memory| of (?:\d|the (?:memory|bytes|room))))"
    ),
    "'takes ... for' as a mistake": (
        rf"\b(?:takes?|took|taking) (?:(?!{COSTS}\b)[a-z][\w'-]* ){{1,6}}for {TAKEN}\b"
    ),
    "'has' for a size": (
        rf"\b{STORED}(?: itself| alone| above)? (?:has|have|had) {ABOUT}(?:\d[\d.,]*|\[\[[^\]]+\]\]) ?"
        r"(?:bytes|[kMG]B)\b(?! of (?:memory|RAM))|"
        r"\b(?:has|have|had) \[\[[^\]]+\|[kMG]B\]\](?! of (?:memory|RAM))"
    ),
    "'a thousand million'": r"\bthousand million\b",
    "'in place of' for 'instead of'": r"\bin place of\b",
    "absolute ', X left out'": (
        r",(?: [\w'-]+){1,4} (?:aside|left out|(?<!told )(?<!them )apart)(?=[.,;:?)]|$)"
    ),
    "'goes on' for 'continues'": r"\b(?:goes?|went|going) on(?: \w+ing\b|[.,;:]| and\b| until\b| with\b)",
    "'an own'": r"\b(?:an|no) own\b",
    "'Who does' for 'anyone who does'": r"(?:(?<=[.:] )|^)(?:Whoever|Who \w+s)\b[^?]*$",
    "'how many X has' for 'does ... have'": (
        r"\bhow many \w+(?: \w+)? has\b(?! \w+ \w+(?:en|ed)\b)|\bwhat (?:shape|size|rank) has\b"
    ),
    "'what becomes of', 'come of', 'speaks for'": (
        r"\bwhat becomes of\b|\bcomes? of (?:that|this|the)\b|\bspeaks? for\b"
    ),
    "'gather' for 'accumulate'": r"\bgather(?:s|ed|ing)? gradients?\b|\bgradients? (?:\w+ )*gathered\b",
    "'size' for 'magnitude'": r"\blargest size, whatever the sign\b|\bconstant is a size\b",
    "'missed by' for 'off by'": r"\b(?:is|are) missed by\b",
    "idioms of another language": (
        r"\bsame rope\b|\bto this come\b|\bfor nothing else than\b|\bthe more so\b|\bmany a little\b|"
        r"\bby the account of\b|\breckons? with\b|\bonce more once\b|\bno fair judge\b|\ball the same\b|"
        r"\bnot to be told\b|\bbrings nothing\b|\bput it away\b|\bone and the same\b|\btakes? the place of\b|"
        r"\bturned round\b|\bis of (?:no )?use\b|\bany more\b(?! than)"
    ),
}
PATTERNS = {name: re.compile(source, re.IGNORECASE) for name, source in SOURCES.items()}

ALLOWED = frozenset(
    {
        "The backward pass: who gets a gradient",  # a title that is a question
        "8 has 8 values, 8 to 8 apart",  # a distance
        "so it is set aside",  # the verb
    }
)
"""Phrases that a pattern finds and that are plain English where they stand."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A phrase, and the text that it stands in."""

    pattern: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.pattern}: {self.text}"


NOT_IN_COMMENTS = frozenset({"causal ', as'"})
"""Patterns that mostly find good English in comments: there "X, as Y does it" compares two programs."""

YAML_FOLDERS = (
    "study/lessons", "study/content", "flashcards/decks", "quizzes/questions", "quizzes/families",
    "quizzes/explain", "quizzes/bank", "lora_lab",
)  # fmt: skip
PACKAGES = ("study", "flashcards", "quizzes", "lora_lab", "classroom")
COMMENTED = (*PACKAGES, "benchmarks")
DOCUMENTS = ("*.md", "deploy/*.md", "docs/**/*.md")
QUOTING = frozenset({"docs/content-review.md", "docs/lesson-review.md", "docs/lesson-sources.md"})
"""Documents that quote sentences as they were before a correction."""
QUOTED = frozenset({"source", "references", "id", "concepts", "tags", "url", "check"})
"""Fields that hold names or sources instead of sentences."""
PLACEHOLDER = re.compile(r"\{[a-z][a-z0-9_]*(?::[^{}]*)?\}")
"""A drawn number in the texts of a question family."""
COMMENT_OR_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""|'
    r"'''(?:[^'\\]|\\.|'(?!''))*'''|"
    r'"(?:[^"\\\n]|\\.)*"|'
    r"'(?:[^'\\\n]|\\.)*'|"
    r"#[^\n]*",
    re.DOTALL,
)
"""Comments, and strings, in which a # begins none. The library's tokenizer takes ten times as long."""


def texts(root: Path = HERE) -> Iterator[tuple[str, str]]:
    """Yield every text that a learner or reader sees, with its file."""
    for folder in YAML_FOLDERS:
        for path in sorted((root / folder).rglob("*.yaml")):
            for text in _strings(yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)):
                filled = PLACEHOLDER.sub("8", text) if folder == "quizzes/families" else text
                yield str(path.relative_to(root)), filled
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.html")):
            for text in _shown(path.read_text("utf-8")):
                yield str(path.relative_to(root)), text
    for package in (*PACKAGES, "benchmarks"):
        for path in sorted((root / package).rglob("*.py")):
            for text in _read_strings(path.read_text("utf-8")).literals:
                yield str(path.relative_to(root)), text
    for path in sorted({path for pattern in DOCUMENTS for path in root.glob(pattern)}):
        name = path.relative_to(root).as_posix()
        if name in QUOTING:
            continue
        plain = re.sub(r"(?ms)^```.*?^```$", "", path.read_text("utf-8"))
        for text in re.split(r"\n\s*\n|\n(?=[-|#]|\d+\. )", plain):
            yield name, " ".join(text.split())


def comments(root: Path = HERE) -> Iterator[tuple[str, str]]:
    """Yield the docstrings and comments of every module, with its file."""
    paths = (path for package in COMMENTED for path in sorted((root / package).rglob("*.py")))
    for path in (root / "app.py", *paths):
        source = path.read_text("utf-8")
        for text in (*_read_strings(source).docstrings, *_comments(source)):
            yield path.relative_to(root).as_posix(), " ".join(text.replace("None", "8").split())


@dataclass(frozen=True)
class Strings:
    """The strings of a module."""

    literals: tuple[str, ...]
    """With a space in them, docstrings left out."""

    docstrings: tuple[str, ...]
    """Each paragraph of them, those of attributes included."""


@cache
def _read_strings(source: str) -> Strings:
    """Parse a module once for its texts and its docstrings."""
    nodes = list(ast.walk(ast.parse(source)))
    alone = [node.value for node in nodes if isinstance(node, ast.Expr)]
    told = [value for value in alone if isinstance(value, ast.Constant)]
    formatted = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    elsewhere = {*told, *(part for node in formatted for part in node.values)}
    return Strings(
        tuple(_literals(nodes, elsewhere)),
        tuple(
            paragraph
            for node in told
            if isinstance(node.value, str)
            for paragraph in re.split(r"\n\s*\n", node.value)
        ),
    )


def _literals(nodes: Iterable[ast.AST], elsewhere: Collection[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "8" for part in node.values)
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and " " in node.value
            and node not in elsewhere
        ):
            yield node.value


def _comments(source: str) -> Iterator[str]:
    """Yield each comment, whole if it has several lines."""
    block: list[str] = []
    last = 0
    line, read = 1, 0
    for found in COMMENT_OR_STRING.finditer(source):
        if not found[0].startswith("#"):
            continue
        line, read = line + source.count("\n", read, found.start()), found.start()
        if line != last + 1 and block:
            yield " ".join(block)
            block = []
        block.append(found[0].lstrip("# "))
        last = line
    if block:
        yield " ".join(block)


def _shown(template: str) -> Iterator[str]:
    """Yield the texts of a template, also for a hover or a screen reader, with 8 for what it fills in."""
    plain = re.sub(r"\{#.*?#\}|\{%.*?%\}", "", template, flags=re.DOTALL)
    filled = re.sub(r"\{\{.*?\}\}", "8", plain, flags=re.DOTALL)
    told = re.findall(r"\b(?:title|aria-label|alt)=\"([^\"]*)\"", filled)
    for text in (*re.split(r"<[^>]+>", filled), *told):
        if text.strip():
            yield " ".join(text.split())


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


def findings(everything: Iterable[tuple[str, str]], *, leave_out: Collection[str] = ()) -> Iterator[Finding]:
    """Find every pattern in every text."""
    wanted = {name: pattern for name, pattern in PATTERNS.items() if name not in leave_out}
    for where, text in everything:
        if any(phrase in text for phrase in ALLOWED):
            continue
        for name, pattern in wanted.items():
            for found in pattern.finditer(text):
                around = text[max(0, found.start() - 50) : found.end() + 40]
                yield Finding(pattern=name, where=where, text=around)


def main() -> None:
    """Print the counts, and with `--list` every finding."""
    listed = "--list" in sys.argv
    paths = [Path(word) for word in sys.argv[1:] if not word.startswith("--")]
    found = [*findings(texts(*paths)), *findings(comments(*paths), leave_out=NOT_IN_COMMENTS)]
    for finding in found if listed else ():
        print(finding)
    for name, count in Counter(finding.pattern for finding in found).most_common():
        print(f"{count:5d} {name}")
    print(f"{len(found):5d} in all")


if __name__ == "__main__":
    main()
