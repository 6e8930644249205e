"""Formulas become MathML that holds mathematics and nothing else; a bad one never stops a page."""

import re
from html import unescape
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from latex2mathml.converter import convert

from flashcards.decks.deck import load_decks
from study.content.concepts import ConceptMap
from study.text.formulas import LIMIT_CHARACTERS, FormulaError, to_mathml
from study.text.markup import MARK, find_formula_problems, to_html

SCRIPT = '<img src=x onerror="window.ran=1">'
# One a command that latex2mathml passes text or an attribute through.
HOSTILE = [
    rf"\tag{{{SCRIPT}}}",
    rf"\tag*{{{SCRIPT}}}",
    rf"\text{{{SCRIPT}}}",
    rf"\mbox{{{SCRIPT}}}",
    rf"\hbox{{a ${SCRIPT}$}}",
    rf"\fbox{{{SCRIPT}}}",
    rf"\verb|{SCRIPT}|",
    rf"\operatorname{{{SCRIPT}}}",
    rf"\colorbox{{red;background:url(//evil)}}{{{SCRIPT}}}",
    rf'\fcolorbox{{red" onclick="x}}{{blue}}{{{SCRIPT}}}',
    r'\color{red" onmouseover="window.ran=1}x',
    r'\textcolor{"><script>window.ran=1</script>}{x}',
    r"\href{javascript:window.ran=1}{x}",
    r"\style{position:fixed;inset:0}{x}",
    r"\class{evil}{x}",
    r"\id{evil}{x}",
    r'\hspace{1em" onclick="x}',
    r"\unicode{x3c}script\unicode{x3e}",
    r"\text{&lt;img src=x onerror=window.ran=1&gt;}",
    r"\text{&amp;lt;img src=x onerror=window.ran=1&amp;gt;}",
    r'\rule{1em" onclick="x}{1em}',
    r"\kern{99999em}x",
]
PIECES = r"""\frac{ } { ^ _ \left( \right) \sqrt & < > " ' x \begin{matrix} \end{matrix} \\ \hfil #1 \sum
\limits \mathbf \not"""
COMMANDS = st.sampled_from([*HOSTILE, *PIECES.split()])


def assert_only_mathematics(mathml: str) -> None:
    for element in ElementTree.fromstring(mathml).iter():
        assert re.fullmatch(r"m[a-z]+|none", element.tag), element.tag
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert name not in ("href", "style", "class", "id", "src")
            assert re.fullmatch(r"[\w#%.+ -]*", value), value


@pytest.mark.parametrize("latex", HOSTILE)
def test_no_command_brings_markup_in(latex: str) -> None:
    try:
        assert_only_mathematics(to_mathml(latex))
    except FormulaError:
        assert "<" not in str(to_html(f"${latex}$")).removeprefix("<code ").removesuffix("</code>")


@given(st.lists(COMMANDS, max_size=12).map("".join))
def test_no_combination_of_commands_brings_markup_in(latex: str) -> None:
    try:
        mathml = to_mathml(latex)
    except FormulaError:
        return
    assert_only_mathematics(mathml)


@given(st.text(max_size=80))
def test_any_text_is_shown_as_a_formula_or_as_its_source(text: str) -> None:
    shown = str(to_html(f"a ${text}$ b"))
    assert not re.search(r"<(?!/?(?:m[a-z]+|none|code|pre|br)\b)", shown)


def test_the_characters_of_a_text_stay_what_they_are() -> None:
    assert "<mtext>x\u00a0&lt;\u00a0y\u00a0&amp;\u00a0z</mtext>" in to_mathml(r"\text{x < y & z}")


def test_the_formulas_of_the_app_look_as_the_converter_makes_them(concepts: ConceptMap) -> None:
    cards = load_decks(concepts).cards
    texts = [text for card in cards for text in (card.front, card.back, card.why)]
    formulas = {mark["math"] for text in texts for mark in MARK.finditer(text) if mark["math"]}
    assert len(formulas) > 20
    for latex in formulas:
        theirs = convert(latex).replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
        theirs = re.sub(r"<(\w+)([^<>]*?) ?/>", r"<\1\2></\1>", unescape(theirs))
        assert unescape(to_mathml(latex)) == theirs


@pytest.mark.parametrize(
    ("latex", "why"),
    [
        (r"\frac{", "not complete LaTeX"),
        (r"\left($ b".removesuffix("$ b"), "not complete LaTeX"),
        (r"\newcommand{\a}{\b\b}\a", "is not available"),
        ("{" * 900 + "}" * 900, "nested too deeply|not complete LaTeX"),
        ("x" * (LIMIT_CHARACTERS + 1), "are the limit"),
    ],
)
def test_what_can_not_be_a_formula_is_refused_with_the_reason(latex: str, why: str) -> None:
    with pytest.raises(FormulaError, match=why):
        to_mathml(latex)


def test_a_stored_formula_that_can_not_be_read_is_shown_as_its_source() -> None:
    shown = str(to_html(r"before $\left($ after"))
    assert r">$\left($</code> after" in shown
    assert shown.startswith("before <code class=")


def test_a_problem_names_the_formula_and_where_it_begins() -> None:
    assert list(find_formula_problems(r"fine $x^2$, then $\frac{$")) == [
        r"the formula $\frac{$ at character 18 can't be shown: "
        r"it is not complete LaTeX; check its braces, \left and \right"
    ]


def test_both_bars_of_a_norm_have_one_height() -> None:
    """A browser stretches the left one over its row, and not the right one, which has a subscript."""
    html = to_mathml(r"\lVert U_{i}^\top \rVert_F^2")
    assert re.findall(r"<mo[^>]*>‖", html) == ['<mo stretchy="false">‖'] * 2
    assert re.findall(r'stretchy="(\w+)"', to_mathml(r"\left\lVert x \right\rVert")) == ["true", "true"]
