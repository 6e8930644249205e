"""Cards as tables, Markdown and deck files; archives opened with care; own files; the command line."""

import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from flashcards.__main__ import main
from flashcards.decks.deck import load_decks
from flashcards.interchange import archive
from flashcards.interchange.anki_write import write_apkg
from flashcards.interchange.archive import Archive
from flashcards.interchange.entry import CardEntry, to_entries
from flashcards.interchange.exchange import build_card_exchange
from flashcards.interchange.markdown import read_markdown, write_markdown
from flashcards.interchange.table import read_csv, write_csv
from flashcards.interchange.user_decks import LiveDecks
from study.base.errors import LearnerError
from study.base.import_limits import FILE_BYTES
from study.content.concepts import ConceptMap
from study.io.apply_import import Imports
from study.io.exchange import File
from study.store import Store
from study.text.html_import import convert_html, normalize_html, to_html

PIECES = st.sampled_from(
    ["Q:", "A:", "C:", "\nQ: x", "\nA\\: y", "\n---", "$a < b$", "`x = 1`", "<b>", "&lt;", "\\(", "$$x$$",
     "\n```\ncode\n  more\n```\n", "-->", "=1+1", "@", "[gap]", "word", " ", "\n", "é", '"', ",", "\\"]
)  # fmt: skip
TEXTS = st.lists(PIECES, min_size=1, max_size=6).map("".join).map(str.strip).filter(bool)


def test_an_own_file_that_is_too_large_is_told_what_to_do(concepts: ConceptMap, tmp_path: Path) -> None:
    with open(tmp_path / "large.yaml", "wb") as large:
        large.truncate(FILE_BYTES + 1)
    [problem] = LiveDecks(concepts, tmp_path).collection.problems
    assert problem == "large.yaml is larger than 20 MB, the limit. Split it into smaller files."


@settings(max_examples=80)
@given(TEXTS)
def test_a_text_that_has_been_html_looks_the_same(text: str) -> None:
    there_and_back = convert_html(to_html(text))
    assert normalize_html(there_and_back) == normalize_html(text)
    assert convert_html(to_html(there_and_back)) == there_and_back


@settings(max_examples=60)
@given(front=TEXTS, back=TEXTS, why=TEXTS)
def test_any_card_survives_markdown(front: str, back: str, why: str) -> None:
    card = CardEntry(
        deck='A "deck"', id="one", front=front, back=back, why=why, level="advanced", tags=("x y",)
    )
    [(_, content)] = write_markdown([card]).items()
    [read] = read_markdown(File(name="deck.md", content=content)).entries
    assert (read.deck, read.id, read.front, read.back) == (card.deck, "one", front, back)
    assert (read.why, read.tags, read.level) == (card.why, card.tags, "advanced")


@settings(max_examples=60)
@given(front=TEXTS, back=TEXTS)
def test_any_card_survives_a_table_and_no_cell_is_a_formula(front: str, back: str) -> None:
    card = CardEntry(deck="=deck", id="one", front=front, back=back, level="beginner", concepts=("rank",))
    content = write_csv([card])
    [read] = read_csv(File(name="t.csv", content=content), known={}, concepts=("rank",)).entries
    assert (read.deck, read.id, read.collect_content(), read.concepts) == (
        "=deck",
        "one",
        card.collect_content(),
        ("rank",),
    )
    rows = content.decode().split("\n", 7)[7]
    assert not rows.startswith(("=", "+", "-", "@"))
    assert not [cell for cell in rows.split(',"') if cell.startswith(("=", "+", "@"))]


def test_a_table_keeps_what_else_a_typed_card_accepts() -> None:
    card = CardEntry(
        deck="D", id="one", kind="typed", front="Short for?", back="LoRA", accept=("=lora", "Lo <b>ra")
    )
    [read] = read_csv(File(name="t.csv", content=write_csv([card])), known={}, concepts=()).entries
    assert (read.kind, read.accept) == ("typed", card.accept)


def test_hashcards_own_form_is_read_with_its_lines() -> None:
    text = "Intro\nA: lost\n\nQ: One?\nA: Yes,\nand more.\n\nC: The [rank] of $B A$ is [at most] r.\n\nQ: 2?"
    reading = read_markdown(File(name="mine.md", content=text.encode()))
    basic, cloze = reading.entries
    assert (basic.deck, basic.front, basic.back, basic.line) == ("mine", "One?", "Yes,\nand more.", 4)
    assert (cloze.kind, cloze.text) == ("cloze", "The {{c1::rank}} of $B A$ is {{c2::at most}} r.")
    assert [entry.why for entry in reading.rejected] == [
        "mine.md:2  an `A:` without its `Q:`",
        "mine.md:10  a `Q:` without its `A:`",
    ]


