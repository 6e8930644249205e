"""The report of a class: by student and by item, as files without formulas; deleted, nothing is left."""

import asyncio
import csv
import io
import json
import re
import zipfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from classroom.plans.plan import Plan
from classroom.reports.report import build_report
from classroom.views.screens import screen_state
from study.ports.context import Context
from study.store import open_store
from study.store.class_schema import CLASS_TABLES
from tests.classroom.builders import FIGURE, GRID, NUMBER, POLL, PREDICT, QUESTION, TEXT, WALL, plan_of
from tests.classroom.rooms import School, phone, played, record_of

BOM = "\ufeff"


async def play_class(school: School) -> Any:
    """Ana and Ben vote twice and on the twin, Cyd once and is taken out; all guess 38, 10 and 40."""
    live = await school.start(names_typed=True)
    async with (
        phone(school, live, "ana") as ana,
        phone(school, live, "ben") as ben,
        phone(school, live, "cyd") as cyd,
    ):
        await ana.client.post(f"/class/{live.room.code}/name", json={"name": "Ana"})
        votes = {
            1: (("right", "sure"), ("slip", "sure"), ("slip", "guess")),
            2: (("right", "sure"), ("right", "think"), None),
            3: (("slip", "guess"), ("right", "sure"), None),
        }
        for number, phase in ((1, "vote"), (2, "revote"), (3, "twin")):
            await school.lead(live, "go", position=0, phase=phase)
            for each, vote in zip((ana, ben, cyd), votes[number], strict=True):
                if vote:
                    await each.answer(0, number, option=vote[0], confidence=vote[1])
        await school.lead(live, "go", position=2, phase="vote")
        for each, guess in zip((ana, ben, cyd), (38, 10, 40), strict=True):
            await each.answer(2, 1, number=guess)
    await school.lead(live, "kick", student=list(live.students)[2])
    await school.lead(live, "end")
    return live


def test_results_by_item_and_by_student(school: School, context: Context) -> None:
    live = played(lambda: play_class(school))
    found = build_report(record_of(context, live.room.code))
    question, poll, number, prediction = found.items
    assert (question.first_votes, question.first_right, question.second_right) == (2, 0.5, 1.0)
    assert (question.gain, question.twin_votes, question.twin_right) == (1.0, 2, 0.5)
    assert (question.confidence, question.confident_wrong) == (2.0, 1)
    assert question.discrimination is None  # two students say nothing
    assert (poll.first_votes, poll.first_right) == (0, None)
    assert (number.median_guess, number.value, number.close) == (24.0, 40.0, 0.5)
    assert (prediction.value, prediction.close) == (None, None)
    ana, ben, cyd = found.students
    assert (ana.name, ana.first_right, ana.second_right, ana.twins_right, ana.guesses_close) == (
        "Ana",
        1,
        1,
        0,
        1,
    )
    assert (ben.first_votes, ben.first_right, ben.twins_right, ben.guesses_close) == (1, 0, 1, 0)
    assert (cyd.taken_out, cyd.answered, cyd.guesses_close) == (True, 2, 1)


def test_one_of_each_is_told_as_one_and_a_value_that_nobody_guessed_is_told(
    school: School, context: Context
) -> None:
    async def play() -> str:
        plan = Plan(id="p", title="P", about="", minutes=1, activities=(NUMBER, TEXT, NUMBER))
        live = await school.hub.open(plan, names_typed=False, keep_names_days=30, address="127.0.0.1")
        async with phone(school, live, "ana") as ana, school.teacher() as teacher:
            await school.lead(live, "next")
            await ana.answer(0, 1, number="40")
            await school.lead(live, "next")
            assert 'aria-label="1 guess from' in screen_state(live, link="x")["html"]
            await school.lead(live, "next")
            await ana.answer(1, 1, text="Some words.")
            await school.lead(live, "next")
            assert "1 answer." in screen_state(live, link="x")["html"]
            assert "1 student ·" in (await teacher.get(f"/class/{live.room.code}/report")).text
        return live.room.code

    items = build_report(record_of(context, played(play))).items
    assert [item.value for item in items] == [40.0, None, 40.0]


