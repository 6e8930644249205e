"""Read the chart: a bar chart of a lab quantity, and a question about it answered by choice or number."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from quizzes.kinds.choices import Single
from quizzes.kinds.grade import Form, Grade, Offered, Response
from quizzes.kinds.numeric import Numeric
from study.base.checks import Quantity, evaluate
from study.base.numbers import is_finite_number
from study.base.typed_numbers import format_number
from study.content.yaml_reader import Fields
from study.plots.axis import choose_step

_TICKS, _STEPS = 4, (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class QuestionChart:
    """A bar chart of a quantity of the lab over one of its arguments."""

    title: str
    x_label: str
    y_label: str
    quantity: str
    arguments: Mapping[str, Any]
    vary: str
    over: tuple[Any, ...]
    scale: float
    """The value of one unit of the y axis: 1,000,000 for an axis in millions."""

    @property
    def points(self) -> list[tuple[str, float]]:
        """Each bar's name and height, computed now."""
        return [(str(value), evaluate(self._build_quantity(value)) / self.scale) for value in self.over]

    @property
    def computed(self) -> Quantity:
        """The computed quantity, over the range of the chart."""
        return self._build_quantity(f"{self.over[0]} to {self.over[-1]}")

    @property
    def bars(self) -> list[tuple[str, float, str]]:
        """The name, share of the axis, and number of each bar."""
        top = self._ticks[-1]
        return [(name, height / top, format_number(height)) for name, height in self.points]

    @property
    def axis(self) -> list[tuple[float, str]]:
        """The share of the axis and the number of each tick."""
        return [(tick / self._ticks[-1], format_number(tick)) for tick in self._ticks]

    @property
    def alt(self) -> str:
        """The alt text, without the answer; the table below the chart has the numbers."""
        named = f"{self.title}: {self.y_label} by {self.x_label}"
        return f"{named}, {len(self.over)} bars from {self.over[0]} to {self.over[-1]}."

    @property
    def _ticks(self) -> list[float]:
        """Round numbers from 0 to above the highest bar."""
        top = max(height for _, height in self.points)
        step = choose_step(top / _TICKS, steps=_STEPS, at_least=1.0)
        return [step * count for count in range(math.ceil(top / step) + 1)]

    def _build_quantity(self, value: Any) -> Quantity:
        return Quantity(quantity=self.quantity, arguments={**self.arguments, self.vary: value})


@dataclass(frozen=True, kw_only=True)
class ReadChart:
    """A question whose answer is in the chart."""

    kind: ClassVar[Literal["read-the-chart"]] = "read-the-chart"
    chart: QuestionChart
    asked: Single | Numeric

    @property
    def rule(self) -> str:
        return self.asked.rule

    @property
    def answer(self) -> Response:
        return self.asked.answer

    @property
    def texts(self) -> tuple[str, ...]:
        return self.asked.texts

    def offer(self, salt: str) -> Offered:
        """Return the choices with their letters, if the answer is a choice."""
        return self.asked.offer(salt)

    def read(self, form: Form, offered: Offered) -> Response:
        return self.asked.read(form, offered)

    def grade(self, response: Response) -> Grade:
        return self.asked.grade(response)


def read_chart(fields: Fields) -> QuestionChart:
    """Read a question's chart: `chart: {quantity, vary, over, title, x, y, and other arguments}`."""
    entry = fields.read_child("chart", kind="chart")
    over, scale, arguments = entry.raw("over"), entry.raw("scale"), entry.raw("arguments")
    if not isinstance(over, list) or not 2 <= len(over) <= 12:
        entry.note(f"`over` must list 2 to 12 values, got {over!r}")
    chart = QuestionChart(
        title=entry.text("title"),
        x_label=entry.text("x"),
        y_label=entry.text("y"),
        quantity=entry.text("quantity"),
        arguments=dict(arguments) if isinstance(arguments, dict) else {},
        vary=entry.text("vary"),
        over=tuple(over) if isinstance(over, list) and over else (0,),
        scale=float(scale) if is_finite_number(scale) and scale > 0 else 1.0,
    )
    entry.close()
    return chart