@pytest.mark.parametrize(
    "content",
    [
        "#separator:Tab\n#html:false\n#tags column:3\nF\tB\tone two\n",
        "Question;Answer;Tags\nF;B;one two\n",
        "F,B,one two\n",
        "#separator:Semicolon\n#columns:Back;Front;Tags\nB;F;one two\n",
        "Front,Back,Tags\rF,B,one two\r",
    ],
)
def test_tables_of_other_programs_are_read_by_header_names_or_place(content: str) -> None:
    [entry] = read_csv(File(name="t.csv", content=content.encode("utf-8-sig")), known={}, concepts=()).entries
    assert (entry.front, entry.back, entry.tags, entry.deck) == ("F", "B", ("one", "two"), "t")


def test_a_header_line_may_repeat(concepts: ConceptMap) -> None:
    text = "#separator:Semicolon\n#separator:Comma\n#deck:A\n#deck:B\nF,B\n"
    [entry] = read_csv(File(name="t.csv", content=text.encode()), known={}, concepts=()).entries
    assert (entry.front, entry.back, entry.deck, entry.line) == ("F", "B", "B", 5)


def zipped(names: dict[str, bytes]) -> File:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in names.items():
            made.writestr(name, content)
    return File(name="x.apkg", content=packed.getvalue())


@pytest.mark.parametrize(
    ("file", "what"),
    [
        (File(name="x.apkg", content=b"no zip"), "is not a whole archive"),
        (zipped({"../x": b""}), "a file name that leads out of it"),
        (zipped({"/etc/x": b""}), "a file name that leads out of it"),
        (zipped({"C:\\x": b""}), "a file name that leads out of it"),
        (zipped({"a\\..\\x": b""}), "a file name that leads out of it"),
        (zipped({"x": b"0" * 60_000_000}), "would unpack to 60.0 MB"),
    ],
)
def test_an_archive_with_a_trap_is_refused_before_anything_is_read(file: File, what: str) -> None:
    with pytest.raises(LearnerError, match=what):
        Archive(file)


def test_an_archive_of_too_many_files_or_of_a_bomb_within_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_FILES", 2)
    with pytest.raises(LearnerError, match="holds 3 files; 2 are the limit"):
        Archive(zipped({"1": b"", "2": b"", "3": b""}))
    inside = zstandard.ZstdCompressor().compress(b"0" * 5_000_000)
    with pytest.raises(LearnerError, match=r"unpack collection.anki21b to more than 1\.00 MB"):
        Archive(zipped({"collection.anki21b": inside})).read("collection.anki21b", limit_bytes=1_000_000)


@pytest.mark.parametrize("content", [b"SQLite format 3\0" + b"\0" * 100, b"junk", b""])
def test_a_damaged_collection_is_refused_in_a_sentence(
    store: Store, tmp_path: Path, concepts: ConceptMap, content: bytes
) -> None:
    file = zipped({"collection.anki21": content, "media": b"{}"})
    with pytest.raises(LearnerError, match=r"The collection in x\.apkg can't be read"):
        build_card_exchange(store, tmp_path, concepts).plan("", file, now=_never())


def test_yaml_that_would_grow_without_end_is_refused_with_its_line(
    store: Store, tmp_path: Path, concepts: ConceptMap
) -> None:
    file = File(name="b.yaml", content=b"deck: A\ncards:\n  - &a {id: one, front: x, back: y}\n  - *a\n")
    [group] = build_card_exchange(store, tmp_path, concepts).plan("", file, now=_never()).groups
    assert [entry.why for entry in group.entries] == ["b.yaml:4  YAML: aliases are not read"]


def test_a_card_of_the_app_is_rewritten_as_an_edit_is_and_keeps_its_id(
    store: Store, ana: str, tmp_path: Path, concepts: ConceptMap
) -> None:
    exchange = build_card_exchange(store, tmp_path, concepts)
    first = next(entry for entry in to_entries(load_decks(concepts)) if entry.deck == "LoRA basics")
    comment = json.dumps({"id": first.id})
    text = f"Q: {first.front}\nA: In my words.\n<!-- lora-study {comment} -->\n"
    plan = exchange.plan(ana, File(name="e.md", content=text.encode()), now=_never())
    imports = Imports(store=store, home=tmp_path)
    assert imports.apply(ana, plan, file_name="e.md", now=_never()).counts["changed"] == 1
    assert plan.files == {}
    [exported] = [f for f in exchange.export(ana, "md", now=_never()) if f.name == "lora-basics.md"]
    assert b"A: In my words." in exported.content
    [record] = imports.store.imports.list_undoable(ana)
    imports.undo(ana, record.id, now=_never())
    assert store.card_operations.live(ana, ["edit"]) == []


def edit(store: Store, profile: str, note_id: str, **texts: str) -> None:
    store.card_operations.append(profile, "edit", note_id, at=_never(), value=texts)


def import_cards(store: Store, profile: str, home: Path, concepts: ConceptMap, file: File) -> dict[str, int]:
    plan = build_card_exchange(store, home, concepts).plan(profile, file, now=_never())
    report = Imports(store=store, home=home).apply(profile, plan, file_name=file.name, now=_never())
    return {str(verdict): count for verdict, count in report.groups[0].counts.items()}


