"""`python -m quizzes`: the same engines as the page, in readable lines."""

from datetime import datetime
from pathlib import Path

import pytest

from quizzes.__main__ import main
from quizzes.bank.bank import load_bank
from quizzes.session.operations import QuizOperations
from quizzes.session.quiz_options import QuizChoice
from study.content.concepts import ConceptMap
from study.store import Store
from study.store.logs.quizzes import QuizAnswer
from tests.quizzes.answering import wrong_response


def test_list_narrows_as_the_page_does(capsys: pytest.CaptureFixture[str], concepts: ConceptMap) -> None:
    assert main(["list", "--topic", "qlora"]) == 0
    listed = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [question.id for question in load_bank(concepts).list_matching(topic="qlora")]


def test_validate_computes_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate"]) == 0
    assert "are in order" in capsys.readouterr().out


def test_due_lists_what_was_missed(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    store: Store,
    ana: str,
    concepts: ConceptMap,
    now: datetime,
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    operations = QuizOperations(store=store, bank=load_bank(concepts))
    record = operations.start(ana, QuizChoice(topic="lora", length=2), now=now)
    for question_id, wanted in zip(record.question_ids, (False, True), strict=True):
        options = operations.bank.by_id[question_id].options
        chosen = next(option for option in options if option.correct is wanted)
        operations.answer(record, question_id, {"option": chosen.id}, shown_at=now, now=now)
    assert main(["due", "--data-folder", str(tmp_path), "--profile", "Ana"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Ana: 1 to ask again"
    assert [line.split("\t")[0] for line in lines[1:]] == [record.question_ids[0]]


def test_questions_go_out_and_come_in_and_what_has_no_form_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    data, out = ["--data-folder", str(tmp_path / "data")], tmp_path / "out"
    assert main(["export", "--format", "moodle-xml,gift,csv", "--out", str(out), *data]) == 0
    printed = capsys.readouterr()
    names = printed.out.split()
    assert {Path(name).suffix for name in names} == {".xml", ".gift", ".csv"}
    assert "gift has no form for" in printed.err
    for name in names:
        assert main(["import", name, *data]) == 0
        assert "Questions: 0 added, 0 updated," in capsys.readouterr().out
    mine = tmp_path / "mine.gift"
    mine.write_text("::Mine::Is B zero at first? {T}\n\nAn essay. {}\n")
    assert main(["import", str(mine), *data]) == 0
    assert "Questions: 1 added, 0 updated, 0 the same, 1 skipped" in capsys.readouterr().out
    assert (tmp_path / "data" / "questions" / "mine.imported.json").is_file()
    assert main(["import", str(mine), *data]) == 0
    assert "0 added, 0 updated, 1 the same, 1 skipped" in capsys.readouterr().out


def test_a_comma_behind_the_last_format_names_no_other(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    folders = ["--out", str(tmp_path / "out"), "--data-folder", str(tmp_path / "data")]
    assert main(["export", "--format", " gift,", *folders]) == 0
    printed = capsys.readouterr()
    assert [Path(name).suffix for name in printed.out.split()] == [".gift"]
    assert "gift has no form for" in printed.err


def test_due_says_when_a_confident_error_comes_back(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    store: Store,
    ana: str,
    concepts: ConceptMap,
    now: datetime,
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    operations = QuizOperations(store=store, bank=load_bank(concepts))
    record = operations.start(ana, QuizChoice(topic="families", length=1), now=now)
    [question_id] = record.question_ids
    wrong = wrong_response(operations.bank.by_id[question_id])
    operations.answer(record, question_id, wrong, shown_at=now, now=now, confidence="sure")
    assert main(["due", "--data-folder", str(tmp_path), "--profile", "Ana"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Ana: 1 to ask again"
    assert lines[1].startswith(f"{question_id}\tfamilies\t")
    assert lines[2] == f"{question_id}\tcomes back on 2026-03-05, missed on 2026-03-04"


def test_list_names_families_and_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--concept", "counting-parameters"]) == 0
    listed = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert ["lora-matrix-count@SEED", "families", "beginner", "family", "Parameters of one adapter"] in listed
    assert {"single", "numeric", "ordering"} <= {line[3] for line in listed}


def test_items_says_when_no_question_has_ten_answers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ana: str
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert main(["items", "--data-folder", str(tmp_path)]) == 0
    assert capsys.readouterr() == ("", "No question has ten answers yet.\n")


def test_items_lists_the_questions_that_have_ten_answers(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    store: Store,
    ana: str,
    concepts: ConceptMap,
    now: datetime,
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    question = load_bank(concepts).questions[0].id
    for seed in range(10):
        record = store.quizzes.start(ana, seed=seed, question_ids=(question,), choice={}, started_at=now)
        right = QuizAnswer(
            question_id=question, option="right", correct=True, answered_at=now, duration_ms=1000
        )
        store.quizzes.append(record.id, right)
    assert main(["items", "--data-folder", str(tmp_path)]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{question}\t10\t100")
    assert "easy" in line
