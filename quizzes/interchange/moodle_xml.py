"""Moodle XML, import and export. `fraction` is in percent, and must be one that Moodle accepts.

An element of our own, which Moodle ignores, has the fields that the format lacks.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from xml.etree import ElementTree as ET

from defusedxml import ElementTree as SafeET
from defusedxml.common import DefusedXmlException

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
from study.base.errors import LearnerError
from study.io.exchange import File, ImportEntry, reject_item, shorten
from study.text.html_import import convert_html, escape_plain, to_html

CATEGORY = "$course$/top/LoRA study"
KEPT = "lora-study"
_TYPES = {"choice": "multichoice", "truth": "truefalse", "number": "numerical", "words": "shortanswer",
          "pairs": "matching", "gaps": "cloze"}  # fmt: skip
_FORMATS = {"choice": "html", "truth": "moodle_auto_format"}
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_CLOZE = re.compile(r"\{\d{0,3}:(?:SHORTANSWER(?:_C)?|SAC?|MWC?|MW_C):")
_CLOZE_ANSWERS = re.compile(r"((?:[^}\\]|\\.)*)\}", re.DOTALL)


class XmlError(ValueError):
    """The problem of one question."""


def write_moodle_xml(entries: Iterable[QuestionEntry]) -> WrittenFile:
    """Write all questions that Moodle has a form for, with one category per topic."""
    quiz = ET.Element("quiz")
    left_out = []
    topic = None
    for entry in entries:
        made = _write_question(entry)
        if made is None:
            left_out.append(entry)
            continue
        if entry.topic != topic:
            topic = entry.topic
            category = ET.SubElement(quiz, "question", type="category")
            _write_text(ET.SubElement(category, "category"), f"{CATEGORY}/{topic.replace('/', '//')}")
        quiz.append(made)
    ET.indent(quiz)
    text = ET.tostring(quiz, encoding="unicode")
    return WrittenFile(text=f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n', left_out=tuple(left_out))


def read_moodle_xml(file: File) -> QuestionReading:
    """Read the questions of a file; one that can't be read is rejected with its number, the others stay."""
    try:
        quiz = SafeET.fromstring(file.content, forbid_dtd=True)
    except (ET.ParseError, DefusedXmlException, ValueError, LookupError, RecursionError) as error:
        raise LearnerError(
            f"{file.name} can't be read as XML: {error}.",
            do_next="Export it from Moodle again as “Moodle XML”.",
        ) from error
    if quiz.tag != "quiz":
        raise LearnerError(
            f"{file.name} is XML, but not a Moodle quiz.", do_next="Choose a file that begins with <quiz>."
        )
    topic = file.stem
    entries: list[QuestionEntry] = []
    rejected: list[ImportEntry] = []
    for number, element in enumerate(quiz.iter("question"), 1):
        if element.get("type") == "category":
            parts = _read_plain(element, "category").replace("//", "\0").split("/")
            topic = parts[-1].replace("\0", "/").strip() or topic
            continue
        try:
            entries.append(_read_entry(element, topic))
        except (XmlError, ValueError, StopIteration) as problem:
            name = _read_plain(element, "name") or convert_html(_read_plain(element, "questiontext"))
            why = f"{file.name}, question {number}: {problem}"
            rejected.append(reject_item(shorten(name), why))
    return QuestionReading(entries=tuple(entries), rejected=tuple(rejected), notes=_list_notices(quiz))


# ---- writing


def _write_question(entry: QuestionEntry) -> ET.Element | None:
    form = build_form(entry)
    if form is None or (form.kind == "choice" and sum(a.right for a in form.answers) not in SHARES):
        return None
    element = _build_element(form)
    ET.SubElement(element, "idnumber").text = _clean_text(entry.id)
    tags = ET.SubElement(element, "tags")
    for tag in (*entry.texts("concepts"), f"level:{entry.text('level')}"):
        _write_text(ET.SubElement(tags, "tag"), tag)
    if entry.text("hint"):
        _write_html(ET.SubElement(element, "hint", format="html"), entry.text("hint"))
    kept = {"topic": entry.topic, **entry.fields}
    ET.SubElement(element, KEPT).text = json.dumps(kept, ensure_ascii=True, sort_keys=True)
    return element


def _build_element(form: Form) -> ET.Element:
    element = ET.Element("question", type=_TYPES[form.kind])
    _write_text(ET.SubElement(element, "name"), form.name)
    stem = ET.SubElement(element, "questiontext", format="html")
    if form.kind == "gaps":
        ET.SubElement(stem, "text").text = _clean_text(_with_gaps(form))
    else:
        _write_html(stem, form.stem)
    _write_html(ET.SubElement(element, "generalfeedback", format="html"), form.keep)
    ET.SubElement(element, "defaultgrade").text = "1"
    ET.SubElement(element, "penalty").text = "0.3333333"
    if form.kind == "choice":
        ET.SubElement(element, "single").text = "false" if form.several else "true"
        ET.SubElement(element, "answernumbering").text = "ABCD"
    if form.kind in ("choice", "pairs"):
        ET.SubElement(element, "shuffleanswers").text = "true"
    if form.kind == "words":
        ET.SubElement(element, "usecase").text = "0"
    for answer in _list_answers(form):
        _write_answer(element, form, answer)
    return element


