"""Every page of the app by its address, with what the tests of all pages know of it."""

from playwright.sync_api import Page, expect

PAGES = {
    "/": "Today",
    "/learn": "Learn",
    "/concept?id=lora-rank": "Rank r of an adapter: Learn",
    "/concept?id=lora-rank&mode=deep": "Rank r of an adapter: Deep",
    "/figures?figure=lora-to-scale": "W + B·A, drawn to scale",
    "/figures": "Figures",
    "/reference": "Reference",
    "/projects": "Projects",
    "/start": "Understand LoRA: Training everything is expensive",
    "/practise": "Practise",
    "/cards": "Cards",
    "/browse": "Browse cards",
    "/quiz": "Quiz",
    "/explain": "Explain",
    "/explain?prompt=explain-lora": "Explain",
    "/explain?own=new": "Explain",
    "/tasks": "Tasks",
    "/review": "Review",
    "/progress": "Progress",
    "/settings": "Settings",
    "/io": "Import and export",
    "/lab": "Lab",
    "/grid": "Grid",
    "/compare": "Compare",
    "/xray": "X-ray",
    "/microscope": "Microscope",
    "/claims": "Claims",
    "/models": "Models",
    "/papers": "Published numbers",
    "/memory": "Will it fit?",
}


UNLISTED = (
    "/review",
    "/browse",
    "/start",
    "/concept",
    "/grid",
    "/compare",
    "/xray",
    "/microscope",
    "/claims",
    "/models",
    "/papers",
    "/memory",
)
"""Pages that neither the menu nor the row below it names."""

PLACES = (
    ("Learn", "/learn", "/concept", "/figures", "/reference", "/projects", "/start"),
    ("Practise", "/practise", "/cards", "/quiz", "/explain", "/tasks", "/browse", "/review"),
    ("Lab", "/lab", "/grid", "/compare", "/xray", "/microscope", "/claims", "/models", "/papers", "/memory"),
    ("You", "/progress", "/settings", "/io"),
    ("Today", "/"),
)
"""The places of the menu and the pages that each holds."""


def deeper(page: Page, path: str) -> None:
    """Go on to where a page has most on it: behind the flip, behind an answer."""
    if path == "/cards":
        page.keyboard.press("Space")
        expect(page.locator("#answer")).to_be_visible()
    if path == "/browse":
        page.locator(".found-row").first.click()
        expect(page.locator(".found-body")).to_be_visible()
    if path == "/quiz":
        page.get_by_label("Topic").select_option("lora")
        page.get_by_role("button", name="Start").click()
        page.locator(".option").first.click()
        page.get_by_role("button", name="Check answer").click()
        expect(page.locator("#next")).to_be_visible()
    if path == "/explain?prompt=explain-lora":
        page.locator("#answer").fill("The base is frozen.")
        page.get_by_role("button", name="Compare with the concepts").click()
        page.get_by_role("button", name="Keep this").click()
        expect(page.locator("#result")).to_be_visible()
        page.get_by_text("Mark as teacher, and history").click()
