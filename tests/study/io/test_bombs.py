"""Small files that are made to be expensive: each is read or refused in a moment."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from flashcards.decks.note import cloze_numbers
from flashcards.interchange.anki_templates import front_of
from flashcards.interchange.entry import assign_ids
from flashcards.interchange.formats import read_cards
from quizzes.interchange.formats import read_questions
from study.base.errors import LearnerError
from study.base.import_limits import HTML_CHARACTERS, HTML_TAGS
from study.io.exchange import File
from study.text.html_import import from_html, to_html
from tests.time_limit import cpu_time_limit

CPU_SECONDS = 10  # none takes a tenth of this; the readings they replace took minutes


def fill(piece: str, end: str = "") -> str:
    """As many of a piece as one text may have."""
    by_tags = HTML_TAGS // piece.count("<") if "<" in piece else HTML_CHARACTERS
    return piece * min(HTML_CHARACTERS // len(piece) - len(end), by_tags) + end


def cards(name: str, text: str) -> Callable[[], Any]:
    return lambda: assign_ids(
        read_cards(File(name=name, content=text.encode()), known={}, concepts=()).entries
    )


def questions(name: str, text: str) -> Callable[[], Any]:
    return lambda: read_questions(File(name=name, content=text.encode()))


def moodle_cloze(text: str) -> str:
    inside = f"<questiontext><text>{text}</text></questiontext>"
    return f'<quiz><question type="cloze">{inside}</question></quiz>'


HTML = ("[latex]", "<anki-mathjax ", r"\(", "[$]", "<p>", "<br>", "<!--", "<a ", "<a '", "</a ", "<!", "<?",
        "<![CDATA[", "<pre>", "<code>x</code>", "&", "&#x", "\n", " \n")  # fmt: skip
MARKUP = ("$", "$$a ", "`", "```a\n", "\n")
BOMBS: dict[str, Callable[[], Any]] = {
    **{f"html {piece!r}": partial(from_html, fill(piece)) for piece in HTML},
    "html that is nearly all line breaks": lambda: from_html(fill("\n", "x")),
    **{f"markup {piece!r}": partial(to_html, fill(piece)) for piece in MARKUP},
    "cloze": lambda: cloze_numbers(fill("{{c1::")),
    "cloze with hints": lambda: cloze_numbers("{{c1" + fill("::a")),
    "template": lambda: front_of("{{Front}}" * 100_000, {"Front": "x" * 20_000}),
    "template sections": lambda: front_of("{{#Front}}" * 100_000, {"Front": "x"}),
    "moodle gaps": questions("a.xml", moodle_cloze(fill("{1:SA:"))),
    "moodle escapes": questions("a.xml", moodle_cloze("{1:SA:=" + fill("\\~"))),
    "gift options": questions("a.gift", "x {" + "~a" * 300_000 + "=b}"),
    "gift words": questions("a.gift", "x {" + "=a" * 300_000 + "}"),
    "gift tags": questions("a.gift", "// " + "[id:" * 300_000 + "\nx {=a}"),
    "gift titles": questions("a.gift", "::" + "::a" * 300_000),
    "yaml to the base of 60": cards("a.yaml", "deck: " + "1:" * 300_000 + "1"),
    "yaml floats to the base of 60": cards("a.yaml", "deck: " + "1:" * 300_000 + "1.5"),
    "yaml nested": cards("a.yaml", "[" * 100_000),
    "json nested": cards("a.json", "[" * 1_000_000),
    "json digits": cards("a.json", '{"deck": ' + "1" * 1_000_000 + "}"),
    "markdown cards": cards("a.md", "Q: a\nA: b\n" * 100_000),
    "markdown lines": cards("a.md", "Q: a\nA: b\n" + "c\n" * 1_000_000),
    "markdown gaps": cards("a.md", "C: " + "[" * 200_000),
    "table of 100,000 cards": cards("a.csv", "a,b\n" * 100_000),
    "table of one name": cards("a.csv", "a,b\n" * 19_999),
    "table of columns": cards("a.csv", "," * 1_000_000),
    "table whose header repeats": cards("a.csv", "#separator:Comma\n" * 100_000 + "a,b\n"),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_file_is_read_or_refused_in_a_moment(bomb: str) -> None:
    with cpu_time_limit(CPU_SECONDS), suppress(LearnerError):
        BOMBS[bomb]()


def test_one_text_may_not_be_endless() -> None:
    with pytest.raises(LearnerError, match="characters"):
        from_html("x" * (HTML_CHARACTERS + 1))
    with pytest.raises(LearnerError, match="tags"):
        from_html("<b>" * (HTML_TAGS + 1))