def _list_answers(form: Form) -> Iterable[Answer]:
    if form.kind == "truth":  # Moodle writes both
        [right] = form.answers
        other = Answer(text="False" if right.right else "True", right=False, feedback=right.feedback)
        return (replace(right, right=True), other)
    return () if form.kind == "gaps" else form.answers


def _write_answer(element: ET.Element, form: Form, answer: Answer) -> None:
    if form.kind == "pairs":
        pair = ET.SubElement(element, "subquestion", format="html")
        _write_html(pair, answer.left)
        _write_text(ET.SubElement(pair, "answer"), answer.text)
        return
    format_name = _FORMATS.get(form.kind, "plain_text")
    made = ET.SubElement(element, "answer", fraction=_compute_fraction(form, answer), format=format_name)
    if form.kind == "choice":
        _write_html(made, answer.text)
    else:
        _write_text(made, answer.text.lower() if form.kind == "truth" else answer.text)
    _write_html(ET.SubElement(made, "feedback", format="html"), answer.feedback)
    if form.kind == "number":
        ET.SubElement(made, "tolerance").text = format_number_text(form.tolerance)


def _compute_fraction(form: Form, answer: Answer) -> str:
    if form.kind != "choice" or not form.several:
        return "100" if answer.right else "0"
    share = SHARES[sum(other.right for other in form.answers)]
    return share if answer.right else f"-{share}"


def _with_gaps(form: Form) -> str:
    pieces = BLANK.split(form.stem)[::2]
    gaps = sorted({answer.gap for answer in form.answers})
    written = ["{1:SHORTANSWER:" + "~".join(
        f"={_cloze_out(a.text)}" + (f"#{_cloze_out(a.feedback)}" if a.feedback else "")
        for a in form.answers if a.gap == gap) + "}" for gap in gaps]  # fmt: skip
    return "".join(to_html(piece) + gap for piece, gap in zip(pieces, [*written, ""], strict=True))


def _cloze_out(text: str) -> str:
    return re.sub(r"([}#~/\\\"])", r"\\\1", text)


def _write_text(element: ET.Element, text: str) -> None:
    ET.SubElement(element, "text").text = _clean_text(text)


def _write_html(element: ET.Element, text: str) -> None:
    _write_text(element, to_html(text))


def _clean_text(text: str) -> str:
    return _NOT_IN_XML.sub("", text)


# ---- reading


def _read_entry(element: ET.Element, topic: str) -> QuestionEntry:
    kept = parse_kept(element.findtext(KEPT))
    if kept is not None and _is_unchanged(element, kept):
        return kept
    form = _read_form(element)
    tags = [_read_plain(tag) for tag in element.iter("tag")]
    level = next((tag.removeprefix("level:") for tag in tags if tag.startswith("level:")), "")
    given = element.findtext("idnumber") or form.name
    fields = {
        **build_fields(form, kept, before=_read_written(kept) if kept else None),
        "id": kept.id if kept else derive_id(form.name or form.stem, given),
        "concepts": [tag for tag in tags if not tag.startswith("level:")],
    }
    fields |= {"level": level} if level else {}
    return QuestionEntry(topic=kept.topic if kept else topic, fields=fields)


def _is_unchanged(element: ET.Element, kept: QuestionEntry) -> bool:
    """Return whether the form is still as it was written from the kept fields."""
    made = _write_question(kept)
    return made is not None and _are_alike(made, element)


def _read_written(kept: QuestionEntry) -> Form | None:
    """Return the form of the kept fields as it comes back from a file; None if there is none."""
    made = _write_question(kept)
    try:
        return None if made is None else _read_form(made)
    except (ValueError, StopIteration):  # the kept fields were changed by hand
        return None


def _are_alike(one: ET.Element, other: ET.Element) -> bool:
    """Compare names, attributes and texts; the spaces around a text are the layout of a file."""
    return (
        (one.tag, one.attrib) == (other.tag, other.attrib)
        and _normalize_text(one.text) == _normalize_text(other.text)
        and _normalize_text(one.tail) == _normalize_text(other.tail)
        and len(one) == len(other)
        and all(map(_are_alike, one, other))
    )


def _normalize_text(text: str | None) -> str:
    """A text as a file gives it back: with the line ends that XML knows."""
    return (text or "").replace("\r\n", "\n").replace("\r", "\n").strip()


