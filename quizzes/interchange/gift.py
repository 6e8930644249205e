r"""GIFT, Moodle's text format: one question per block, blocks separated by blank lines.

A backslash escapes `~ = # { } :` and itself, everywhere in a text; a line break is `\n`. Moodle keeps a lone
backslash only where no such character (or `n`) follows, so formulas are always escaped as a whole. Texts are
HTML, as `[html]` says. A comment line above each question has the fields that GIFT lacks.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from quizzes.interchange.entry import QuestionEntry, QuestionReading, WrittenFile
from quizzes.interchange.forms import (
    SHARES,
    Answer,
    Form,
    build_fields,
    build_form,
    derive_id,
    format_number_text,
    parse_kept,
)
from quizzes.kinds.words import BLANK
from study.base.import_limits import check_items
from study.io.exchange import File, ImportEntry, reject_item, shorten
from study.text.html_import import convert_html, escape_plain, to_html

CATEGORY = "LoRA study"
MOST_ANSWERS = 100
_SPECIAL = "~=#{}:\\"
_ESCAPED = re.compile(r"\\([~=#{}:\\n])")
_PRIVATE = {character: chr(0xE100 + place) for place, character in enumerate(_SPECIAL)}
_BACK = {ord(private): character for character, private in _PRIVATE.items()}
_KEPT = re.compile(r"^// lora-study (\{.*\})$")
_TITLE = re.compile(r"::(?P<title>.*?)::", re.DOTALL)
_FORMAT = re.compile(r"\s*\[(?P<format>html|markdown|moodle|plain)\]", re.IGNORECASE)
_WEIGHT = re.compile(r"\s*%(-?\d{1,2}\.?\d*|-?100)%")
_TRUTHS = {"T": True, "TRUE": True, "F": False, "FALSE": False}
_NUMBER = re.compile(
    r"\s*(?P<low>-?[\d.]+(?:e[+-]?\d+)?)\s*(?:(?P<sign>:|\.\.)\s*(?P<high>-?[\d.]+(?:e[+-]?\d+)?))?\s*", re.I
)


# An answer block; a formula's `_{F}` or `\\mathbf{T}` isn't one.
_ANSWERS = re.compile(r"(?<!\\)\{\s*[~=#]|(?<![\\\w^])\{\s*(?:T|F|TRUE|FALSE)\s*[}#]")
_CARD = re.compile(r"\A#|^[QAC]:", re.MULTILINE)
"""A header line of Anki, or a part of a card in Markdown."""


class GiftError(ValueError):
    """The problem of one block."""


@dataclass(frozen=True)
class _Block:
    line: int
    text: str
    comments: tuple[str, ...]


def write_gift(entries: Iterable[QuestionEntry]) -> WrittenFile:
    """Write all questions that GIFT has a form for, by topic."""
    by_topic: dict[str, list[str]] = {}
    left_out = []
    for entry in entries:
        block = _write_block(entry)
        if block is None:
            left_out.append(entry)
        else:
            kept = json.dumps({"topic": entry.topic, **entry.fields}, ensure_ascii=True, sort_keys=True)
            by_topic.setdefault(entry.topic, []).append(f"// lora-study {kept}\n{block}")
    parts = [f"$CATEGORY: {CATEGORY}/{topic.replace('/', '//')}\n\n" + "\n\n".join(blocks)
             for topic, blocks in by_topic.items()]  # fmt: skip
    return WrittenFile(text="\n\n".join(parts) + "\n", left_out=tuple(left_out))


def is_gift(file: File) -> bool:
    """Return whether a text has GIFT's answers, and is neither cards in Markdown nor a table of them."""
    text = file.content.decode("utf-8-sig", "replace")
    lines = [line for line in text.splitlines() if line.strip()]
    holds_cards = _CARD.search(text) or all("\t" in line.strip() for line in lines)
    return not holds_cards and _ANSWERS.search(text) is not None


def read_gift(file: File) -> QuestionReading:
    """Read the questions of a file; one that can't be read is rejected with its line, the others are read."""
    text = file.content.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    topic = file.stem
    entries: list[QuestionEntry] = []
    rejected: list[ImportEntry] = []
    for block in _split_blocks(text):
        check_items(file.name, len(entries) + len(rejected))
        if block.text.startswith("$CATEGORY:"):
            topic = _read_topic(block.text.partition(":")[2])
            continue
        try:
            entries.append(_read_entry(block, topic))
        except GiftError as problem:
            item = shorten(block.text)
            rejected.append(reject_item(item, f"{file.name}:{block.line}  {problem}"))
    return QuestionReading(entries=tuple(entries), rejected=tuple(rejected))


# ---- writing


