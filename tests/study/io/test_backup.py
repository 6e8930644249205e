"""Backups: everything of a profile goes out and comes back equal, whatever tables there are."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, Float, Integer, insert, select

from flashcards.interchange.backup_rows import check_row
from flashcards.scheduling.scheduler import DEFAULT_PARAMETERS, preview_outcomes
from study.base.errors import LearnerError
from study.base.import_limits import PACKAGE_BYTES
from study.io.apply_import import Imports
from study.io.backup import BackupExchange
from study.io.exchange import File, ImportReport
from study.store import Store
from study.store import schema as t
from study.store.rows import LEFT_OUT, list_owned_tables, list_parents, read_rows
from tests.study.opinions import opinions

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)


def fill(store: Store, profile_id: str, *, day: int = 0) -> None:
    """Two rows in every table that a profile owns, made from the schema: new tables are filled as well."""
    with store.database.write() as connection:
        for table in list_owned_tables():
            for number in range(2):
                values = {c.name: _value(c, f"{table.name}-{day}-{number}", number, day) for c in table.c}
                values |= {"profile_id": profile_id} if "profile_id" in table.c else {}
                for key in list_parents(table):
                    of_parent = select(key.column).order_by(key.column.desc()).limit(1).offset(number)
                    values[key.parent.name] = connection.scalar(of_parent)
                if isinstance(table.primary_key.columns[0].type, Integer):
                    values.pop("id", None)
                connection.execute(insert(table).values(**values))


def _value(column: Any, text: str, number: int, day: int) -> Any:
    if isinstance(column.type, t.UtcDateTime):
        return NOW + timedelta(days=day, minutes=number)
    if column.table.name == "card_reviews" and column.name in ("before", "after"):
        return None if column.name == "before" else preview_outcomes(None, now=NOW)[2].after.to_json()
    if column.name == "verb":
        return "flag"
    if column.table.name == "parameter_fits" and isinstance(column.type, JSON):
        return (
            list(DEFAULT_PARAMETERS)
            if column.name == "parameters"
            else {"log_loss": 0.3, "rmse_bins": 0.1, "auc": None}
        )
    if column.name == "rating":
        return number + 2
    if isinstance(column.type, JSON):
        held: dict[str, Any] = {
            "question_ids": [text],
            "choice": {"topic": text, "length": number + 1, "seconds_each": None},
            "response": {"option": text},
            "concepts": [text, "b"],
            "evidence": [[0, number + 1]],
        }
        return held.get(column.name, {"of": [text, number]})
    if isinstance(column.type, Boolean):
        return bool(number)
    if isinstance(column.type, Integer):
        return 1000 * day + number
    if isinstance(column.type, Float):
        return number + 0.25
    return text[-column.type.length :] if getattr(column.type, "length", None) else text


def exchange(store: Store, home: Path) -> BackupExchange:
    return BackupExchange(store=store, home=home, row_problem=check_row)


def backup_of(store: Store, profile_id: str, home: Path) -> bytes:
    [file] = exchange(store, home).export(profile_id, "json", now=NOW)
    return file.content


def restore(store: Store, profile_id: str, home: Path, content: bytes) -> ImportReport:
    plan = exchange(store, home).plan(profile_id, File(name="b.json", content=content), now=NOW)
    return Imports(store=store, home=home).apply(profile_id, plan, file_name="b.json", now=NOW)


def everything(store: Store) -> dict[str, list[Any]]:
    """The whole database but the record of imports, and how often a profile was written to."""
    with store.database.read() as connection:
        return {
            table.name: [
                tuple(row)
                for row in connection.execute(select(*(c for c in table.columns if c.name != "position")))
            ]
            for table in t.metadata.sorted_tables
            if table.name not in ("imports", "import_undos")
        }


def rows(store: Store, profile_id: str) -> dict[str, list[dict[str, Any]]]:
    with store.database.read() as connection:
        return read_rows(connection, profile_id)


def test_every_table_of_a_learner_is_in_the_backup() -> None:
    names = {table.name for table in t.metadata.sorted_tables}
    assert {table.name for table in list_owned_tables()} == names - LEFT_OUT


def test_a_backup_comes_back_equal_on_another_machine(
    store: Store, ana: str, other: Store, tmp_path: Path
) -> None:
    fill(store, ana)
    home, there = tmp_path / "here", tmp_path / "there"
    (home / "decks").mkdir(parents=True)
    (home / "decks" / "mine.yaml").write_bytes("deck: Größe\n".encode() + b"\xff")
    there.mkdir()
    ben = other.profiles.add("browser", "Ben", now=NOW).id
    before = everything(other)
    content = backup_of(store, ana, home)
    report = restore(other, ben, there, content)
    assert report.counts["rejected"] == report.counts["changed"] == 0
    assert rows(other, ben) == rows(store, ana)
    assert (there / "decks" / "mine.yaml").read_bytes() == (home / "decks" / "mine.yaml").read_bytes()
    again = restore(other, ben, there, gzip.decompress(gzip.compress(content)))
    assert (again.counts["new"], again.counts["changed"]) == (0, 0)
    for record in other.imports.list_undoable(ben):
        Imports(store=other, home=there).undo(ben, record.id, now=NOW)
    assert everything(other) == before
    assert list((there / "decks").iterdir()) == []


def test_a_second_backup_adds_only_what_came_since(
    store: Store, ana: str, other: Store, tmp_path: Path
) -> None:
    fill(store, ana)
    ben = other.profiles.add("browser", "Ben", now=NOW).id
    restore(other, ben, tmp_path, backup_of(store, ana, tmp_path))
    fill(store, ana, day=1)
    report = restore(other, ben, tmp_path, backup_of(store, ana, tmp_path))
    expected = sum(len(found) for found in rows(store, ana).values())
    assert report.counts["new"] == report.counts["same"] == expected / 2
    assert rows(other, ben) == rows(store, ana)


def test_restoring_beside_another_learner_leaves_theirs_alone(store: Store, ana: str, tmp_path: Path) -> None:
    fill(store, ana)
    ben = store.profiles.add("browser of Ben", "Ben", now=NOW).id
    before = rows(store, ana)
    restore(store, ben, tmp_path, backup_of(store, ana, tmp_path))
    assert rows(store, ana) == before
    assert {name: len(found) for name, found in rows(store, ben).items()} == {
        name: len(found) for name, found in before.items()
    }
    assert len(store.cards.latest(ben)) == len(store.cards.latest(ana))


def test_erasing_a_learner_empties_every_table_of_them_and_nothing_else(
    store: Store, ana: str, tmp_path: Path
) -> None:
    ben = store.profiles.add("browser of Ben", "Ben", now=NOW).id
    before = everything(store)
    eve = store.profiles.add("browser of Eve", "Eve", now=NOW).id
    fill(store, eve)
    restore(store, eve, tmp_path, backup_of(store, ana, tmp_path))
    [record] = store.imports.list_undoable(eve)
    Imports(store=store, home=tmp_path).undo(eve, record.id, now=NOW)
    store.profiles.erase(eve)
    assert everything(store) == before
    assert ben in {profile.id for profile in store.profiles.all()}
    with store.database.read() as connection:
        assert (
            connection.execute(select(t.imports)).all()
            == connection.execute(select(t.import_undos)).all()
            == []
        )


def test_the_preview_of_a_backup_has_a_learners_words_and_the_date_of_every_page(
    store: Store, ana: str, tmp_path: Path
) -> None:
    fill(store, ana)
    ben = store.profiles.add("browser of Ben", "Ben", now=NOW).id
    report = restore(store, ben, tmp_path, backup_of(store, ana, tmp_path))
    tables = {table.name.replace("_", " ").capitalize() for table in list_owned_tables()}
    titles = [group.title for group in report.groups]
    assert tables & set(titles) == {"Card reviews", "Drafts", "Predictions"}
    assert len(titles) == len(set(titles))
    assert titles[-1] == "Other records"
    assert report.counts["new"] == 2 * len(list_owned_tables())
    assert report.notes == ("A backup of Ana, made on 4 March 2026.",)


def test_what_is_newer_here_is_kept_and_said(store: Store, ana: str, tmp_path: Path) -> None:
    rate(store, ana, "card", NOW)
    store.preferences.change(ana, new_cards_a_day=5)
    content = backup_of(store, ana, tmp_path)
    ben = store.profiles.add("browser of Ben", "Ben", now=NOW).id
    rate(store, ben, "card", NOW + timedelta(days=1))
    store.preferences.change(ben, new_cards_a_day=7)
    before = everything(store)
    report = restore(store, ben, tmp_path, content)
    reasons = [reason for group in report.groups for reason, _ in group.reasons]
    assert "you have rated this card here since" in reasons
    assert (report.counts["changed"], store.preferences.read(ben).new_cards_a_day) == (1, 5)
    [record] = store.imports.list_undoable(ben)
    Imports(store=store, home=tmp_path).undo(ben, record.id, now=NOW)
    assert store.preferences.read(ben).new_cards_a_day == 7
    assert everything(store) == before


def test_an_undo_leaves_what_was_answered_since_and_says_so(store: Store, ana: str, tmp_path: Path) -> None:
    fill(store, ana)
    content = backup_of(store, ana, tmp_path)
    ben = store.profiles.add("browser of Ben", "Ben", now=NOW).id
    before = rows(store, ben)
    restore(store, ben, tmp_path, content)
    attempt = store.explains.attempts(ben)[0]
    store.explains.record(ben, attempt.id, opinions(rank="covered"), by="learner", at=NOW)
    [record] = store.imports.list_undoable(ben)
    undone = Imports(store=store, home=tmp_path).undo(ben, record.id, now=NOW)
    assert undone.stays["explain_attempts"] == 1
    assert undone.stays.keys() <= {
        "explain_attempts",
        "explain_verdicts",
        "explain_verdict_undos",
        "explain_replies",
    }
    [left] = store.explains.attempts(ben)
    assert left.text == attempt.text
    assert "rank" in {judgement.concept_id for judgement in left.judgements}
    others = {name: found for name, found in rows(store, ben).items() if name not in undone.stays}
    assert others == {name: found for name, found in before.items() if name not in undone.stays}


def test_an_undo_of_an_import_takes_an_undo_of_its_rows_along(store: Store, ana: str, tmp_path: Path) -> None:
    rate(store, ana, "card", NOW)
    content = backup_of(store, ana, tmp_path)
    ben = store.profiles.add("browser of Ben", "Ben", now=NOW).id
    before = everything(store)
    restore(store, ben, tmp_path, content)
    last = store.card_operations.last(ben)
    assert last is not None
    store.card_operations.undo(ben, expected_id=last.id, undone_at=NOW)
    [record] = store.imports.list_undoable(ben)
    assert Imports(store=store, home=tmp_path).undo(ben, record.id, now=NOW).stays == {}
    assert everything(store) == before


def test_an_undo_keeps_a_draft_and_a_setting_that_were_changed_since(
    store: Store, ana: str, tmp_path: Path
) -> None:
    store.preferences.change(ana, new_cards_a_day=5, reviews_a_day=50)
    store.drafts.save(ana, "explain:rank", "Ana's text", at=NOW)
    content = backup_of(store, ana, tmp_path)
    ben = store.profiles.add("browser of Ben", "Ben", now=NOW).id
    store.preferences.change(ben, new_cards_a_day=7, reviews_a_day=70)
    restore(store, ben, tmp_path, content)
    store.drafts.save(ben, "explain:rank", "Ana's text, and Ben's", at=NOW + timedelta(minutes=1))
    store.preferences.change(ben, new_cards_a_day=9)
    [record] = store.imports.list_undoable(ben)
    undone = Imports(store=store, home=tmp_path).undo(ben, record.id, now=NOW)
    assert undone.stays == {"drafts": 1, "preferences": 1}
    assert store.drafts.read(ben, "explain:rank") == "Ana's text, and Ben's"
    kept = store.preferences.read(ben)
    assert (kept.new_cards_a_day, kept.reviews_a_day) == (9, 70)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"step": 999}, "is from a newer version of the app"),
        ({"tables": []}, "is not a backup of this app"),
        ({"made_at": None}, "is not a backup of this app"),
    ],
)
def test_a_file_that_is_no_backup_for_this_app_says_so(
    store: Store, ana: str, tmp_path: Path, change: dict[str, Any], what: str
) -> None:
    document = {**json.loads(backup_of(store, ana, tmp_path)), **change}
    with pytest.raises(LearnerError, match=what):
        restore(store, ana, tmp_path, json.dumps(document).encode())


def test_rows_and_files_that_do_not_fit_are_left_out_and_said(store: Store, ana: str, tmp_path: Path) -> None:
    fill(store, ana)
    document = json.loads(backup_of(store, ana, tmp_path))
    ben = store.profiles.add("browser of Ben", "Ben", now=NOW).id
    document["tables"]["card_reviews"][0]["after"] = {"phase": "?"}
    document["tables"]["preferences"][0] |= {"name": "new_cards_a_day", "value": -5}
    document["tables"]["card_verbs"][0] |= {"verb": "bury", "value": "tomorrow"}
    document["tables"]["card_verbs"][1]["verb"] = "shred"
    document["tables"]["drafts"][0]["saved_at"] = "yesterday"
    document["tables"]["explain_attempts"][0]["colour"] = "red"
    document["tables"]["no_such_table"] = [{}]
    document["files"] = {"../evil.yaml": "x", "decks/.hidden": "x", "decks/a/b.yaml": "x", "runs/a.yaml": "x"}
    report = restore(store, ben, tmp_path, json.dumps(document).encode())
    reasons = {reason for group in report.groups for reason, _ in group.reasons}
    assert reasons >= {
        "the state after a rating can't be read",
        "what was done with a card can't be read",
        "new_cards_a_day can't be '-5'",
        "saved_at isn't a time with a time zone",
        "this app has no colour there",
        "this app keeps no such list",
        "not a name for a deck or question file of your own",
        "it belongs to something that is left out",
    }
    assert [path.name for path in tmp_path.rglob("*.yaml")] == []
    assert store.preferences.read(ben).new_cards_a_day == 10


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("quiz_sessions", "choice", {"length": 99}),
        ("quiz_sessions", "choice", {"length": "x"}),
        ("quiz_sessions", "choice", {"mode": "exam", "seconds_each": "x"}),
        ("quiz_sessions", "choice", {"mode": "exam", "seconds_each": 10**18}),
        ("quiz_sessions", "choice", {"topic": ["a"]}),
        ("answers", "response", "x"),
        ("answers", "response", [1]),
        ("answers", "response", {"option": [1]}),
        ("answers", "response", {"options": None}),
        ("answers", "response", {"blanks": 5}),
        ("answers", "response", {"pairs": [1]}),
        ("answer_retries", "response", {"order": 5}),
    ],
)
def test_a_quiz_or_an_answer_that_pages_can_not_read_is_left_out(
    store: Store, ana: str, tmp_path: Path, table: str, column: str, value: object
) -> None:
    fill(store, ana)
    document = json.loads(backup_of(store, ana, tmp_path))
    ben = store.profiles.add("browser of Ben", "Ben", now=NOW).id
    document["tables"][table][0][column] = value
    report = restore(store, ben, tmp_path, json.dumps(document).encode())
    reasons = [reason for group in report.groups for reason, _ in group.reasons]
    assert any(reason.startswith(f"{column} can't be") for reason in reasons)
    assert value not in [row[column] for row in rows(store, ben)[table]]


def test_a_bomb_is_not_unpacked(store: Store, ana: str, tmp_path: Path) -> None:
    bomb = gzip.compress(b'{"format": "lora-study-backup", "x": "' + b" " * (PACKAGE_BYTES + 10))
    with pytest.raises(LearnerError, match="unpacks to more than 64 MB"):
        exchange(store, tmp_path).plan(ana, File(name="b.json.gz", content=bomb), now=NOW)


def rate(store: Store, profile_id: str, card_id: str, at: datetime) -> None:
    after = preview_outcomes(None, now=at)[2].after.to_json()
    store.cards.append(
        profile_id,
        card_id,
        rating=3,
        expected_review_id=0,
        reviewed_at=at,
        duration_ms=1000,
        before=None,
        after=after,
    )
