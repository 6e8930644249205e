"""Questions of one's own: written, asked at once, taken back, exported; refused beside the field."""

import json
from typing import Any

import pytest

import lora_lab.quantities  # noqa: F401 - feedback shows the numbers it was checked against
from quizzes.pages.quiz import QuizPage
from study.base.errors import LearnerError
from study.io.backup import build_backup
from study.ports.context import Context
from study.web.frame import Reply
from tests.quizzes.answering import right_fields
from tests.quizzes.pages.quizzing import build_quiz
from tests.visits import build_event, opened, primary, words

FILE = "your-own-questions.imported.json"
FORM = "write=new"
TYPED = {
    "stem": "What is $B A$?",
    "right": "The update",
    "wrong-1": "The base",
    "wrong-1-why": "It is frozen.",
}


@pytest.fixture
def page(context: Context) -> QuizPage:
    return build_quiz(context)


def learner(browser: str, query: str = "") -> Any:
    """A request of somebody who does not own the server."""
    request = opened(browser, query)
    request.scope = {"role": "learner"}
    return request


def save(page: QuizPage, request: Any = None, **texts: str) -> Reply:
    typed = TYPED | {name.replace("_", "-"): text for name, text in texts.items()}
    fields = {name: [text] for name, text in typed.items()}
    form = page.load(opened("b1", FORM))
    return page.act(
        build_event(form, "save-question", fields=fields, query=f"?{FORM}"), request or opened("b1")
    )


def test_a_written_question_is_asked_at_once_and_graded(page: QuizPage) -> None:
    assert 'href="/quiz?write=new"' in page.load(opened("b1"))
    done = save(page, wrong_5="Nothing", keep="B times A is the update.", concept="lora-rank")
    assert done["say"] == "The question is saved."
    assert primary(done["html"]) == ["Write another"]
    start = build_event(done["html"], "start", fields={"topic": ["your-own-questions"], "seed": ["7"]})
    asked = page.act(start, opened("b1"))
    question = page.exercise.operations.bank.by_id["your-own-questions-what-is-b-a"]
    assert "The base" in words(asked["html"])
    query = asked["step"].removeprefix("/quiz")
    event = build_event(asked["html"], "answer", query=query)
    answered = page.act({**event, "fields": right_fields(question, seed=7)}, opened("b1"))
    assert "B times A is the update." in words(answered["html"])
    kept = json.loads((page.context.settings.questions_dir / FILE).read_text("utf-8"))
    assert kept["topic"] == "Your own questions"
    assert [option["text"] for option in kept["questions"][0]["options"]] == [
        "The update", "The base", "Nothing",
    ]  # fmt: skip


def test_a_written_question_travels_in_exports_and_in_a_backup(page: QuizPage) -> None:
    save(page)
    context, now = page.context, page.context.clock()
    profile = context.store.profiles.open_for_browser("b1", now=now).id
    for name in ("moodle-xml", "gift", "csv", "jupyterquiz"):
        [file] = page.writing.writer.exchange.export(profile, name, now=now)
        assert b"The update" in file.content
    backup = build_backup(context.store, context.settings.home, profile, now=now)
    assert f"questions/{FILE}" in backup["files"]


def test_undo_takes_a_question_back_and_its_text_is_a_draft_again(page: QuizPage) -> None:
    page.act({"act": "draft", "field": "stem", "value": "half a", "query": f"?{FORM}"}, opened("b1"))
    assert "half a</textarea>" in page.load(opened("b1", FORM))
    done = save(page, keep="so", concept="lora-rank")
    assert "half a" not in page.load(opened("b1", FORM))
    form = page.act(build_event(done["html"], "take-back", query=""), opened("b1"))["html"]
    for text in ("What is $B A$?", "The update", "The base", "It is frozen.", "so"):
        assert f"{text}</textarea>" in form
    assert '<option value="lora-rank" selected>' in form
    assert not (page.context.settings.questions_dir / FILE).exists()


@pytest.mark.parametrize(
    ("texts", "beside", "said"),
    [
        ({"stem": " "}, "stem", "The question is empty."),
        ({"right": ""}, "right", "The right answer is empty."),
        ({"wrong_1": "", "wrong_1_why": ""}, "wrong-1", "A choice needs at least one wrong answer."),
        ({"wrong_2_why": "so"}, "wrong-2", "There is feedback for this wrong answer"),
        ({"wrong_3": "The base"}, "wrong-3", "This answer is there twice."),
        ({"wrong_1": r"$\frac{$"}, "wrong-1", "The formula "),
        ({"keep": "x" * 20_001}, "keep", "Its text has 20,001 characters; 20,000 are the limit."),
    ],
)
def test_what_can_not_be_stored_is_said_beside_its_field(
    page: QuizPage, texts: dict[str, str], beside: str, said: str
) -> None:
    refused = save(page, **texts)
    assert refused["beside"] == f"#question-{beside}"
    assert refused["error"].startswith(said)
    assert "html" not in refused  # all that was typed stays
    assert not page.context.settings.questions_dir.exists()


def test_the_same_question_is_refused_and_one_that_begins_alike_is_new(page: QuizPage) -> None:
    long = "why does this take so long when the rank is large and the batch is small as well as "
    save(page, stem=f"{long}before")
    assert "html" in save(page, stem=f"{long}after")
    assert save(page, stem=f"{long}after", right="Other")["beside"] == "#question-stem"
    assert page.exercise.operations.bank.count_questions("your-own-questions") == 2


def test_on_a_server_only_the_owner_writes_questions_as_with_imports(page: QuizPage) -> None:
    assert 'href="/quiz?write=new"' not in page.load(learner("lea"))
    assert "only its owner can write them" in words(page.load(learner("lea", FORM)))
    with pytest.raises(LearnerError, match="only its owner can write them"):
        save(page, learner("lea"))
    with pytest.raises(LearnerError, match="only its owner can write them"):
        page.act({"act": "draft", "field": "stem", "value": "half a", "query": f"?{FORM}"}, learner("lea"))
    lea = page.context.store.profiles.open_for_browser("lea", now=page.context.clock())
    assert page.context.store.drafts.read(lea.id, "question:stem") == ""
    done = save(page)
    with pytest.raises(LearnerError, match="only its owner can change them"):
        page.act(build_event(done["html"], "take-back", query=""), learner("lea"))
