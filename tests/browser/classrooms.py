"""The browsers of one class: teacher, projector and students."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

PHONE = {"width": 360, "height": 740}


@dataclass
class Classroom:
    """Browsers of everyone in one class, and what went wrong in any of them."""

    chromium: Browser
    address: str
    code: str = ""
    contexts: list[BrowserContext] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def browser(self, *, width: int = 1280, height: int = 900, **options: Any) -> Page:
        """A browser of its own."""
        context = self.chromium.new_context(viewport={"width": width, "height": height}, **options)
        self.contexts.append(context)
        return self.watched(context.new_page())

    def watched(self, page: Page) -> Page:
        """Note errors and requests that leave the app."""
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._note(str(error)))
        page.on("request", lambda r: None if r.url.startswith(self.address) else self._note(r.url))
        return page

    def start(self, plan: str) -> Page:
        """The teacher starts a class; returns the teacher's page."""
        teacher = self.browser()
        teacher.goto(f"{self.address}/class")
        teacher.check(f"input[value={plan}]")
        teacher.get_by_role("button", name="Start the class").click()
        teacher.wait_for_url("**/teach")
        self.code = teacher.url.split("/")[-2]
        return teacher

    def phone(self, **options: Any) -> Page:
        """A student who has opened the link."""
        page = self.browser(**PHONE, has_touch=True, **options)
        page.goto(f"{self.address}/class/{self.code}")
        expect(page.locator("#now h1").first).to_be_attached()
        return page

    def screen(self) -> Page:
        """The projector."""
        page = self.browser(width=1920, height=1080)
        page.goto(f"{self.address}/class/{self.code}/screen")
        expect(page.locator("#now h1")).to_be_visible()
        return page

    def forgive(self, *expected: str) -> None:
        """Forget the problems that a test brought about itself, such as a cut connection."""
        self.problems = [p for p in self.problems if not any(part in p for part in expected)]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._note(f"{message.text} ({urlsplit(message.location['url']).path})")

    def _note(self, text: str) -> None:
        self.problems.append(text)


def vote(phone: Page, nth: int, sure: str = "think") -> None:
    """Two taps: an option, and how sure one is, which sends it."""
    phone.locator("label.option").nth(nth).click()
    phone.locator(f"button[value={sure}]").click()
    expect(phone.get_by_role("heading", name="Your answer is saved")).to_be_visible()


def press_next(teacher: Page, then: str) -> None:
    """The one button for the next step."""
    teacher.locator("[data-do=next]").click()
    expect(teacher.locator("#now h2")).to_contain_text(then)