def _write_block(entry: QuestionEntry) -> str | None:
    form = build_form(entry)
    answers = _write_answers(form) if form else None
    if form is None or answers is None:
        return None
    keep = f"####{_escape(form.keep)}" if form.keep else ""
    before, _, after = BLANK.split(form.stem) if form.kind == "gaps" else (form.stem, "", "")
    return f"::{_escape_plain(form.name)}::[html]{_escape(before)}{{{answers}{keep}}}{_escape(after)}"


def _write_answers(form: Form) -> str | None:
    match form.kind:
        case "choice":
            return _write_choices(form)
        case "truth":
            [answer] = form.answers
            return (
                f"{'TRUE' if answer.right else 'FALSE'}#{_escape(answer.feedback)}#{_escape(answer.feedback)}"
            )
        case "number":
            [answer] = form.answers
            return f"#{answer.text}:{format_number_text(form.tolerance)}{_write_feedback(answer)}"
        case "pairs":
            return "".join(
                f"={_escape(answer.left)} -> {_escape_plain(answer.text)} " for answer in form.answers
            )
        case "words" | "gaps":
            only = 1 if form.kind == "gaps" else 0  # GIFT has no form for several gaps
            # An arrow would make a word a pair, and can't be escaped.
            if {a.gap for a in form.answers} != {only} or any("->" in a.text for a in form.answers):
                return None
            return "".join(_write_word(answer) for answer in form.answers)


def _write_word(answer: Answer) -> str:
    weight = "" if answer.right else "%0%"
    if answer.right and answer.text.startswith("%"):  # or it would be read as a weight
        weight = "%100%"
    return f"={weight}{_escape_plain(answer.text)}{_write_feedback(answer)} "


def _write_choices(form: Form) -> str | None:
    right = sum(answer.right for answer in form.answers)
    if form.several and right > 1:
        share = SHARES.get(right)
        marks = {True: f"~%{share}%", False: f"~%-{share}%"}
        if share is None:
            return None
    else:  # with one right answer, this is GIFT's only form
        marks = {True: "=", False: "~"}
    return "".join(
        f"{marks[answer.right]}{_write_option(answer.text)}{_write_feedback(answer)} "
        for answer in form.answers
    )


def _write_option(text: str) -> str:
    out = _escape(text)
    return f"&\\#37;{out[1:]}" if out.startswith("%") else out  # or it would be read as a weight


def _write_feedback(answer: Answer) -> str:
    return f"#{_escape(answer.feedback)}" if answer.feedback else ""


def _escape(text: str) -> str:
    return _escape_signs(to_html(text))


def _escape_plain(text: str) -> str:
    return _escape_signs(" ".join(text.split()))


def _escape_signs(text: str) -> str:
    escaped = "".join(f"\\{character}" if character in _SPECIAL else character for character in text)
    return escaped.replace("\n", "\\n")


# ---- reading


def _split_blocks(text: str) -> Iterator[_Block]:
    lines: list[str] = []
    comments: list[str] = []
    first = 0
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line.startswith("//"):
            comments.append(line.strip())
        elif line.strip():
            first = first or number
            lines.append(line)
        elif lines:
            yield _Block(first, "\n".join(lines), tuple(comments))
            lines, comments, first = [], [], 0


def _read_entry(block: _Block, topic: str) -> QuestionEntry:
    found = next((match for comment in block.comments if (match := _KEPT.match(comment))), None)
    kept = parse_kept(found[1] if found else None, line=block.line)
    if kept is not None and _write_block(kept) == block.text:
        return kept
    form = _read_form(block.text)
    fields = build_fields(form, kept, before=_read_written(kept) if kept else None)
    if kept:
        own = {"concepts", "level"} & kept.fields.keys()
        fields |= {"id": kept.id, **{name: kept.fields[name] for name in own}}
    else:
        tags = dict(re.findall(r"\[(id|tag):([^\[\]]+)\]", " ".join(block.comments)))
        fields["id"] = derive_id(form.name or form.stem, tags.get("id", form.name))
    return QuestionEntry(topic=kept.topic if kept else topic, fields=fields, line=block.line)


def _read_written(kept: QuestionEntry) -> Form | None:
    """Return the form of the kept fields as it comes back from a file; None if there is none."""
    written = _write_block(kept)
    try:
        return None if written is None else _read_form(written)
    except GiftError:  # the kept fields were changed by hand
        return None