def test_the_report_has_what_was_measured_and_the_sentences_that_the_class_saw(
    school: School, context: Context
) -> None:
    async def play() -> None:
        plan = Plan(id="p", title="P", about="", minutes=1, activities=(PREDICT, TEXT, WALL))
        live = await school.hub.open(plan, names_typed=False, keep_names_days=30, address="127.0.0.1")
        school.runs.value = 15.25
        async with phone(school, live, "ana") as ana, phone(school, live, "ben") as ben:
            await school.lead(live, "go", position=0, phase="run")
            while not live.state.measured:
                await asyncio.sleep(0.02)
            assert (
                build_report(record_of(context, live.room.code)).items[0].summary
                == "nobody guessed; measured: 15.25 %"
            )
            await school.lead(live, "go", position=0, phase="vote")
            for each, guess in ((ana, 10), (ben, 15)):
                await each.answer(0, 1, number=guess)
            for position, said in ((1, "I expected less."), (2, "The base is frozen here.")):
                await school.lead(live, "go", position=position, phase="vote")
                await ana.answer(position, 1, text=said)
                await ben.answer(position, 1, text="This stays hidden.")
                written = next(each for each in live.answers(1).values() if each.value["text"] == said)
                await school.lead(live, "show-quote", answer=written.id)
            while any(each.graded is None for each in live.answers(1, 2).values()):
                await asyncio.sleep(0.02)
        async with school.teacher() as teacher:
            page = (await teacher.get(f"/class/{live.room.code}/report")).text
        assert "median guess 12.5 %; from 10 to 15 %; measured: 15.25 %; 1 of 2 within 10 %" in page
        assert "<blockquote>I expected less.</blockquote>" in page
        assert "<h3>Frozen base: covered</h3><blockquote>The base is frozen here.</blockquote>" in page
        assert "stays hidden" not in page
        assert page.count("1 text was not shown to the class.") == 2

    played(play)


def test_discrimination_needs_ten_students_and_finds_agreement(school: School, context: Context) -> None:
    async def play() -> Any:
        plan = Plan(id="two", title="Two", about="", minutes=1, activities=(QUESTION, QUESTION))
        live = await school.hub.open(plan, names_typed=False, keep_names_days=30, address="127.0.0.1")
        for position in (0, 1):
            await school.lead(live, "go", position=position, phase="vote")
            for number in range(12):
                student = await school.hub.join(live, f"browser-{number}")
                option = "right" if number % 3 else "slip"
                given = {"id": f"answer-{position}-{number}", "position": position, "round": 1}
                await school.hub.answer(live, student, given | {"option": option})
        return live

    live = played(play)
    items = build_report(record_of(context, live.room.code)).items
    assert [item.discrimination for item in items] == [pytest.approx(1.0), pytest.approx(1.0)]


