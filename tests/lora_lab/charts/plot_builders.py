"""Settings, measured runs and texts of pictures, for tests of the still charts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from xml.etree import ElementTree

from hypothesis import strategies as st

from lora_lab.charts.memory import plot_memory_by_bits, plot_memory_by_rank
from lora_lab.charts.parameters import plot_parameters_by_rank
from lora_lab.data.batches import RowSize, build_even_row
from lora_lab.memory.ledger import predict_ledger
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.predicted_vs_measured import MeasuredPeak
from lora_lab.spec import BITS, TARGET_SETS, Bits, Compute, RunSpec
from study.plots.plot import Plot
from study.plots.render import render_plot
from study.plots.sheet import WIDE_INCHES, measure_text_width

SVG = "{http://www.w3.org/2000/svg}"
ROW = build_even_row(tokens=381, answer_tokens=150, examples=4)
POWERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DRAWN_BITS: tuple[Bits, ...] = (
    "bf16", "hqq8", "int8", "hqq4", "nf4", "fp4", "hqq3", "nf4-dq", "hqq2", "hqq1"
)  # fmt: skip
MODELS = ("tiny-random", "smollm2-135m", "gpt2", "llama-3.1-8b")

specs = st.builds(
    RunSpec,
    model=st.sampled_from(MODELS),
    rank=st.integers(1, 256) | st.sampled_from((1, 8, 256)),
    bits=st.sampled_from(BITS),
    targets=st.sampled_from(TARGET_SETS),
)
rows = st.integers(1, 4096).flatmap(
    lambda tokens: st.builds(
        build_even_row,
        tokens=st.just(tokens),
        answer_tokens=st.integers(1, tokens),
        examples=st.integers(1, 8),
    )
)
computes: st.SearchStrategy[Compute] = st.sampled_from(("fp32", "bf16"))


def measured(
    spec: RunSpec, *, factor: float = 1.0, device: str = "CPU, 2 threads", row: RowSize = ROW
) -> MeasuredPeak:
    predicted = predict_ledger(find_shape(spec.model), spec, row, "bf16").total_bytes
    return MeasuredPeak(
        run_id="some-run",
        spec=spec,
        peak_bytes=round(predicted * factor),
        predicted_bytes=predicted,
        device_name=device,
        compute="bf16",
        row=row,
        steps=40,
    )


def all_three(spec: RunSpec, *, runs: Sequence[MeasuredPeak] = ()) -> tuple[Plot, Plot, Plot]:
    shape = find_shape(spec.model)
    by_rank = [run for run in runs if run.spec.bits == spec.bits]
    by_bits = [run for run in runs if run.spec.rank == spec.rank]
    return (
        plot_parameters_by_rank(shape, spec),
        plot_memory_by_rank(shape, spec, ROW, "bf16", by_rank),
        plot_memory_by_bits(shape, spec, ROW, "bf16", by_bits),
    )


def column(plot: Plot, name: str) -> list[object]:
    return [row[plot.header.index(name)] for row in plot.rows]


@dataclass(frozen=True)
class Word:
    """A text of an SVG and the box it takes."""

    words: str
    left: float
    top: float
    right: float
    bottom: float

    def touches(self, other: "Word") -> bool:
        """Whether the boxes share more than an edge."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across > 0.5 and down > 0.5


def texts(svg: bytes) -> list[Word]:
    return [_word(element) for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def _word(element: ElementTree.Element) -> Word:
    style = dict(part.split(": ", 1) for part in element.attrib["style"].rstrip(";").split("; "))
    size = float(style["font-size"].removesuffix("px"))
    words = element.text or ""
    width = measure_text_width(words, size=size, bold=style.get("font-weight") == "700")
    x, y = float(element.attrib["x"]), float(element.attrib["y"])
    left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[style["text-anchor"]] * width
    return Word(words, left, y - 0.76 * size, left + width, y + 0.1 * size)


def line_of_words(plot: Plot) -> str:
    return " ".join(word.words for word in texts(render_plot(plot, "svg", on_page=True)))


def on_page(spec: RunSpec, *, width_inches: float = WIDE_INCHES) -> list[bytes]:
    runs = [
        measured(spec, factor=0.97),
        measured(replace(spec, rank=100)),
        measured(replace(spec, bits="int8")),
    ]
    return [
        render_plot(plot, "svg", on_page=True, width_inches=width_inches)
        for plot in all_three(spec, runs=runs)
    ]
