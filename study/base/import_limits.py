"""How much an imported file may hold: generous for a course, far too little to stop the server."""

from collections.abc import Iterable

from study.base.errors import LearnerError

FILE_BYTES = 20_000_000
PACKAGE_BYTES = 64_000_000
"""Of an archive, whose pictures and sounds are passed over."""

ITEMS = 20_000
"""Cards or questions in one file."""

TEXT_CHARACTERS = 20_000
"""Of one field of one item."""

HTML_CHARACTERS = 200_000
"""The same before its tags are taken out; pictures may stand in it as data."""

HTML_TAGS = 3_000
"""Of one text; the reader of the standard library takes time by the square of stray ones."""

_SPLIT = "Split it into smaller files."


def check_size(name: str, size_bytes: int, *, package: bool = False) -> None:
    """Raise LearnerError when a file is too large."""
    limit_bytes = PACKAGE_BYTES if package else FILE_BYTES
    if size_bytes > limit_bytes:
        raise LearnerError(f"{name} has more than {limit_bytes // 10**6} MB, the limit.", do_next=_SPLIT)


def check_items(name: str, count: int) -> None:
    """Raise LearnerError when a file holds too many items."""
    if count > ITEMS:
        raise LearnerError(f"{name} holds more than {ITEMS:,} items, the limit.", do_next=_SPLIT)


def check_html(html: str) -> None:
    """Raise LearnerError when one text is longer than anything that a card or question can be about."""
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


def length_problems(texts: Iterable[tuple[str, str]]) -> list[str]:
    """What is too long to be kept, of named texts, each as a sentence without its full stop."""
    return [
        f"its {name} has {len(text):,} characters; {TEXT_CHARACTERS:,} are the limit"
        for name, text in texts
        if len(text) > TEXT_CHARACTERS
    ]
