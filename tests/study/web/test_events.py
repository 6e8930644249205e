"""What pages send is checked where it enters: nothing a browser says is taken on trust."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from markupsafe import Markup

from study.base.errors import LearnerError
from study.base.html import NO_HTML, format_html
from study.web import form_event, frame
from tests.visits import opened


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (form_event.read_text, None),
        (form_event.read_text, 7),
        (form_event.read_text, "x" * 201),
        (form_event.read_whole, "3.5"),
        (form_event.read_whole, "²"),
        (form_event.read_whole, ""),
        (form_event.read_whole, "9" * 30),
        (form_event.read_moment, "yesterday"),
    ],
)
def test_an_unusable_value_is_refused_in_plain_words(read: Callable[..., Any], value: object) -> None:
    with pytest.raises(LearnerError, match="Reload the page"):
        read({"name": value}, "name")


def test_usable_values_are_read() -> None:
    event = {"n": "-3", "at": "2026-03-04T10:00:00+00:00", "fields": {"tick": ["a", "b"], "name": ["Ana"]}}
    assert form_event.read_whole(event, "n") == -3
    assert form_event.read_moment(event, "at") == datetime(2026, 3, 4, 10, tzinfo=UTC)
    assert form_event.read_fields(event, "tick") == ["a", "b"]
    assert form_event.read_field(event, "name") == "Ana"
    assert form_event.read_field(event, "missing", default="x") == "x"


@pytest.mark.parametrize("form", [{"name": "Ana"}, {"name": [1]}, {"name": [None]}])
def test_a_malformed_form_is_refused(form: object) -> None:
    with pytest.raises(LearnerError, match="without a usable 'name'"):
        form_event.read_field({"fields": form}, "name")


@pytest.mark.parametrize(
    "form", [{"ranks": ["4"] * 301}, {f"field-{number}": [] for number in range(301)},
             {"ranks": ["4"] * 200, "seeds": ["1"] * 101}],
)  # fmt: skip
def test_a_form_of_too_many_values_is_refused_in_words(form: dict[str, list[str]]) -> None:
    with pytest.raises(LearnerError, match=r"came with 301 values; 300 are the limit. Choose fewer"):
        form_event.read_form({"fields": form})
    assert form_event.read_form({"fields": {"runs": ["r"] * 300}}) == {"runs": ["r"] * 300}
    with pytest.raises(LearnerError, match="301 values"):
        form_event.read_fields({"fields": {"runs": ["r"] * 301}}, "runs")


def test_a_text_over_its_limit_says_by_how_much() -> None:
    with pytest.raises(LearnerError, match=r"'answer' has 1,001 characters. Shorten it to at most 1,000"):
        form_event.read_field({"fields": {"answer": ["x" * 1001]}}, "answer", limit=1000)
    assert len(form_event.read_field({"fields": {"answer": ["x" * 1000]}}, "answer", limit=1000)) == 1000


@pytest.mark.parametrize(
    ("written", "read"),
    [("5", 5), ("-5", 0), ("99999", 50), ("", 10), ("ten", 10), ("9" * 5000, 50), ("-" + "9" * 5000, 0)],
)
def test_a_number_in_an_address_is_brought_into_range(written: str, read: int) -> None:
    assert form_event.read_number(written, default=10, low=0, high=50) == read


def test_a_moment_at_the_end_of_all_time_is_refused_in_words() -> None:
    with pytest.raises(LearnerError, match="must be a date and time"):
        form_event.read_moment({"at": "0001-01-01T00:00:00+23:59"}, "at")


def test_what_no_database_takes_is_taken_out_of_a_text() -> None:
    event = {"name": "a\0b\ud800", "fields": {"name": ["a\0b", "\udfff"]}}
    assert form_event.read_text(event, "name") == "ab?"
    assert form_event.read_fields(event, "name") == ["ab", "?"]
    assert frame.read_event_query({"query": "?q=a%00b"}) == {"q": "ab"}


def test_half_a_character_in_any_part_of_an_answer_can_be_sent() -> None:
    found = format_html("<b>{}</b>", "\ud800")
    sent = frame._make_sendable({"parts": {"found": found}, "say": "\ud800", "html": NO_HTML})
    assert sent == {"parts": {"found": "<b>?</b>"}, "say": "?", "html": ""}
    assert isinstance(sent["parts"]["found"], Markup)


def test_no_line_of_a_page_ends_between_a_number_and_its_unit() -> None:
    """What is copied, sent or read out by name keeps plain spaces."""
    shown = (
        '<p title="9.77 MB"><b>50</b> % at r = 8, arXiv 2106.09685 section 4, <math></math> = 16: 2.10 GB</p>'
        "<code>head -c 8 MB</code><textarea>r = 8 in 3 min</textarea>10:00 UTC, blocks of 64"
    )
    kept = (
        '<p title="9.77 MB"><b>50</b>_% at r_=_8, arXiv 2106.09685 section_4, <math></math>_=_16: 2.10_GB</p>'
        "<code>head -c 8 MB</code><textarea>r = 8 in 3 min</textarea>10:00_UTC, blocks of_64"
    ).replace("_", "\u00a0")
    place = frame.IslandPlace(elem_id="island", title="A page", path="/page")
    html = Markup(shown)
    answer = {"html": html, "parts": {"a": html}}
    page = SimpleNamespace(place=place, load=lambda _: html, act=lambda *_: answer)
    assert frame._load_island(page, opened("b1")) == kept
    assert frame.guard_act(page)({}, opened("b1")) == {"html": kept, "parts": {"a": kept}}