def test_every_activity_says_what_was_asked_and_answered(school: School, context: Context) -> None:
    """Also a slider, a poll, a wall and what was asked on the spot; sure and wrong in any vote counts."""

    async def play() -> None:
        plan = Plan(
            id="p", title="P", about="", minutes=1, activities=(QUESTION, FIGURE, POLL, WALL, NUMBER, GRID)
        )
        live = await school.start(plan)
        code = live.room.code
        async with phone(school, live, "ana") as ana, school.teacher() as teacher:
            for number, phase in ((1, "vote"), (2, "revote"), (3, "twin")):
                await school.lead(live, "go", position=0, phase=phase)
                await ana.answer(0, number, option="slip", confidence="think" if number == 1 else "sure")
            given: list[dict[str, Any]] = [
                {"number": 8},
                {"option": "2"},
                {"text": "frozen"},
                {"number": 39},
                {"cell": "0/1", "number": 5},
            ]
            for position, answer in enumerate(given, start=1):
                await school.lead(live, "go", position=position, phase="vote")
                await ana.answer(position, 1, **answer)
            while any(answer.graded is None for answer in live.answers(1, 3).values()):
                await asyncio.sleep(0.02)
            typed = {"kind": "poll", "ask": "Too $r$?", "options": "Yes\nNo", "when": "now"}
            await teacher.post(f"/class/{code}/ask", json=typed)
            items = build_report(record_of(context, code)).items
            assert items[0].confident_wrong == 2
            assert [item.summary for item in items] == [
                "",
                "median guess 8; the value is 16; 0 of 1 within 10 %",
                "Yes: 0; No: 1",
                "Frozen base: 1 covered; Two matrices: 1 missing",
                "median guess 39 MB; the value is 40 MB; 1 of 1 within 10 %",
                "median guess 5 nats",
                "Yes: 0; No: 0",
            ]
            assert [item.text for item in items] == [
                "What is q? BA", "Where?", "Well?", "Explain it.", "How many?", "Which cell?", "Too r?",
            ]  # fmt: skip
            assert [item.asked_on_the_spot for item in items] == [False] * 6 + [True]
            page = (await teacher.get(f"/class/{code}/report")).text
            for item in items[:6]:
                assert item.text in page
                assert item.summary in page
            assert "Too r? <span" in page
            table = (await teacher.get(f"/class/{code}/export/items.csv")).text.removeprefix(BOM)
            rows = list(csv.DictReader(io.StringIO(table)))
            assert [row["unit"] for row in rows] == ["", "", "", "", "MB", "nats", ""]
            assert rows[3]["summary"] == "Frozen base: 1 covered; Two matrices: 1 missing"
            assert list(rows[0])[:5] == ["position", "kind", "title", "question", "first_votes"]

    played(play)


def test_the_files_hold_the_same_and_no_formula(school: School, context: Context) -> None:
    async def play() -> None:
        live = await play_class(school)
        code = live.room.code
        student = next(iter(live.students))
        formula = '=HYPERLINK("x")'
        await school.hub.writer.do(lambda t: t.rename(live.room.id, student, formula), lambda _: None)
        async with school.teacher() as teacher:
            page = await teacher.get(f"/class/{code}/report")
            assert page.status_code == 200
            heads = re.findall('<th scope="col">([^<]*)</th>', page.text.partition("</thead>")[0])
            assert len(set(heads)) == len(heads) == 10
            below = page.text.partition("</table>")[2].partition("<h2>")[0]
            assert all(
                f"<strong>{name}</strong>" in below for name in ("Gain", "Similar question", "Discrimination")
            )
            files = re.findall(rf'href="(/class/{code}/export/[\w.]+)"', page.text)
            got = {path.rpartition("/")[2]: (await teacher.get(path)) for path in files}
            assert set(got) == {"class.xlsx", "students.csv", "items.csv", "moodle.csv", "class.json"}
            assert "one row per student" in page.text
            told = "for Moodle&#39;s gradebook; a missing grade is a - and counts as 0 in “Class total”"
            assert told in page.text
            assert "“twin” is the similar question, “taken_out” who was taken out" in page.text
            assert re.search(r"\d{1,2} [A-Z][a-z]+ \d{4}, \d\d:\d\d UTC", page.text)
            for name, answer in got.items():
                assert f'filename="class-{code}-{name}"' in answer.headers["content-disposition"]
            rows = list(csv.DictReader(io.StringIO(got["students.csv"].text.removeprefix(BOM))))
            assert rows[0]["name"] == '\'=HYPERLINK("x")'
            assert rows[0]["first_right"] == "1"
            items = list(csv.DictReader(io.StringIO(got["items.csv"].text.removeprefix(BOM))))
            assert [item["gain"] for item in items] == ["1", "", "", ""]
            grades = list(csv.reader(io.StringIO(got["moodle.csv"].text)))
            assert grades[0] == ["name", "1. A question", "Class total"]
            assert grades[1] == ['\'=HYPERLINK("x")', "100", "100"]
            assert [row[1] for row in grades[2:]] == ["100", "0"]  # Cyd voted once, wrong
            with zipfile.ZipFile(io.BytesIO(got["class.xlsx"].content)) as book:
                parts = {name: book.read(name).decode() for name in book.namelist() if name.endswith(".xml")}
            assert "&apos;=HYPERLINK" in parts["xl/sharedStrings.xml"].replace("'", "&apos;")
            sheets = [text for name, text in parts.items() if name.startswith("xl/worksheets/")]
            assert len(sheets) == 3
            assert not any("<f>" in text or "hyperlink" in text for text in sheets)
            told = json.loads(got["class.json"].text)
            assert len(told["answers"]) == 10
            assert {answer["student"] for answer in told["answers"]} == {1, 2, 3}
            for hidden in (student, live.students[student].device):
                assert hidden not in got["class.json"].text
            assert (await teacher.get(f"/class/{code}/export/other.csv")).status_code == 404

    played(play)


