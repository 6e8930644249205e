"""Content texts: formulas and code are marked up, everything else is plain text and stays harmless."""

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from study.text.markup import to_html, to_plain


def test_a_formula_becomes_mathml() -> None:
    shown = to_html(r"The update is $\frac{\alpha}{r} B A$.")
    assert shown.startswith("The update is <math")
    assert "<mfrac>" in shown
    assert "$" not in shown


def test_backticks_become_code() -> None:
    assert to_html("set `r = 8` first") == "set <code>r = 8</code> first"


def test_a_dollar_sign_inside_code_is_no_formula() -> None:
    assert to_html("`$HOME` and `$PATH`") == "<code>$HOME</code> and <code>$PATH</code>"


def test_the_sides_of_a_matrix_are_formulas_without_dollar_signs() -> None:
    shown = to_html("It costs r(d_in + d_out).")
    assert shown == to_html("It costs r($d_{in}$ + $d_{out}$).")
    assert shown.count("<math") == 2
    assert to_html("all d_in·d_out").count("<math") == 1  # a line could end between two formulas
    assert "d_" not in re.sub(r"<annotation.*?</annotation>", "", shown)


def test_the_sides_of_a_matrix_stay_as_they_are_in_code_and_longer_names() -> None:
    assert to_html("`d_in` of linear.d_in") == "<code>d_in</code> of linear.d_in"
    assert "<math" not in to_html("add_in, d_input, d_out=4 and BitsAndBytesConfig(load_in_4bit=True)")


def test_html_in_a_text_is_shown_and_not_obeyed() -> None:
    assert to_html("<script>x</script> & `<b>`") == (
        "&lt;script&gt;x&lt;/script&gt; &amp; <code>&lt;b&gt;</code>"
    )
    assert "<img" not in to_html("$<img src=x>$")


def test_the_announced_text_has_no_marks() -> None:
    assert to_plain("`r` is the rank of $BA$") == "r is the rank of BA"


@given(st.text(alphabet=st.characters(exclude_characters="`$")))
def test_a_text_without_marks_reads_as_written(text: str) -> None:
    shown = str(to_html(text))
    assert html.unescape(shown.replace("<br>", "\n")) == text
    assert not re.search(r"<(?!br>)", shown)


def test_three_backticks_make_a_block_and_two_dollars_a_line_of_its_own() -> None:
    html = to_html("Before:\n```python\nx < 1\n  y\n```\nafter")
    assert html == "Before:<pre><code>x &lt; 1\n  y</code></pre>after"
    assert 'display="block"' in to_html("$$x^2$$")
    assert to_plain("a ```b``` $$c$$") == "a b c"
