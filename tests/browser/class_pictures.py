"""The pictures of the guide to a class: a real lesson with simulated students, played in Chromium.

python -m tests.browser.class_pictures [--out FOLDER] [--students 24]
"""

import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.app_process import start
from study.base.command_line import build_module_parser
from study.base.settings import ROOT
from tests.browser.chromium import launch_chromium

PLAN = "lab-45"
PHONE = {"width": 390, "height": 844}
SCREEN = {"width": 1280, "height": 720}
TEACHER = {"width": 1100, "height": 760}
RUN_MS = 300_000


def main() -> None:
    """Play the lesson and make all pictures."""
    parser = build_module_parser("tests.browser.class_pictures", __doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "guide" / "class")
    parser.add_argument("--students", type=int, default=24)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        server, address = start(["app.py", "--class"], Path(data))
        browser = launch_chromium(playwright)
        try:
            Lesson(browser, address, options.out, options.students).play()
        finally:
            browser.close()
            server.terminate()
            server.wait(timeout=60)


class Lesson:
    """One lesson: the teacher's page, the projector, one phone, and simulated students."""

    def __init__(self, browser: Browser, address: str, out: Path, students: int) -> None:
        self.address, self.out, self.students = address, out, students
        self.teacher, self.screen, self.phone = (
            browser.new_context(viewport=size, color_scheme="light").new_page()  # type: ignore[arg-type]
            for size in (TEACHER, SCREEN, PHONE)
        )

    def play(self) -> None:
        """Lead through the plan; whatever a step shows is waited for."""
        code = self._start()
        self.screen.goto(f"{self.address}/class/{code}/screen")
        self.phone.goto(f"{self.address}/class/{code}")
        expect(self.phone.locator("#now h1").first).to_be_attached()
        command = [sys.executable, "-m", "classroom", "simulate", "--address", self.address, "--code", code]
        room = subprocess.Popen([*command, "--students", str(self.students)], cwd=ROOT)
        try:
            self._in_class(code)
        finally:
            room.terminate()
            room.wait(timeout=60)

    def _start(self) -> str:
        self.teacher.goto(f"{self.address}/class")
        self.teacher.check(f"input[value={PLAN}]")
        self.teacher.get_by_role("button", name="Start the class").click()
        self.teacher.wait_for_url("**/teach")
        return self.teacher.url.split("/")[-2]

    def _in_class(self, code: str) -> None:
        expect(self.screen.locator("#in-room")).to_have_text(str(self.students + 1), timeout=60_000)
        self._take(self.screen, "join")
        self._go_to("The start of an adapter", "vote")
        self.phone.locator("label.option").first.click()
        self._take(self.phone, "vote")
        self.phone.locator("button[value=think]").click()
        self._wait_for_answers()
        self._press_next()
        self._take(self.teacher, "advice")
        self._go_to("The start of an adapter", "revote")
        self._wait_for_answers()
        self._go_to("The start of an adapter", "reveal")
        expect(self.screen.locator(".bars")).to_be_visible()
        self._take(self.screen, "answer")
        self._go_to("How much is trained?", "vote")
        self._wait_for_answers()
        self._go_to("How much is trained?", "run")
        expect(self.screen.locator("#now")).to_contain_text("Measured:", timeout=RUN_MS)
        self._take(self.screen, "measured")
        self._go_to("The grid of the class", "vote")
        self._wait_for_answers()
        self._press_next()
        expect(self.screen.locator("#now")).to_contain_text("36 of 36 runs have ended", timeout=RUN_MS)
        self._take(self.screen, "grid")
        self.teacher.goto(f"{self.address}/class/{code}/report")
        self._take(self.teacher, "report")

    def _go_to(self, activity: str, phase: str) -> None:
        step = self.teacher.locator("ol.plan li", has_text=activity).locator(f"[data-phase={phase}]")
        if not step.is_visible():
            self.teacher.get_by_text("The plan", exact=True).click()
        step.click()
        expect(step).to_have_attribute("aria-current", "step")

    def _press_next(self) -> None:
        self.teacher.locator("[data-do=next]").click()

    def _wait_for_answers(self) -> None:
        """Wait until three in four have answered; simulated students may drop out or stay silent."""
        deadline = time.monotonic() + 120
        while int(self.teacher.locator("#answered").inner_text()) < self.students * 3 // 4:
            if time.monotonic() > deadline:
                raise SystemExit("Too few answers after two minutes.")
            self.teacher.wait_for_timeout(500)

    def _take(self, page: Page, name: str) -> None:
        page.wait_for_timeout(1_000)  # bars grow, a tick arrives
        picture = Image.open(BytesIO(page.screenshot()))
        picture.quantize(colors=64).save(self.out / f"{name}.png", optimize=True)  # a third of the bytes


if __name__ == "__main__":
    main()