def _read_form(element: ET.Element) -> Form:
    kinds = {name: kind for kind, name in _TYPES.items()}
    given = element.get("type", "")
    if given not in kinds:
        raise XmlError(f"a question of the type {given or 'unknown'} can't be marked here")
    if element.find(".//file") is not None:
        raise XmlError("it shows a picture, which this app does not keep")
    name = _read_plain(element, "name")
    stem, keep = _read_content(element.find("questiontext")), _read_content(element.find("generalfeedback"))
    form = {
        "choice": _read_choice,
        "truth": _read_truth,
        "number": _read_number,
        "words": _read_words,
        "pairs": _read_pairs,
        "gaps": _read_gaps,
    }[kinds[given]](element)
    form = replace(form, name=name, keep=keep, stem=form.stem or stem)
    if not form.stem:
        raise XmlError("the question is empty")
    if form.kind != "truth" and not any(answer.right for answer in form.answers):
        raise XmlError("no answer is right")
    return form


def _read_choice(element: ET.Element) -> Form:
    several = (element.findtext("single") or "true").strip() == "false"
    answers = tuple(_read_answer(answer, _read_content(answer)) for answer in element.findall("answer"))
    return Form(kind="choice", answers=answers, several=several)


def _read_truth(element: ET.Element) -> Form:
    right = next(answer for answer in element.findall("answer") if _read_fraction(answer) > 0)
    true = _read_plain(right).lower() == "true"
    answer = Answer(
        text="True" if true else "False", right=true, feedback=_read_content(right.find("feedback"))
    )
    return Form(kind="truth", answers=(answer,))


def _read_number(element: ET.Element) -> Form:
    full = next((a for a in element.findall("answer") if _read_fraction(a) == 100), None)
    if full is None:
        raise XmlError("no number counts in full")
    answer = _read_answer(full, repr(float(_read_plain(full))))
    return Form(kind="number", answers=(answer,), tolerance=float(full.findtext("tolerance") or 0))


def _read_words(element: ET.Element) -> Form:
    answers = tuple(_read_answer(answer, _read_plain(answer)) for answer in element.findall("answer"))
    return Form(kind="words", answers=answers)


def _read_pairs(element: ET.Element) -> Form:
    answers = []
    for pair in element.findall("subquestion"):
        left = _read_content(pair)
        answers.append(Answer(left=left, text=_read_plain(pair, "answer"), right=bool(left)))
    return Form(kind="pairs", answers=tuple(answers))


def _read_gaps(element: ET.Element) -> Form:
    text = _read_plain(element, "questiontext")
    answers: list[Answer] = []
    stem, end = "", 0
    for gap, (start, inside, after) in enumerate(_cloze_gaps(text), 1):
        parts = re.split(r"(?<!\\)~", inside)
        given = [part for part in parts if part.startswith(("=", "%100%"))]
        if not given:
            raise XmlError("a gap has no answer that counts in full")
        for part in given:
            word, *told = re.split(r"(?<!\\)#", part.removeprefix("=").removeprefix("%100%"), maxsplit=1)
            told_text = convert_html(_unescape_cloze(told[0])) if told else ""
            answers.append(Answer(gap=gap, text=_unescape_cloze(word), right=True, feedback=told_text))
        stem += text[end:start] + "{{" + "|".join(a.text for a in answers if a.gap == gap) + "}}"
        end = after
    if not answers:
        raise XmlError("it has no gap that is filled with words")
    return Form(kind="gaps", stem=convert_html(stem + text[end:]), answers=tuple(answers))


def _cloze_gaps(text: str) -> Iterator[tuple[int, str, int]]:
    """Yield the start, answers and end of each gap; stop at a gap without an end."""
    end = 0
    while opening := _CLOZE.search(text, end):
        answers = _CLOZE_ANSWERS.match(text, opening.end())
        if answers is None:
            return
        yield opening.start(), answers[1], answers.end()
        end = answers.end()


def _unescape_cloze(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _read_answer(element: ET.Element, text: str) -> Answer:
    return Answer(
        text=text, right=_read_fraction(element) > 0, feedback=_read_content(element.find("feedback"))
    )


def _read_fraction(element: ET.Element) -> float:
    return float(element.get("fraction") or 0)


def _read_content(element: ET.Element | None) -> str:
    """Convert a text from its format to our markup."""
    if element is None:
        return ""
    text = element.findtext("text") or ""
    kind = element.get("format", "html")
    return escape_plain(text) if kind in ("plain_text", "markdown") else convert_html(text)


def _read_plain(element: ET.Element, name: str = "") -> str:
    inside = element.find(name) if name else element
    return ((inside.findtext("text") if inside is not None else "") or "").strip()


def _list_notices(quiz: ET.Element) -> tuple[str, ...]:
    parts = {answer.get("fraction", "0") for answer in quiz.iter("answer")} - {"0", "100", *SHARES.values()}
    shared = {part for part in parts if not part.startswith("-")}
    return ("Parts of a point are not kept: here each right option counts the same.",) if shared else ()
