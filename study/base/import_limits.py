"""Size limits of an imported file: generous for a course, far too small to stop the server."""

import csv
from collections.abc import Iterable

from study.base.errors import LearnerError

FILE_BYTES = 20_000_000
PACKAGE_BYTES = 64_000_000
"""For an archive, whose pictures and sounds are skipped."""

ITEMS = 20_000
"""Cards or questions per file."""

TEXT_CHARACTERS = 20_000
"""Per field of an item."""

HTML_CHARACTERS = 200_000
"""Per field before its tags are removed; pictures may be embedded as data."""

ID_CHARACTERS = 100
"""Per id: the log has room for 120, with the suffix that tells the cards of a note apart."""

HTML_TAGS = 3_000
"""Per text, because the standard library's parser takes quadratic time on stray tags."""

READING_BYTES = 400_000_000
"""Memory that the process which reads a file may take for it; the process itself needs about 115 MB."""

IMPORT_CPU_SECONDS = 60
"""Processor time for one file: the largest allowed ones take a third of it on a slow machine."""

IMPORT_SECONDS = 300
"""The same by the clock, for a busy machine and for systems without a limit on processor time."""

SMALL_FILE_CPU_SECONDS = 10
"""Processor time for a file that one page reads, such as a data set for the Lab."""

SMALL_FILE_SECONDS = 40
"""The same by the clock."""

SPLIT = "Split it into smaller files."


def limit_csv_fields() -> None:
    """Let the standard library read fields of this size: it has one limit for the whole process."""
    csv.field_size_limit(HTML_CHARACTERS)


def check_size(name: str, size_bytes: int, *, package: bool = False) -> None:
    """Raise LearnerError when a file of `size_bytes` is too large."""
    limit_bytes = PACKAGE_BYTES if package else FILE_BYTES
    if size_bytes > limit_bytes:
        raise LearnerError(f"{name} is larger than {limit_bytes // 10**6} MB, the limit.", do_next=SPLIT)


def check_items(name: str, count: int) -> None:
    """Raise LearnerError when a file holds too many items."""
    if count > ITEMS:
        raise LearnerError(f"{name} holds more than {ITEMS:,} items, the limit.", do_next=SPLIT)


def check_html(html: str) -> None:
    """Raise LearnerError when one text is longer than any card or question."""
    if len(html) > HTML_CHARACTERS:
        raise LearnerError(
            f"One text has {len(html):,} characters; {HTML_CHARACTERS:,} with its markup are the limit.",
            do_next="Shorten it, then import the file again.",
        )
    if html.count("<") > HTML_TAGS:
        raise LearnerError(
            f"One text has more than {HTML_TAGS:,} tags, the limit.",
            do_next="Take some of its markup out, then import the file again.",
        )


def list_length_problems(texts: Iterable[tuple[str, str]]) -> list[str]:
    """Return one phrase, without a full stop, for each named text that can't be stored."""
    problems = []
    for name, text in texts:
        if len(text) > TEXT_CHARACTERS:
            problems.append(f"its {name} has {len(text):,} characters; {TEXT_CHARACTERS:,} are the limit")
        elif is_broken(text):
            problems.append(f"its {name} holds half of a character")
    return problems


def is_broken(text: str) -> bool:
    """Return whether a text can't be written as UTF-8: it holds half of a character (a lone surrogate)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
