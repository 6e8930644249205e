"""`python -m quizzes`: the same engines as the page, in readable lines."""

from datetime import datetime
from pathlib import Path

import pytest

from quizzes.__main__ import main
from quizzes.bank import load_bank
from quizzes.sittings import QuizChoice, Sittings
from study.concepts import ConceptMap
from study.store import Store
from study.store.quizzes import QuizAnswer


def test_list_narrows_as_the_page_does(capsys: pytest.CaptureFixture[str], concepts: ConceptMap) -> None:
    assert main(["list", "--topic", "qlora"]) == 0
    listed = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [question.id for question in load_bank(concepts).matching(topic="qlora")]


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
    sittings = Sittings(store=store, bank=load_bank(concepts))
    record = sittings.start(ana, QuizChoice(topic="lora", length=2), now=now)
    for question_id, wanted in zip(record.question_ids, (False, True), strict=True):
        options = sittings.bank.by_id[question_id].options
        chosen = next(option for option in options if option.correct is wanted)
        sittings.answer(record, question_id, {"option": chosen.id}, shown_at=now, now=now)
    assert main(["due", "--data-folder", str(tmp_path), "--profile", "Ana"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Ana: 1 to ask again"
    assert [line.split("\t")[0] for line in lines[1:]] == [record.question_ids[0]]


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
