"""HTML templates: Jinja2 files of each package, with autoescape on and the content markup as a filter.

    render("flashcards/cards/front.html", card=card)

finds `flashcards/templates/cards/front.html`. A text of the content is written `{{ card.front | rich }}`;
everything else is escaped. An undefined name is an error, not an empty place on the page.
"""

from functools import cache

from jinja2 import Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup

from study.base import units
from study.base.checks import Quantity, evaluate
from study.base.days import format_day, format_moment
from study.base.html import trust_html
from study.base.settings import ROOT
from study.text.markup import link_citations, lower_first, to_html, to_plain
from study.text.sent_files import strip_comments

LOOK_SCRIPT = ROOT / "study" / "static" / "look.js"
PAGE_STYLE = ROOT / "study" / "static" / "page.css"


@cache
def get_environment() -> Environment:
    """The one template environment, shared by all pages."""
    folders = {folder.parent.name: FileSystemLoader(folder) for folder in ROOT.glob("*/templates")}
    made = Environment(
        loader=PrefixLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,  # or each template of each request asks the disk whether its file has changed
    )
    made.filters.update(
        rich=to_html,
        plain=to_plain,
        cited=link_citations,
        lower_first=lower_first,
        count=units.as_count,
        short=units.as_short,
        percent=units.as_percent,
        digits=units.as_three_digits,
        duration=units.as_duration,
        bytes=units.as_bytes,
        day=format_day,
        moment=format_moment,
        computed=_evaluate,
    )
    # For pages that Gradio does not make; study/web/security/content_policy.py knows it by its hash.
    made.globals["look_script"] = trust_html(LOOK_SCRIPT.read_text("utf-8"))
    made.globals["page_style"] = trust_html(strip_comments(PAGE_STYLE.read_text("utf-8"), ".css"))
    return made


def render(name: str, /, **values: object) -> Markup:
    return trust_html(get_environment().get_template(name).render(**values))


def _evaluate(asked: Quantity) -> str:
    """The number behind a claim, computed while the page is made."""
    value = evaluate(asked)
    return f"{value:,.0f}" if value == int(value) else f"{value:,.7g}"
