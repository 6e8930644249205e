"""The drawing of W, A and B beside a question."""

import re
from types import SimpleNamespace

from quizzes.kinds.matrix_shape import Shape
from study.text.templates import render

PHONE_LETTERS = 19  # of the 440 units of the drawing, `questions.css`


def test_b_stands_clear_of_the_words_above_a_narrow_w() -> None:
    for d_in in (64, 512, 2048):
        shape = Shape(d_in=d_in, d_out=2048, rank=64)
        svg = str(render("quizzes/quiz/shape.html", question=SimpleNamespace(id="q"), shape=shape))
        [start] = [float(x) for x in re.findall(r'<rect class="b" x="([\d.]+)"', svg)]
        [end] = [float(x) for x in re.findall(r'<rect class="a" x="([\d.]+)"', svg)]
        assert start > 2 + 0.6 * PHONE_LETTERS * len("W, frozen")
        assert end + shape.width <= 440
