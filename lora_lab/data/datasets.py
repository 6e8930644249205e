"""Training data sets: prompts and answers from the app's own content, or a learner's JSONL or CSV file."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock

from study.base.errors import LearnerError
from study.base.import_limits import limit_csv_fields
from study.content.training_pairs import read_training_pairs

MAX_FILE_BYTES = 2_000_000
MAX_PAIRS = 2_000
MIN_PAIRS = 5
MAX_TEXT_CHARACTERS = 8_000
MAX_PROBLEMS_SHOWN = 10
HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")  # JSON can express one, but a UTF-8 file can't hold it
WANTED = 'Each example needs a "prompt" and an "answer" text, both not empty.'
HELD_OUT_BELOW = "2"
"""Prompts whose hash begins with 0 or 1 of the 16 hexadecimal digits are held out: one in eight."""

_reading = Lock()


@dataclass(frozen=True, kw_only=True)
class Example:
    prompt: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Training examples and held-out examples, with a digest that changes when their text does."""

    label: str
    digest: str
    train: tuple[Example, ...]
    held_out: tuple[Example, ...]


def build_own_dataset() -> Dataset:
    """Return the data set of the app's own cards (front and back) and questions with their right answers."""
    with _reading:  # half a second of work, which two threads would otherwise do beside each other
        return _read_own_dataset()


@cache
def _read_own_dataset() -> Dataset:
    examples = [Example(prompt=prompt, answer=answer) for prompt, answer in read_training_pairs()]
    return split_examples(examples, label="the app's own cards")


def split_examples(examples: Sequence[Example], *, label: str) -> Dataset:
    """Hold out about one in eight, by a hash of the prompt, so a growing data set moves no example across.

    In a data set so small that one side would be empty, that side gets the nearest example.
    """
    ordered = sorted(examples, key=_hash_prompt)
    held_out = sum(_hash_prompt(example) < HELD_OUT_BELOW for example in ordered)
    held_out = min(max(1, held_out), len(ordered) - 1)
    return Dataset(
        label=label,
        digest=_compute_digest(examples),
        train=tuple(ordered[held_out:]),
        held_out=tuple(ordered[:held_out]),
    )


def build_dataset(label: str, *, train: tuple[Example, ...], held_out: tuple[Example, ...]) -> Dataset:
    """Build a data set that was split elsewhere; its digest is that of the examples in this order."""
    return Dataset(label=label, digest=_compute_digest((*train, *held_out)), train=train, held_out=held_out)


def _compute_digest(examples: Sequence[Example]) -> str:
    lines = "\n".join(_format_line(example) for example in examples)
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def _hash_prompt(example: Example) -> str:
    return hashlib.sha256(example.prompt.encode()).hexdigest()


def _format_line(example: Example) -> str:
    return json.dumps({"prompt": example.prompt, "answer": example.answer}, ensure_ascii=False)


def save_dataset(dataset: Dataset, folder: Path) -> None:
    """Write the exact text that a run is trained on next to the run."""
    for name, examples in (("train", dataset.train), ("held_out", dataset.held_out)):
        (folder / f"data-{name}.jsonl").write_text(_format_lines(examples), "utf-8")
    about = {"label": dataset.label, "digest": dataset.digest}
    (folder / "data.json").write_text(json.dumps(about), "utf-8")


@lru_cache(maxsize=2)  # the cells of a grid are created one after the other, on the same two parts
def _format_lines(examples: tuple[Example, ...]) -> str:
    return "".join(_format_line(example) + "\n" for example in examples)


