"""Texts that others wrote never run as a script: here by way of formulas, on every page that shows one."""

from pathlib import Path

import pytest
import yaml
from playwright.sync_api import expect

from tests.browser.conftest import StartApp, Visit

pytestmark = pytest.mark.browser

RAN = "window.ran"
PAYLOADS = [
    rf'$\tag{{<img src=x onerror="{RAN}=1">}}$',
    rf'$\text{{<img src=x onerror="{RAN}=1">}}$',
    rf"$\text{{&lt;img src=x onerror={RAN}=1&gt;}}$",
    rf"$\href{{javascript:{RAN}=1}}{{x}}$",
    rf'$\color{{red" onmouseover="{RAN}=1}}x$',
    rf"$$\fbox{{<svg onload={RAN}=1>}}$$",
]
HOSTILE = " ".join(PAYLOADS)


def deck() -> str:
    card = {"front": f"Front {HOSTILE}", "back": f"Back {HOSTILE}", "why": f"Why {HOSTILE}"}
    cloze = {"id": "hostile-cloze", "kind": "cloze", "text": f"{{{{c1::gap {HOSTILE}}}}} {HOSTILE}"}
    return yaml.safe_dump({"deck": f"Deck {HOSTILE}", "cards": [{"id": "hostile", **card}, cloze]})


def questions() -> str:
    options = [
        {"text": f"Right {HOSTILE}", "correct": True, "feedback": f"Yes {HOSTILE}"},
        {"text": f"Wrong {HOSTILE}", "feedback": f"No {HOSTILE}", "misconception": f"slug: takes {HOSTILE}"},
    ]
    question = {"id": "hostile-question", "stem": f"Stem {HOSTILE}", "options": options,
                "keep": f"Keep {HOSTILE}", "hint": f"Hint {HOSTILE}"}  # fmt: skip
    return yaml.safe_dump({"topic": f"Topic {HOSTILE}", "questions": [question]})


def test_a_formula_runs_nothing_on_any_page(visit: Visit, start_app: StartApp, tmp_path: Path) -> None:
    for folder, text in (("decks", deck()), ("questions", questions())):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "hostile.yaml").write_text(text)
    visitor = visit(address=start_app("--no-worker", folder=tmp_path))

    page = visitor.open("/cards?deck=hostile&new=2")
    expect(page.locator(".front math").first).to_be_visible()
    page.keyboard.press("Space")
    expect(page.locator("#answer math").first).to_be_visible()
    visitor.open("/browse?deck=hostile")
    expect(page.locator(".found-front").first).to_be_visible()
    visitor.open("/quiz")
    visitor.open("/quiz?topic=hostile&n=1&seed=1")
    page.get_by_role("button", name="Start this quiz").click()
    expect(page.locator("#stem math").first).to_be_visible()
    page.keyboard.press("h")
    expect(page.locator(".hint math").first).to_be_visible()
    page.locator(".option").first.click()
    page.keyboard.press("Enter")
    expect(page.locator(".feedback math").first).to_be_visible()
    visitor.open("/io")
    for name, text in (("other.yaml", deck()), ("asked.yaml", questions())):
        (tmp_path / name).write_text(text.replace("hostile", "another"))
        page.get_by_label("A file with cards, questions or a backup").set_input_files(tmp_path / name)
        expect(page.locator("#preview")).to_contain_text(name)
    assert page.evaluate(RAN) is None


WALL = [
    f"<img src=x onerror='{RAN}=1'>",
    f"<svg onload='{RAN}=1'></svg>",
    f"<a id=bait href='javascript:{RAN}=1'>x</a>",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
    f"<details open ontoggle='{RAN}=1'></details>",
]


def test_markup_that_gets_past_every_escape_runs_nothing_either(visit: Visit, start_app: StartApp) -> None:
    """The second wall: the page's policy refuses event attributes, script addresses and inline scripts."""
    visitor = visit(address=start_app("--no-worker"))
    page = visitor.open("/cards")
    for payload in WALL:
        page.evaluate(
            "html => document.querySelector('#main').insertAdjacentHTML('beforeend', html)", payload
        )
    page.evaluate("document.querySelector('#bait').click()")
    page.evaluate(
        "const made = document.createElement('script'); made.textContent = 'window.ran = 1';"
        " document.body.append(made)"
    )
    page.evaluate(
        "const made = document.createElement('script'); made.src = 'https://example.org/x.js';"
        " document.body.append(made)"
    )
    page.wait_for_timeout(500)
    assert page.evaluate(RAN) is None
    refused = [problem for problem in visitor.problems if "Content Security Policy" in problem]
    assert len(refused) >= 5
    visitor.forgive("Content Security Policy", "ERR_", "404", "400", "https://example.org/x.js")