def test_a_changed_back_keeps_the_learners_own_front(
    store: Store, ana: str, tmp_path: Path, concepts: ConceptMap
) -> None:
    decks = load_decks(concepts)
    note = next(note for note in decks.notes.values() if note.kind == "basic")
    edit(store, ana, note.id, **{**note.texts, "front": "MY OWN FRONT"})
    [table] = build_card_exchange(store, tmp_path, concepts).export(ana, "csv", now=_never())
    entries = read_csv(table, known={}, concepts=concepts.by_id).entries
    changed = [replace(e, back="A BACK FROM THE TABLE") if e.id == note.id else e for e in entries]
    file = File(name="t.csv", content=write_csv(changed))
    assert import_cards(store, ana, tmp_path, concepts, file)["changed"] == 1
    [verb] = store.card_operations.live(ana, ["edit"])[-1:]
    card = decks.apply_edits({note.id: verb.value}).by_id[note.id]
    assert (card.front, card.back, card.why) == ("MY OWN FRONT", "A BACK FROM THE TABLE", note.texts["why"])


def test_a_changed_front_of_a_computed_card_keeps_the_place_of_its_number(
    store: Store, ana: str, tmp_path: Path, concepts: ConceptMap
) -> None:
    decks = load_decks(concepts)
    note = next(note for note in decks.notes.values() if note.number and not note.picture)
    entry = next(entry for entry in to_entries(decks) if entry.id == note.id)
    file = File(name="t.csv", content=write_csv([replace(entry, front="Asked in my words?")]))
    assert import_cards(store, ana, tmp_path, concepts, file)["changed"] == 1
    [verb] = store.card_operations.live(ana, ["edit"])
    assert verb.value == {**note.texts, "front": "Asked in my words?"}


def test_other_accepted_answers_of_a_card_of_the_app_do_not_touch_the_learners_words(
    store: Store, ana: str, tmp_path: Path, concepts: ConceptMap
) -> None:
    decks = load_decks(concepts)
    note = next(note for note in decks.notes.values() if note.kind == "typed")
    edit(store, ana, note.id, **{**note.texts, "front": "MY OWN FRONT"})
    [known] = [
        e for e in to_entries(decks.apply_edits({note.id: {"front": "MY OWN FRONT"}})) if e.id == note.id
    ]
    package = write_apkg([replace(known, accept=("another spelling",))], now=_never())
    file = File(name="t.apkg", content=package)
    assert import_cards(store, ana, tmp_path, concepts, file)["same"] == 1
    assert len(store.card_operations.live(ana, ["edit"])) == 1


def test_own_words_in_an_imported_deck_are_kept_by_the_file(
    store: Store, ana: str, tmp_path: Path, concepts: ConceptMap
) -> None:
    exchange = build_card_exchange(store, tmp_path, concepts)
    imports = Imports(store=store, home=tmp_path)
    for back in ("one", "two"):
        file = File(name="own.md", content=f"Q: Which?\nA: {back}\n".encode())
        imports.apply(ana, exchange.plan(ana, file, now=_never()), file_name=file.name, now=_never())
    assert exchange.decks.by_id["own-which"].back == "two"
    assert len(list((tmp_path / "decks").iterdir())) == 1


def test_a_card_whose_formula_can_not_be_read_is_left_out_with_its_place(
    store: Store, ana: str, tmp_path: Path, concepts: ConceptMap
) -> None:
    content = b"Q: Fine, $x^2$\nA: Yes.\n\nQ: A share $\\frac{$ of it\nA: No.\n"
    plan = build_card_exchange(store, tmp_path, concepts).plan(
        ana, File(name="m.md", content=content), now=_never()
    )
    [fine, refused] = plan.groups[0].entries
    assert fine.verdict == "new"
    assert refused.why.startswith(r"the formula $\frac{$ at character 9 can't be shown")
    assert r"\\frac{$" not in "".join(plan.files.values())


def test_the_command_line_exports_and_imports_and_says_what_became_of_each(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    data, out = str(tmp_path / "data"), tmp_path / "out"
    assert main(["export", "--format", "apkg,csv,json,md", "--out", str(out), "--data-folder", data]) == 0
    names = capsys.readouterr().out.split()
    assert {Path(name).suffix for name in names} == {".apkg", ".csv", ".json", ".md"}
    for name in names[:3]:
        assert main(["import", name, "--data-folder", data]) == 0
        assert "0 added, 0 updated" in capsys.readouterr().out or name.endswith("json")
    mine = tmp_path / "mine.csv"
    mine.write_text("front,back\nWhat?,That.\nEmpty?,\n")
    assert main(["import", str(mine), "--data-folder", data, "--dry-run"]) == 0
    assert "1 added" in capsys.readouterr().out
    assert main(["import", str(mine), "--data-folder", data]) == 0
    assert "Cards: 1 added, 0 updated, 0 the same, 1 skipped" in capsys.readouterr().out
    assert main(["export", "--format", "pdf", "--data-folder", data]) == 1
    assert "There is no format pdf" in capsys.readouterr().err


def _never() -> datetime:
    return datetime(2026, 3, 4, tzinfo=UTC)
