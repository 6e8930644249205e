"""Questions as a table: one row each. Choices and words have cells; the last cell has all other fields.

A cell that a spreadsheet would evaluate as a formula begins with an apostrophe, which spreadsheets don't
show; reading one of our own tables removes it.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from quizzes.interchange.entry import QuestionEntry, QuestionReading, WrittenFile
from quizzes.interchange.forms import Answer, Form, build_fields, build_form, change_texts, parse_kept
from quizzes.kinds.grade import MOST_KEYS
from study.base.import_limits import HTML_CHARACTERS, limit_csv_fields
from study.base.spreadsheets import BOM, build_row_error, decode_table, is_formula
from study.content.yaml_reader import LEVELS
from study.io.exchange import File, ImportEntry, reject_item, shorten

MOST_WRONG = MOST_KEYS - 1
WRONG = tuple(name for n in range(1, MOST_WRONG + 1) for name in (f"wrong_{n}", f"wrong_{n}_feedback"))
ANSWERS = ("kind", "right", "right_feedback", *WRONG)
BEGIN = ("id", "topic", "kind", "level", "concepts", "stem", "right", "right_feedback")
COLUMNS = (*BEGIN, *WRONG, "keep", "more")


def write_table(entries: Iterable[QuestionEntry]) -> WrittenFile:
    """Write all questions; a BOM lets a spreadsheet read UTF-8."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        more = json.dumps(dict(entry.fields), ensure_ascii=False, sort_keys=True)
        row = {**_write_row(entry), "more": more}
        writer.writerow({name: _neutralize(cell) for name, cell in row.items()})
    return WrittenFile(text=BOM + text.getvalue())


def is_table(file: File) -> bool:
    """Return whether the first row names the columns without which there is no question."""
    start = file.content[: 4 * HTML_CHARACTERS].decode("utf-8-sig", "replace")
    try:
        names = csv.DictReader(
            io.StringIO(start, newline=None), delimiter=_detect_separator(start)
        ).fieldnames
    except csv.Error:
        return False
    return {"stem", "right"} <= set(names or ())


def read_table(file: File) -> QuestionReading:
    """Read the questions of a table; a row that can't be read is rejected with its line, the others stay."""
    text = decode_table(file.name, file.content)
    limit_csv_fields()
    reader = csv.DictReader(io.StringIO(text, newline=None), delimiter=_detect_separator(text))
    entries: list[QuestionEntry] = []
    rejected: list[ImportEntry] = []
    try:
        ours = "more" in (reader.fieldnames or ())
        for row in reader:
            cells = {
                name: cell.removeprefix("'") if ours else cell
                for name, cell in row.items()
                if name and isinstance(cell, str)
            }
            entry = _read_entry(cells, reader.line_num, file.stem)
            if entry is None:
                why = f"{file.name}:{reader.line_num}  needs a `stem` and a `right` answer"
                rejected.append(reject_item(shorten(cells.get("stem", "")), why))
            else:
                entries.append(entry)
    except csv.Error as error:
        raise build_row_error(file.name, reader.line_num, error) from error
    return QuestionReading(entries=tuple(entries), rejected=tuple(rejected))


def _write_row(entry: QuestionEntry) -> dict[str, str]:
    form = build_form(entry)
    answers = form.answers if form and form.kind in ("choice", "words", "number") else ()
    right = [answer for answer in answers if answer.right]
    wrong = [answer for answer in answers if not answer.right][:MOST_WRONG]
    row = {
        "id": entry.id,
        "topic": entry.topic,
        "kind": entry.kind,
        "level": entry.text("level"),
        "concepts": " ".join(entry.texts("concepts")),
        "stem": entry.text("stem"),
        "right": "\n".join(answer.text.replace("\n", " ") for answer in right),
        "right_feedback": right[0].feedback if right else "",
        "keep": entry.text("keep"),
    }
    for number, answer in enumerate(wrong, 1):
        row |= {f"wrong_{number}": answer.text, f"wrong_{number}_feedback": answer.feedback}
    return row


def _read_entry(cells: Mapping[str, str], line: int, stem: str) -> QuestionEntry | None:
    topic = cells.get("topic", "").strip() or stem
    kept = parse_kept(cells.get("more"), topic=topic, line=line)
    written = _write_row(kept) if kept else {}
    filled = {name: cell for name, cell in cells.items() if cell and name != "more"}
    if kept and {name: cell for name, cell in written.items() if cell} == filled:
        return kept
    if kept and cells.get("stem") and all(cells.get(n, "") == written.get(n, "") for n in ANSWERS):
        fields = change_texts(kept, stem=cells["stem"], keep=cells.get("keep", ""))
    else:
        form = _read_form(cells)
        if form is None:
            return None
        if kept and kept.kind == "numeric":  # a tolerance has no cell
            form = replace(form, tolerance=float(kept.fields.get("tolerance", 0)))
        fields = build_fields(form, kept)
    level = cells.get("level", "")
    fields |= {
        "id": cells.get("id", "").strip(),
        "concepts": cells.get("concepts", "").split(),
        "level": level if level in LEVELS else LEVELS[0],
    }
    return QuestionEntry(topic=topic, fields=fields, line=line)


def _read_form(cells: Mapping[str, str]) -> Form | None:
    right = [line.strip() for line in cells.get("right", "").split("\n") if line.strip()]
    feedback = cells.get("right_feedback", "")
    numbers = range(1, MOST_WRONG + 1)
    wrong = [
        Answer(text=cells[f"wrong_{n}"], right=False, feedback=cells.get(f"wrong_{n}_feedback", ""))
        for n in numbers
        if cells.get(f"wrong_{n}", "").strip()
    ]
    stem, keep, kind = cells.get("stem", ""), cells.get("keep", ""), cells.get("kind", "")
    answers = (*(Answer(text=text, right=True, feedback=feedback) for text in right), *wrong)
    if not stem or not right:
        return None
    if kind == "numeric" and _is_number(right[0]):
        return Form(kind="number", stem=stem, keep=keep, answers=answers[:1])
    if wrong and kind != "short-text":
        several = len(right) > 1 or kind == "multiple"
        return Form(kind="choice", stem=stem, keep=keep, answers=answers, several=several)
    return Form(kind="words", stem=stem, keep=keep, answers=answers)


def _detect_separator(text: str) -> str:
    return max(",;\t", key=text.partition("\n")[0].count)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _neutralize(cell: str) -> str:
    return f"'{cell}" if is_formula(cell) or cell.startswith("'") else cell
