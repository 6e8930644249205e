"""The pictures of the guide "A class in 45 minutes": simulated students in a class with real runs.

    python -m tests.browser.class_pictures [--out FOLDER]

Takes about ten minutes on two cores. A phone and the projector watch; the teacher leads step by step.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from study.base.settings import ROOT
from tests.browser.chromium import launch_chromium
from tests.browser.classrooms import Classroom
from tests.browser.screenshots import serve

STUDENTS = 25
RUN_MS = 600_000
SCREEN = {"width": 1280, "height": 720}
DESK = {"width": 1100, "height": 760}
PHONE = {"width": 390, "height": 844}


def main() -> None:
    """Play the lesson once and take its seven pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.class_pictures", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "guide" / "class")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        server, address = serve(Path(data), "--class")
        browser = launch_chromium(playwright)
        try:
            take_pictures(Classroom(browser, address), out)
        finally:
            browser.close()
            server.terminate()
            server.wait(timeout=60)


def take_pictures(classroom: Classroom, out: Path) -> None:
    """Lead the class from its first step to its report."""
    teacher = classroom.start("lab-45")
    teacher.set_viewport_size(DESK)
    screen, phone = classroom.screen(), classroom.browser(**PHONE, has_touch=True)
    screen.set_viewport_size(SCREEN)
    phone.goto(f"{classroom.address}/class/{classroom.code}")
    simulated = ["--students", str(STUDENTS), "--address", classroom.address, "--code", classroom.code]
    students = subprocess.Popen([sys.executable, "-m", "classroom", "simulate", *simulated], cwd=ROOT)
    try:
        expect(teacher.locator("#in-room")).to_have_text(str(STUDENTS + 1), timeout=RUN_MS)
        screen.screenshot(path=out / "join.png")
        lead(teacher, 1, "vote")
        expect(phone.locator("label.option").first).to_be_visible()
        phone.screenshot(path=out / "vote.png")
        wait_for_answers(teacher)
        lead(teacher, 1, "advice")
        expect(teacher.locator("[data-advice]")).to_be_visible()
        teacher.screenshot(path=out / "advice.png")
        lead(teacher, 1, "revote")
        wait_for_answers(teacher)
        lead(teacher, 1, "reveal")
        expect(screen.locator(".bars.twice")).to_be_visible()
        screen.screenshot(path=out / "answer.png")
        lead(teacher, 2, "vote")
        wait_for_answers(teacher)
        lead(teacher, 2, "run")
        expect(screen.get_by_text("Measured:")).to_be_visible(timeout=RUN_MS)
        screen.screenshot(path=out / "measured.png")
        lead(teacher, 6, "vote")
        wait_for_answers(teacher)
        lead(teacher, 6, "run")
        expect(screen.get_by_text("Each number is the mean")).to_be_visible(timeout=RUN_MS)
        screen.screenshot(path=out / "grid.png")
        teacher.goto(f"{classroom.address}/class/{classroom.code}/report")
        teacher.screenshot(path=out / "report.png")
    finally:
        students.kill()


def lead(teacher: Page, position: int, phase: str) -> None:
    """Go to a step of the plan."""
    step = teacher.locator("ol.plan li").nth(position).locator(f"[data-phase={phase}]")
    step.evaluate("step => step.click()")
    expect(step).to_have_attribute("aria-current", "step")


def wait_for_answers(teacher: Page) -> None:
    """Wait until most simulated students have answered; a few never do."""
    teacher.wait_for_timeout(30_000)


if __name__ == "__main__":
    main()
