"""A teacher's own plans: made at /class from others' activities and typed questions, kept as files."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from classroom.plans.own_plans import PlanDraft, PlanError, WouldReplaceError, delete_plan, save_plan
from classroom.plans.plan import LARGEST_OWN_BYTES, MOST_ACTIVITIES, Plans
from study.base.errors import LearnerError
from study.content.yaml_reader import Problem
from study.ports.context import Context
from study.store.classes import ClassLog
from tests.classroom.builders import FIGURES, Grader, Grids, Runs, find_question
from tests.classroom.rooms import School, played

SHORT = {"kind": "question", "title": "One", "question": "q-one", "twin": "q-two", "minutes": 1}
TYPED = {
    "kind": "question",
    "title": "What is r?",
    "ask": "What is $r$?",
    "options": ["* The rank", "The rate"],
}
NUMBER = {"kind": "number", "title": "Bits", "ask": "How many bits?", "value": 4.0, "unit": "bits"}
TALK = {"kind": "talk", "title": "Yes: no", "text": "1:30 is a time, ä ☃."}


@pytest.fixture
def plans(tmp_path: Path) -> Plans:
    return Plans(
        find_question=find_question,
        runs=Runs(),
        grids=Grids(),
        grader=Grader(),
        figures=FIGURES,
        folder=Path(__file__).parent,
        own_folder=tmp_path / "plans",
    )


def draft(*entries: Any, **more: Any) -> PlanDraft:
    fields: dict[str, Any] = {"title": "Étude 1/../x", "about": "Mine.", "minutes": "20"} | more
    return PlanDraft(**fields, entries=tuple(map(json.dumps, entries)))


def form(title: str, entries: Sequence[Any], **more: str) -> list[tuple[str, str]]:
    fields = {"title": title, "about": "Mine.", "minutes": "20", "plan": ""} | more
    listed = [(("entry", json.dumps(entry)), ("kept", "yes")) for entry in entries]
    return [*fields.items(), *(field for both in listed for field in both)]


async def post(client: httpx.AsyncClient, path: str, fields: list[tuple[str, str]]) -> httpx.Response:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return await client.post(path, content=urlencode(fields), headers=headers)


def test_what_is_saved_is_read_again_in_the_same_order(plans: Plans, tmp_path: Path) -> None:
    saved = save_plan(plans, draft(TYPED, SHORT, NUMBER, TALK))
    assert saved.id == "own-etude-1-x"
    assert [path.name for path in (tmp_path / "plans").iterdir()] == ["etude-1-x.yaml"]
    found = plans.find(saved.id)
    assert found == saved
    assert list(found.entries) == [TYPED, SHORT, NUMBER, TALK]
    typed, shipped, number, talk = found.activities
    assert typed.asked is not None
    assert [(option.text, option.correct) for option in typed.asked.options] == [
        ("The rank", True), ("The rate", False),
    ]  # fmt: skip
    assert shipped.twin is not None
    assert number.guessed is not None
    assert (number.guessed.value, number.guessed.unit) == (4.0, "bits")
    assert talk.title == "Yes: no"
    assert [plan.id for plan in plans.list_all()] == [saved.id, "short"]


def test_all_problems_are_told_at_once_and_nothing_is_written(plans: Plans, tmp_path: Path) -> None:
    with pytest.raises(PlanError) as raised:
        save_plan(
            plans,
            draft(
                {"kind": "question", "title": "A", "question": "unknown-1"},
                {"kind": "question", "title": "B", "ask": "Which?", "options": ["One", "Two"]},
                {"kind": "number", "title": "C", "ask": "How many?", "value": "many"},
                {"kind": "spell", "title": "D"},
                {"kind": "figure", "title": "E", "figure": "of-rank", "set": 5},
                {"kind": "talk", "title": "F" * 81, "text": "x"},
                title="",
                minutes="soon",
            ),
        )
    said = " ".join(raised.value.problems)
    for part in (
        "Plan: “title” must be a text", "Plan: “minutes”", "Activity 1: ", "unknown-1",
        "Activity 2: “options”: 0 options are marked", "Activity 3: “value”: 'many' is not a number",
        "Activity 4: “kind” must be one of", "Activity 5: “set” must be a mapping",
        "Activity 6: “title” may have 80 characters",
    ):  # fmt: skip
        assert part in said
    assert not list(tmp_path.glob("plans/*"))


@pytest.mark.parametrize("minutes", ["1" * 5_000, "0", "-5", " "])
def test_minutes_that_no_clock_has_are_refused_in_words(plans: Plans, minutes: str) -> None:
    with pytest.raises(PlanError, match="“minutes” must be a whole number of minutes, got "):
        save_plan(plans, draft(SHORT, minutes=minutes))


@pytest.mark.parametrize(
    "entries",
    [
        (),
        ("a text",),
        ([SHORT],),
        ({"kind": ["question"], "title": "x"},),
        ({"kind": "number", "title": "x", "ask": "?", "source": "s", "divide_by": 0,
          "check": {"quantity": "q", "expect": 1}},),
        ({"kind": "number", "title": "x", "ask": "?", "value": float("inf")},),
        ({"kind": "talk", "title": "x", "text": "\ud800"},),
        ({"kind": "poll", "title": "x", "ask": "?", "options": [1, 2]},),
        ({"kind": "predict", "title": "x", "ask": "?", "unit": "%", "quantity": "final-loss", "run": [1]},),
        ({"kind": "figure", "title": "x", "figure": ["of-rank"]},),
        (TALK | {"minutes": True},),
        (TALK | {"text": "x" * LARGEST_OWN_BYTES},),
        tuple([TALK] * (MOST_ACTIVITIES + 1)),
    ],
)  # fmt: skip
def test_what_is_no_plan_is_refused_in_words(plans: Plans, tmp_path: Path, entries: tuple[Any, ...]) -> None:
    with pytest.raises(PlanError) as raised:
        save_plan(plans, draft(*entries))
    assert raised.value.problems
    assert not list(tmp_path.glob("plans/*"))


def test_another_plan_is_replaced_only_when_that_is_said(plans: Plans) -> None:
    first = save_plan(plans, draft(SHORT, title="Mine"))
    with pytest.raises(WouldReplaceError, match="You already have a plan named “mine!”"):
        save_plan(plans, draft(TYPED, title="mine!"))
    assert plans.find(first.id).entries == (SHORT,)
    save_plan(plans, draft(TYPED, title="mine!", replace=True))
    assert plans.find(first.id).entries == (TYPED,)
    now = plans.find(first.id).version
    changed = save_plan(plans, draft(TYPED, SHORT, title="Renamed", plan_id=first.id, version=now))
    assert changed.id == first.id
    assert [plan.title for plan in plans.list_own([])] == ["Renamed"]
    for wrong in ("own-../../etc/passwd", "own-", "own-UPPER", "short"):
        with pytest.raises(LearnerError):
            delete_plan(plans, wrong)
    for wrong in ("own-../x", "own-.x"):
        with pytest.raises(LearnerError):
            save_plan(plans, draft(SHORT, plan_id=wrong))
    delete_plan(plans, first.id)
    assert plans.list_own([]) == []
    assert plans.find("short").id == "short"


def test_what_another_window_has_saved_is_replaced_only_when_that_is_said(plans: Plans) -> None:
    first = save_plan(plans, draft(SHORT, title="Mine"))
    late = draft(SHORT, NUMBER, title="Mine", plan_id=first.id, version=first.version)
    save_plan(plans, replace(late, entries=draft(SHORT, TYPED).entries))
    with pytest.raises(WouldReplaceError, match="changed in another window") as refused:
        save_plan(plans, late)
    assert f"tick “{refused.value.agree}”" in str(refused.value)
    assert plans.find(first.id).entries == (SHORT, TYPED)
    save_plan(plans, replace(late, replace=True))
    assert plans.find(first.id).entries == (SHORT, NUMBER)
    save_plan(plans, late)  # pressed twice: it is what is there


def test_a_broken_file_of_ones_own_is_told_and_hides_no_other_plan(plans: Plans, tmp_path: Path) -> None:
    save_plan(plans, draft(SHORT, title="Good"))
    own = tmp_path / "plans"
    (own / "aliases.yaml").write_text("a: &a [1]\ntitle: *a\n", "utf-8")
    (own / "list.yaml").write_text("- 1\n", "utf-8")
    (own / "empty.yaml").write_text("", "utf-8")
    (own / "Bad Name.yaml").write_text("title: x\n", "utf-8")
    (own / "large.yaml").write_bytes(b"#" * (LARGEST_OWN_BYTES + 1))
    (own / "bytes.yaml").write_bytes(b"\xff\xfe")
    problems: list[Problem] = []
    assert [plan.title for plan in plans.list_own(problems)] == ["Good"]
    names = {"aliases.yaml", "list.yaml", "empty.yaml", "Bad Name.yaml", "large.yaml", "bytes.yaml"}
    assert {problem.file for problem in problems} == names
    assert [plan.id for plan in plans.list_all()] == ["own-good", "short"]


def test_the_teacher_makes_starts_changes_and_deletes_a_plan_at_class(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        async with school.teacher() as teacher:
            page = (await teacher.get("/class")).text
            assert 'href="/class?edit=short#editor-title"' in page
            assert "What is q-one?" in page  # the preview
            editor = (await teacher.get("/class?edit=short")).text
            assert 'value="A short plan (mine)"' in editor
            assert "A similar question asks about the same idea with different content" in editor
            assert "Make a plan of your own" in editor
            assert "Delete my plan" not in editor
            typed = {"kind": "question", "ask": "What is $r$?", "options": "* The rank\nThe rate"}
            row = await teacher.post("/class/plans/typed", json=typed)
            assert "<math" in row.text
            missing = await teacher.post("/class/plans/typed", json=typed | {"options": "One\nTwo"})
            assert (missing.status_code, missing.json()["field"]) == (400, "options")
            assert "q-blocks" in (await teacher.get("/class/plans/questions?words=blocks")).text
            refused = await post(teacher, "/class/plans", form("", [SHORT], minutes="x"))
            assert "The plan is not saved" in refused.text
            assert "“minutes”" in refused.text
            saved = await post(teacher, "/class/plans", form("Mine", [TYPED, SHORT]))
            assert (saved.status_code, saved.headers["location"]) == (
                303, "/class?plan=own-mine&saved=own-mine#start",
            )  # fmt: skip
            page = (await teacher.get(saved.headers["location"])).text
            assert 'value="own-mine" checked' in page
            assert "“Mine” is saved" in page
            taken = await post(teacher, "/class/plans", form("Mine", [SHORT]))
            assert "Replace my plan of this title" in taken.text
            old = [*form("Mine", [SHORT], plan="own-mine", version="of an older window")]
            assert "Replace what the other window saved" in (await post(teacher, "/class/plans", old)).text
            again = School(context)  # after a restart
            async with again.teacher() as later:
                opened = await later.post("/class/open", data={"plan": "own-mine", "days": "1"})
                live = await again.hub.find(opened.headers["location"].split("/")[2])
            assert [activity.title for activity in live.plan] == ["What is r?", "One"]
            assert "Delete my plan" in (await teacher.get("/class?edit=own-mine")).text
            await post(teacher, "/class/plans/delete", [("plan", "own-mine")])
            assert "own-mine" in (await teacher.get("/class")).text
            await post(teacher, "/class/plans/delete", [("plan", "own-mine"), ("sure", "yes")])
            assert "own-mine" not in (await teacher.get("/class")).text

    played(play)


def test_a_number_without_a_unit_is_saved_and_a_typed_entry_can_be_changed(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        async with school.teacher() as teacher:
            typed = {"kind": "number", "ask": "How many?", "value": "4", "unit": " "}
            row = (await teacher.post("/class/plans/typed", json=typed)).text
            assert "data-change" in row
            entry = json.loads(unescape(re.findall(r'name="entry" value="([^"]*)"', row)[0]))
            assert entry == {"kind": "number", "title": "How many?", "ask": "How many?", "value": 4.0}
            assert (await post(teacher, "/class/plans", form("Mine", [entry]))).status_code == 303
            page = (await teacher.get("/class?edit=own-mine")).text
            assert "data-change" in page.partition('id="entries"')[2].partition("</ol>")[0]
            shipped = (await teacher.get("/class?edit=short")).text
            assert "data-change" not in shipped.partition('id="entries"')[2].partition("</ol>")[0]

    played(play)


def test_a_refused_plan_keeps_what_is_not_ticked(context: Context) -> None:
    school = School(context)
    sent = form("", [SHORT, TYPED, NUMBER])
    del sent[5]  # the tick of the first

    async def play() -> None:
        async with school.teacher() as teacher:
            refused = (await post(teacher, "/class/plans", sent)).text
            listed = re.findall(
                r'name="entry" value="([^"]*)".*?name="kept" value="yes"( checked)?>', refused
            )
            again = [(json.loads(unescape(entry)), bool(tick)) for entry, tick in listed[:3]]
            assert again == [(SHORT, False), (TYPED, True), (NUMBER, True)]
            assert (await post(teacher, "/class/plans", [("title", "Mine"), *sent[1:]])).status_code == 303
            opened = await teacher.post("/class/open", data={"plan": "own-mine", "days": "1"})
        live = await school.hub.find(opened.headers["location"].split("/")[2])
        assert [activity.title for activity in live.plan] == ["What is r?", "Bits"]

    played(play)


def test_students_reach_nothing_of_it(context: Context) -> None:
    school = School(context, only_class=False)

    async def play() -> None:
        async with school.client(browser="ana") as ana:
            assert (await ana.get("/class?edit=short")).status_code == 403
            assert (await ana.get("/class/plans/questions?words=x")).status_code == 403
            assert (await post(ana, "/class/plans", form("Mine", [SHORT]))).status_code == 403
            assert (await ana.post("/class/plans/typed", json=TYPED)).status_code == 403
            deleted = await post(ana, "/class/plans/delete", [("plan", "own-mine"), ("sure", "yes")])
            assert deleted.status_code == 403
        assert not context.settings.plans_dir.exists()

    played(play)


def test_a_class_that_has_ended_is_told_from_one_that_is_open(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        await school.start()
        async with school.teacher() as teacher:
            await school.lead(live, "next")
            assert (await teacher.get("/class")).text.count("UTC · open") == 2
            await school.lead(live, "end")
            assert (await teacher.get("/class")).text.count("UTC · ended") == 1
            await school.lead(live, "go", position=0, phase="vote")
            assert (await teacher.get("/class")).text.count("UTC · ended") == 0

    played(play)


def test_the_page_opens_on_a_database_that_takes_no_write_and_says_so_at_the_start_of_a_class(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OperationalError("INSERT", {}, Exception("readonly database"))

    monkeypatch.setattr(ClassLog, "transact", refuse)
    school = School(context)

    async def play() -> None:
        async with school.teacher() as teacher:
            assert (await teacher.get("/class")).status_code == 200
            refused = await post(teacher, "/class/open", [("plan", "short"), ("address", "127.0.0.1")])
            assert "The teacher's computer can't save at the moment." in unescape(refused.text)

    played(play)


def test_a_quiz_and_a_twin_are_chosen_in_the_editor(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        async with school.teacher() as teacher:
            sent = {"title": "Check", "minutes": "5", "questions": ["q-one", "q-two"]}
            made = (await teacher.post("/class/plans/quiz", json=sent)).text
            written = json.loads(unescape(re.findall(r'value="([^"]*)"', made)[0]))
            assert written == {
                "kind": "quiz",
                "title": "Check",
                "questions": ["q-one", "q-two"],
                "minutes": 5,
            }
            assert "Self-paced quiz · 2 questions · 5 min" in made
            for wrong, said in (
                ({"questions": ["q-one"]}, "2 to 12 questions"),
                ({"questions": "q-one"}, "list"),
                ({"questions": [["a"], {}]}, "questions"),
                ({"minutes": "-1"}, "minutes"),
                ({"title": "x" * 81}, "“title” may have 80 characters, got 81. Change that"),
            ):
                refused = await teacher.post("/class/plans/quiz", json=sent | wrong)
                assert refused.status_code == 400
                assert said in refused.json()["error"]
            twins = (await teacher.get("/class/plans/twins", params={"question": "q-one"})).text
            assert "No similar question" in twins
            assert '<option value="q-one-twin">' in twins

    played(play)
