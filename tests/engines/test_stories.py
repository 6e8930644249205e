"""The main stories in Chromium, Firefox and WebKit: `make test-browsers`."""

import httpx
import pytest

from study.lessons.introduction import read_introduction
from tests.engines.drivers import Engine

pytestmark = pytest.mark.engines

RUN_SECONDS = 240
FITS_SIDEWAYS = "document.documentElement.scrollWidth <= window.innerWidth"


def fine(engine: Engine) -> None:
    """Nothing scrolls sideways and no script has failed."""
    assert engine.evaluate(FITS_SIDEWAYS)
    assert engine.faults() == []


def test_the_first_five_minutes(engine: Engine, app: str) -> None:
    engine.open(f"{app}/")
    fine(engine)
    engine.click("a", "Understand LoRA in five minutes")
    engine.wait_until("location.pathname === '/start'")
    engine.settle()
    for step in read_introduction()[:-1]:
        engine.wait_for_text(step.title, "h1")
        engine.click(f'input[name="choice"][value="{step.right}"]')
        engine.click("button", "Answer")
        engine.wait_for_text("Right.", "#verdict")
        engine.wait_until("document.activeElement.id === 'verdict'")  # from here Enter means Next
        fine(engine)
        engine.press("Enter")
    engine.wait_for_text(read_introduction()[-1].title, "h1")
    engine.wait_until(
        "[...document.querySelectorAll('button')].some((b) => b.innerText.includes('Start the run'))"
    )
    fine(engine)


def test_a_review_by_keyboard(engine: Engine, app: str) -> None:
    engine.open(f"{app}/review")
    engine.press("Enter")
    engine.wait_until("document.querySelector('#question')")
    first = engine.evaluate("document.querySelector('#question').innerText")
    engine.press("Space")
    engine.wait_until("document.querySelector('#answer')")
    fine(engine)
    engine.press("3")
    # The next card: with the answer on the page the question is somewhere else.
    shown = "document.querySelector('#question')"
    engine.wait_until(f"{shown} && {shown}.innerText !== {first!r}")
    engine.open(f"{app}/progress")
    engine.wait_for_text("1 of")
    fine(engine)


def test_a_quiz(engine: Engine, app: str) -> None:
    engine.open(f"{app}/quiz")
    engine.choose('select[name="topic"]', "lora")
    engine.click("button", "Start")
    engine.wait_until("document.querySelector('.option')")
    engine.click(".option")
    engine.click("button", "Check answer")
    engine.wait_until("document.querySelector('#main .answered')")
    fine(engine)


def test_a_run_of_the_lab(engine: Engine, app: str) -> None:
    engine.open(f"{app}/lab?model=tiny-random&steps=3")
    engine.wait_until("document.querySelector('#plot-memory-by-rank svg')")
    fine(engine)
    engine.click("button", "Start training")
    engine.wait_for_text("After 3 steps", seconds=RUN_SECONDS)
    engine.wait_for_text("Finished", "#run")
    fine(engine)


def test_will_it_fit(engine: Engine, app: str) -> None:
    engine.open(f"{app}/memory")
    engine.wait_for_text("Fits in 24 GB", "#fit")
    engine.choose('select[name="gpu"]', "12")
    engine.wait_for_text("Does not fit in 12 GB", "#fit")
    engine.click(".changes a")
    engine.wait_for_text("Fits in 12 GB", "#fit")
    fine(engine)


def test_a_formula_has_its_fraction(engine: Engine, app: str) -> None:
    engine.open(f"{app}/concept?id=lora-rank&mode=deep")
    engine.wait_until("document.fonts.check('16px \"Study Math\"')")
    parts = "[...document.querySelector('.formula mfrac').children]"
    above, below = engine.evaluate(f"{parts}.map((part) => part.getBoundingClientRect().bottom)")
    assert below > above + 8  # CSS pixels: alpha stands over r
    fine(engine)


def test_a_student_joins_a_class_votes_and_sees_the_answer(engine: Engine, app: str) -> None:
    with httpx.Client(base_url=app, trust_env=False, timeout=60) as teacher:
        started = teacher.post("/class/open", data={"plan": "opener", "days": "1"})
        class_address = started.headers["location"].removesuffix("/teach")
        plan = teacher.get(f"{class_address}/export/class.json").json()["activities"]
        position = [activity["kind"] for activity in plan].index("question")

        def go(phase: str) -> None:
            order = {"do": "go", "position": position, "phase": phase}
            teacher.post(f"{class_address}/command", json=order).raise_for_status()

        engine.open(f"{app}{class_address}")
        engine.wait_for_text("The class begins soon", "body")
        fine(engine)
        go("vote")
        engine.click("label.option")
        engine.click('button[value="think"]')
        engine.wait_for_text("Your answer is saved", "#now")
        fine(engine)
        stored = teacher.get(f"{class_address}/export/class.json").json()
        assert [answer["confidence"] for answer in stored["answers"]] == ["think"]
        go("reveal")
        engine.wait_until("document.querySelector('#now .right')")
        fine(engine)
        engine.open(f"{app}{class_address}")  # a reload: the same student, with the answer that was given
        engine.wait_until("document.querySelector('#now .right')")
        assert len(teacher.get(f"{class_address}/export/class.json").json()["students"]) == 1