def test_a_missing_grade_is_written_as_moodle_reads_it(school: School) -> None:
    """Moodle makes 0 of an empty cell of a new grade item, and no grade of a hyphen."""

    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, phone(school, live, "ben"):
            await school.lead(live, "next")
            await ana.answer(0, 1, option="right")
        async with school.teacher() as teacher:
            got = await teacher.get(f"/class/{live.room.code}/export/moodle.csv")
        names = [student.name for student in live.students.values()]
        assert list(csv.reader(io.StringIO(got.text)))[1:] == [[names[0], "100", "100"], [names[1], "-", "0"]]

    played(play)


def test_a_deleted_class_leaves_nothing_in_the_database_or_in_memory(
    school: School, context: Context
) -> None:
    async def play() -> None:
        live = await play_class(school)
        code = live.room.code
        async with school.teacher() as teacher, school.client(browser="ana") as ana:
            await teacher.post(f"/class/{code}/key")
            kept = await teacher.post(f"/class/{code}/delete", data={})
            assert kept.headers["location"] == f"/class/{code}/report"
            gone = await teacher.post(f"/class/{code}/delete", data={"sure": "yes"})
            assert gone.headers["location"] == "/class"
            with context.store.database.read() as connection:
                for table in CLASS_TABLES:
                    assert connection.execute(select(table)).all() == [], table.name
            assert (await teacher.get(f"/class/{code}/report")).status_code == 404
            assert (await ana.get(f"/class/{code}/state")).status_code == 400
            assert (await ana.post(f"/class/{code}/join", json={})).status_code == 400
        assert context.store.classes.live_keys() == set()

    played(play)


def test_a_deleted_class_leaves_no_byte_in_its_file(context: Context, tmp_path: Path) -> None:
    """A row that SQLite deletes stays in the file's free pages unless it is told to overwrite it."""
    file = tmp_path / "alone.sqlite3"
    with closing(open_store(f"sqlite:///{file}", home=tmp_path)) as store:
        school = School(replace(context, store=store))

        async def play() -> None:
            live = await school.start(plan_of(TEXT))
            async with phone(school, live, "ana") as ana, school.teacher() as teacher:
                await school.lead(live, "next")
                await ana.answer(0, 1, text="Seventeen purple adapters.")
                traces = [live.students[each].name.encode() for each in live.students]
                traces += [b"Seventeen purple adapters.", live.room.id.encode()]
                store.database.checkpoint()
                assert all(trace in file.read_bytes() for trace in traces)
                await teacher.post(f"/class/{live.room.code}/delete", data={"sure": "yes"})
                store.database.checkpoint()
                assert not any(trace in file.read_bytes() for trace in traces)

        played(play)


def test_a_student_gets_no_report(school: School) -> None:
    async def play() -> None:
        live = await play_class(school)
        async with school.client(browser="ana") as ana:
            for path in ("report", "export/class.json", "export/students.csv"):
                assert (await ana.get(f"/class/{live.room.code}/{path}")).status_code == 403
            refused = await ana.post(f"/class/{live.room.code}/delete", data={"sure": "yes"})
            assert refused.status_code == 403

    played(play)
