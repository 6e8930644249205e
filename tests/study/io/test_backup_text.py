"""The text of a backup: read row by row as JSON is read, and split into files that each can be imported."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.io import backup
from study.io.backup_text import read_document, split_document, write_document
from study.store import Store
from study.store.rows import RowTexts
from tests.study.io.test_backup import exchange, fill, rate, restore, rows

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.builds(
    lambda rest, tables: {**rest, "tables": tables},
    st.dictionaries(st.text().filter(lambda name: name != "tables"), VALUES, max_size=3),
    st.dictionaries(st.text(), st.lists(VALUES, max_size=3), max_size=3),
)


def plain(document: dict[str, Any]) -> dict[str, Any]:
    """A document that was read, with its rows parsed."""
    tables = {
        name: list(given) if isinstance(given, RowTexts) else given
        for name, given in document["tables"].items()
    }
    return {**document, "tables": tables}


@given(document=DOCUMENTS, indent=st.sampled_from([None, 0, 2]), ascii_only=st.booleans())
def test_a_backup_is_read_as_json_is(
    document: dict[str, Any], indent: int | None, *, ascii_only: bool
) -> None:
    assert plain(read_document(json.dumps(document, indent=indent, ensure_ascii=ascii_only))) == document
    assert plain(read_document(write_document(document).decode())) == document


@pytest.mark.parametrize(
    "text",
    ["", "[", "[]", "{", '{"a"', '{"a" 1}', '{"a": 1', '{"a": 1,}', '{"a": 1} 2', '{1: 2}', '{[]: 2}',
     '{"tables": {', '{"tables": {"a": [}}', '{"tables": {"a": [1 2]}}', '{"tables": {"a": [1,]}}'],
)  # fmt: skip
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own or ours, each with a place
        read_document(text)


def test_tables_that_are_no_lists_are_read_as_they_are() -> None:
    assert read_document('{"tables": {"a": 1, "b": []}}')["tables"] == {"a": 1, "b": RowTexts([])}
    assert read_document('{"tables": [1]}') == {"tables": [1]}


# ---- several files


def test_a_backup_too_large_for_one_file_comes_back_from_several_in_any_order(
    store: Store, ana: str, other: Store, tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, there = tmp_path / "here", tmp_path / "there"
    (home / "decks").mkdir(parents=True)
    (home / "decks" / "mine.yaml").write_text("deck: Mine\n")
    for day in range(3):
        fill(store, ana, day=day)
    for day in range(4):
        rate_again(store, ana, "often", now + timedelta(days=day))
    monkeypatch.setattr(backup, "PART_BYTES", 3_000)
    parts = exchange(store, home).export(ana, "json", now=now)
    assert len(parts) > 3
    assert [part.name for part in parts] == [
        f"lora-study-backup-2026-03-04-{number}-of-{len(parts)}.json" for number in range(1, len(parts) + 1)
    ]
    ben = other.profiles.add("browser", "Ben", now=now).id
    for part in reversed(parts):
        report = restore(other, ben, there, part.content)
        assert report.counts["rejected"] == report.counts["same"] == 0
    counts = {name: len(found) for name, found in rows(store, ana).items()}
    assert {name: len(found) for name, found in rows(other, ben).items()} == counts
    states = [{card: one.after for card, one in log.latest(who).items()} for log, who in
              ((store.cards, ana), (other.cards, ben))]  # fmt: skip
    assert states[0] == states[1]
    assert (there / "decks" / "mine.yaml").read_text() == "deck: Mine\n"
    everything = exchange(store, home).plan(ana, parts[0], now=now)
    assert everything.files == {}


def rate_again(store: Store, profile_id: str, card_id: str, at: datetime) -> None:
    if card_id not in store.cards.latest(profile_id):
        rate(store, profile_id, card_id, at)
        return
    last = store.cards.latest(profile_id)[card_id]
    store.cards.append(
        profile_id,
        card_id,
        rating=3,
        expected_review_id=last.id,
        reviewed_at=at,
        duration_ms=1,
        before=last.after,
        after=last.after,
    )


def test_no_part_is_larger_than_it_may_be() -> None:
    reviews = [{"id": number, "card_id": f"c{number % 7}", "after": "x" * 100} for number in range(500)]
    document = {"format": "x", "files": {}, "tables": {"card_reviews": reviews}}
    parts = list(split_document(document, most_bytes=20_000))
    assert len(parts) > 2
    assert all(len(write_document(part)) <= 20_000 for part in parts)
