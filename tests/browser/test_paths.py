"""Five people's paths from Today: each reaches what it is for in at most three presses."""

import re
from dataclasses import dataclass

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import StartApp, Visit

pytestmark = pytest.mark.browser

PRESSES = 3


@dataclass
class Path:
    """A learner's way from Today, with its presses counted."""

    page: Page
    presses: int = 0

    def press(self, target: Locator) -> None:
        target.click()
        self.presses += 1
        assert self.presses <= PRESSES


@pytest.fixture(scope="module")
def own_address(start_app: StartApp) -> str:
    """An app whose run is in no other test's way; its worker starts with the run."""
    return start_app("--no-worker")


@pytest.fixture
def path(look: Visit, own_address: str) -> Path:
    """A returning learner on Today."""
    page = look(address=own_address).open("/")
    page.get_by_role("button", name="I know it: open Today").click()
    expect(page.get_by_role("button", name="Start the review")).to_be_visible()
    return Path(page)


def menu(page: Page, name: str) -> Locator:
    return page.locator("#site").get_by_role("link", name=name, exact=True)


def test_revise_for_five_minutes(path: Path) -> None:
    path.press(path.page.get_by_role("button", name="Start the review"))
    expect(path.page.locator("#flip")).to_be_visible()


def test_learn_one_concept(path: Path) -> None:
    path.press(menu(path.page, "Learn"))
    path.press(path.page.get_by_role("link", name="Start here"))
    expect(path.page.locator(".takeaway")).to_be_visible()
    expect(path.page.locator(".figure-beside .fig-picture")).to_be_visible()


def test_does_an_8b_model_fit_in_24_gb_and_how_many_parameters_train(path: Path) -> None:
    path.press(menu(path.page, "Lab"))
    path.press(path.page.get_by_role("link", name="Will it fit?"))
    expect(path.page.locator("#main")).to_contain_text(
        re.compile(
            r"Fits in 24\sGB with [\d.]+\sGB left\. 41,943,040 trainable parameters \(0\.52\s%\)\. "
            r"It needs [\d.]+\sGB; PyTorch sees 25\.4\sGB of its 25\.8\sGB \(24\sGiB\)"
        )
    )


def test_show_it_on_a_projector(path: Path) -> None:
    path.press(menu(path.page, "You"))
    path.press(menu(path.page, "Settings"))
    path.press(path.page.get_by_label("Projector: large type"))
    expect(path.page.locator("html")).to_have_class(re.compile(r"\bprojector\b"))


def test_start_a_rank_experiment(path: Path) -> None:
    """The last one, because its run would take time from the others."""
    path.press(menu(path.page, "Lab"))
    path.press(path.page.get_by_role("button", name="Start training"))
    expect(path.page).to_have_url(re.compile(r"run=\d{8}-"))
