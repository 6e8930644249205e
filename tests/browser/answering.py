"""Answering whatever question is shown, with nothing but the keyboard."""

from playwright.sync_api import Page, expect


def answer_by_keyboard(page: Page, letter: str = "a", *, sure: str = "") -> None:
    """Give an answer, right or not, and wait for what is said about it."""
    expect(page.locator("#stem")).to_be_visible()
    selects = page.locator(".arrange select")
    if selects.count():
        keys = "12345678" if page.locator("form[data-kind=matching]").count() else "ABCDEFGH"
        for number in range(selects.count()):
            selects.nth(number).focus()
            page.keyboard.press(keys[number])
        confident(page, sure)
        page.get_by_role("button", name="Check answer").focus()
    elif page.locator("#answer, #blank-1").count():
        expect(page.locator("#answer, #blank-1")).to_be_focused()
        page.keyboard.type("12")
        confident(page, sure)
    else:
        if page.locator("[name=verdict]").count():
            page.keyboard.press("t")
        page.keyboard.press(letter)
        expect(page.locator("[name=option]:checked")).to_have_count(1)
        if sure:
            page.keyboard.press(sure)
    page.keyboard.press("Enter")
    expect(page.locator("#next:focus, #verdict:focus")).to_have_count(1)


def confident(page: Page, sure: str) -> None:
    """Leave the field where letters and digits are typed, then press 1, 2 or 3."""
    if sure:
        page.locator("[name=confidence]").first.focus()
        page.keyboard.press(sure)