def read_label(folder: Path) -> str:
    """Read the name of a run's data set, such as its file's; empty for a damaged one."""
    path = folder / "data.json"
    try:
        return _read_label(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


@lru_cache(maxsize=4096)  # each poll names the data of the runs that it shows; what raises is not cached
def _read_label(path: Path, _written_ns: int) -> str:
    return str(json.loads(path.read_text("utf-8"))["label"])


def load_saved(folder: Path) -> Dataset:
    """Read a run's data set. Raises LearnerError on a damaged one."""
    try:
        names = ("data.json", "data-train.jsonl", "data-held_out.jsonl")
        return _parse_saved(*((folder / name).read_text("utf-8") for name in names))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LearnerError(
            "The run's data can no longer be read.", do_next="Start a new one with the same settings."
        ) from error


@lru_cache(maxsize=1)  # the cells of a grid, read one after the other, have the same data
def _parse_saved(about: str, *parts: str) -> Dataset:
    """Parse the texts of data.json and of the two parts."""
    named = json.loads(about)
    train, held_out = (
        tuple(_build_example(json.loads(line)) for line in io.StringIO(part)) for part in parts
    )
    return Dataset(label=str(named["label"]), digest=str(named["digest"]), train=train, held_out=held_out)


def _build_example(values: dict[str, str]) -> Example:
    if not all(isinstance(text, str) for text in values.values()):
        raise TypeError("an example consists of texts")
    return Example(**values)


def read_upload(name: str, content: bytes) -> Dataset:
    """Parse a learner's JSONL or CSV file with the fields `prompt` and `answer`.

    Raises LearnerError that names every bad line, up to ten.
    """
    if len(content) > MAX_FILE_BYTES:
        raise LearnerError(
            f"{name} has {len(content):,} bytes; the limit is {MAX_FILE_BYTES:,}.",
            do_next="Cut it down to the examples that matter.",
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LearnerError(
            f"{name} is not UTF-8 text (byte {error.start}).", do_next="Save it as UTF-8 and try again."
        ) from error
    suffix = Path(name).suffix.lower()
    if suffix not in (".jsonl", ".csv"):
        raise LearnerError(f"{name} is neither .jsonl nor .csv.", do_next="Use one of these two formats.")
    rows = _read_jsonl_rows(text) if suffix == ".jsonl" else _read_csv_rows(name, text)
    examples = read_pairs(name, rows)
    if len(examples) < MIN_PAIRS:
        usable = f"{len(examples)} usable {'example' if len(examples) == 1 else 'examples'}"
        raise LearnerError(
            f"{name}: {usable}; at least {MIN_PAIRS} are needed.",
            do_next=WANTED,
        )
    return split_examples(examples, label=name)


@dataclass(frozen=True)
class DamagedLine:
    """A line that could not be parsed."""

    what: str


Row = tuple[int, object]
"""Line number and its content: a mapping, `DamagedLine`, or something else that is not an example."""


def _read_jsonl_rows(text: str) -> Iterator[Row]:
    # Not splitlines(): it also splits at characters, such as U+2028, that are valid inside a JSON string.
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                yield number, DamagedLine(f"not JSON ({error.msg} at column {error.colno})")
            except (ValueError, RecursionError):
                yield number, DamagedLine("not JSON (a number or a nesting beyond all measure)")


def _read_csv_rows(name: str, text: str) -> Iterator[Row]:
    limit_csv_fields()
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        missing = {"prompt", "answer"} - set(reader.fieldnames or ())
        if missing:
            raise LearnerError(
                f"{name}: line 1: no column named {' or '.join(sorted(missing))}.",
                do_next="Begin the file with the line: prompt,answer",
            )
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        yield reader.line_num, DamagedLine(f"not CSV ({error})")


def read_pairs(name: str, rows: Iterable[Row], *, unit: str = "line") -> list[Example]:
    """Return the examples in `rows`. Raises LearnerError that names every bad line, up to ten."""
    examples, problems = [], []
    for number, row in rows:
        problem = _find_problem(row)
        if problem:
            problems.append(f"{unit} {number}: {problem}")
        elif isinstance(row, dict):
            examples.append(Example(prompt=row["prompt"].strip(), answer=row["answer"].strip()))
    if len(examples) > MAX_PAIRS:
        problems.append(f"{len(examples):,} examples; the limit is {MAX_PAIRS:,}")
    if problems:
        more = len(problems) - MAX_PROBLEMS_SHOWN
        shown = "; ".join(problems[:MAX_PROBLEMS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise LearnerError(f"{name}: {shown}.", do_next=WANTED)
    return examples


def _find_problem(row: object) -> str | None:
    if isinstance(row, DamagedLine):
        return row.what
    if not isinstance(row, dict):
        return "not an object with prompt and answer"
    for field in ("prompt", "answer"):
        value = row.get(field)
        if not isinstance(value, str) or not value.strip():
            return f"{field} is missing or empty"
        if HALF_A_CHARACTER.search(value):
            return f"{field} holds half a character (a lone surrogate)"
        if len(value) > MAX_TEXT_CHARACTERS:
            return f"{field} has {len(value):,} characters; the limit is {MAX_TEXT_CHARACTERS:,}"
    return None