def _read_form(text: str) -> Form:
    hidden = _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else _PRIVATE[found[1]], text)
    titled = _TITLE.match(hidden)
    name = _reveal_escaped(titled["title"]).strip() if titled else ""
    hidden = hidden[titled.end() :] if titled else hidden
    before, brace, rest = hidden.partition("{")
    inside, closing, after = rest.partition("}")
    if not brace:
        raise GiftError("a description asks nothing")
    if not closing:
        raise GiftError("the answers have no closing brace")
    if (count := inside.count("~") + inside.count("=")) > MOST_ANSWERS:
        raise GiftError(f"it has {count:,} answers; {MOST_ANSWERS} are the limit")
    read, before = _choose_reader(before)
    answers, _, keep = inside.rpartition("####") if "####" in inside else (inside, "", "")
    form = _parse_answers(answers.strip(), read)
    stem = read(f"{before} _____ {after}") if after.strip() else read(before)
    if form.kind == "words" and after.strip():
        gap = "|".join(answer.text for answer in form.answers if answer.right)
        answers_in_gap = tuple(replace(answer, gap=1) for answer in form.answers if answer.right)
        form = replace(form, kind="gaps", answers=answers_in_gap)
        stem = f"{read(before)} {{{{{gap}}}}} {read(after)}".strip()
    if not stem:
        raise GiftError("the question is empty")
    return replace(form, name=name, stem=stem, keep=read(keep))


def _parse_answers(inside: str, read: Any) -> Form:
    if not inside:
        raise GiftError("this app can't mark an essay")
    if inside.startswith("#"):
        return _read_number(inside[1:], read)
    if "~" in inside:
        return _read_choice(inside, read)
    if "=" in inside and "->" in inside:
        pairs = [part.partition("->") for part in inside.split("=")[1:]]
        answers = tuple(
            Answer(left=read(left), text=_unescape_plain(right), right=bool(left.strip()))
            for left, _, right in pairs
        )
        return Form(kind="pairs", answers=answers)
    word, *feedback = inside.split("#")
    if word.strip() in _TRUTHS:
        told = next((read(part) for part in feedback if part.strip()), "")
        right = _TRUTHS[word.strip()]
        answer = Answer(text="True" if right else "False", right=right, feedback=told)
        return Form(kind="truth", answers=(answer,))
    parts = inside.split("=")[1:] if "=" in inside else [inside]
    answers = tuple(_read_answer(part, read, right=True, words=True) for part in parts)
    return Form(kind="words", answers=answers)


def _read_choice(inside: str, read: Any) -> Form:
    parts = re.findall(r"([~=])([^~=]*)", inside)
    several = all(mark == "~" for mark, _ in parts)
    answers = tuple(_read_answer(part, read, right=mark == "=" and not several) for mark, part in parts)
    if not any(answer.right for answer in answers):
        raise GiftError("no answer is right")
    return Form(kind="choice", answers=answers, several=several)


def _read_number(inside: str, read: Any) -> Form:
    parts = inside.split("=")[1:] if "=" in inside else [inside]
    for part in parts:
        weight = _WEIGHT.match(part)
        part = part[weight.end() :] if weight else part
        written, _, told = part.partition("#")
        # Colons in numbers aren't escaped; one that is escaped is hidden like any other.
        found = _NUMBER.fullmatch(written.translate(_BACK))
        if found and (weight is None or weight[1] == "100"):
            return _number_form(found, read(told))
    raise GiftError("there is no number that counts in full")


def _number_form(found: re.Match[str], feedback: str) -> Form:
    try:
        low, high = float(found["low"]), float(found["high"] or 0)
    except ValueError as error:
        raise GiftError("the number can't be read") from error
    value, tolerance = ((low + high) / 2, (high - low) / 2) if found["sign"] == ".." else (low, high)
    answer = Answer(text=repr(value), right=True, feedback=feedback)
    return Form(kind="number", answers=(answer,), tolerance=tolerance)


def _read_answer(part: str, read: Any, *, right: bool, words: bool = False) -> Answer:
    weight = _WEIGHT.match(part)
    text, _, told = (part[weight.end() :] if weight else part).partition("#")
    counts = float(weight[1]) > 0 if weight else right
    return Answer(text=_unescape_plain(text) if words else read(text), right=counts, feedback=read(told))


def _choose_reader(before: str) -> tuple[Any, str]:
    """Return the function that reads the texts of a question, and its stem without the format's name."""
    found = _FORMAT.match(before)
    kind = found["format"].lower() if found else "moodle"
    stem = before[found.end() :] if found else before
    return partial(_read_text, kind), stem


def _read_text(kind: str, text: str) -> str:
    revealed = _reveal_escaped(text)
    match kind:
        case "html":
            return convert_html(revealed)
        case "moodle":
            return convert_html(revealed.strip().replace("\n", "<br>"))
    return escape_plain(revealed)


def _unescape_plain(text: str) -> str:
    return " ".join(_reveal_escaped(text).split())


def _reveal_escaped(text: str) -> str:
    return text.translate(_BACK)


def _read_topic(written: str) -> str:
    parts = [part.replace("\0", "/") for part in written.strip().replace("//", "\0").split("/")]
    return (parts[-1] if parts[-1] not in ("", "top") else CATEGORY).strip()
