"""What axe-core objects to on the page as it stands: rules, each with the elements that break it."""

from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

Violations = list[tuple[str, list[str]]]
NONE_FOUND: dict[str, Violations] = {"light": [], "dark": []}

# axe-core reads the colors behind every text anew. It keeps each field of a color in a WeakMap and parses
# color strings by a library for every color space: on long tables two thirds of its time. Its findings are
# the same with fields that are properties and with each string parsed once.
INJECT = """() => {
  const weak = [WeakMap, WeakSet];
  WeakMap = class {
    key = Symbol();
    has(one) { return this.key in one; }
    get(one) { return one[this.key]; }
    set(one, value) { one[this.key] = value; return this; }
    delete(one) { return delete one[this.key]; }
  };
  WeakSet = class extends WeakMap { add(one) { return this.set(one, true); } };
  %s;
  [WeakMap, WeakSet] = weak;

  const color = axe.commons.color.Color.prototype, parse = color.parseString, parsed = new Map();
  color.parseString = function (text) {
    if (!parsed.has(text)) {
      parse.call(this, text);
      parsed.set(text, [this.r, this.g, this.b, this.alpha]);
    }
    [this.r, this.g, this.b, this.alpha] = parsed.get(text);
    return this;
  };
}"""
RUN = """async () => {
  const {violations} = await axe.run({resultTypes: ['violations'], reporter: 'no-passes'});
  return violations.map(({id, nodes}) => [id, nodes.map(({html}) => html.slice(0, 160))]);
}"""


def violations(page: Page) -> Violations:
    """At any impact."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(INJECT % AXE_SCRIPT)
    return [(rule, elements) for rule, elements in page.evaluate(RUN)]


def violations_by_theme(page: Page) -> dict[str, Violations]:
    """In light and in dark, without loading the page again: NONE_FOUND where there are none."""
    found = {}
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        expect(page.locator("html.dark")).to_have_count(1 if theme == "dark" else 0)
        found[theme] = violations(page)
    return found
