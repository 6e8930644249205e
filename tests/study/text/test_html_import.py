"""Content texts as other programs write them: what is no formula does not come back as one."""

import pytest

from study.text.html_import import convert_html, to_html


@pytest.mark.parametrize(
    "text",
    [
        "[latex]--[/latex]",
        "[LaTeX] is a word, and so is [/latex]",
        "`[$]x[/$]` and `[latex]`",
        "[$$]x[/$$]",
        r"a \\( b \\)",
        "a list[0] and [latex",
        "$a_1$ beside [latex]",
    ],
)
def test_words_that_look_like_a_formula_elsewhere_come_back_as_they_were(text: str) -> None:
    assert convert_html(to_html(text)) == text


def test_formulas_of_other_programs_are_read() -> None:
    assert convert_html("[latex]x^2[/latex] [$]y[/$]") == "$x^2$ $y$"
