"""Loss masking: which tokens of a learner's own example are trained on, and which are only read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from lora_lab.data.lab_folder import ReadExample
from lora_lab.data.tokenizer import EmbeddedTokenizer
from lora_lab.figures.described import build_figure
from lora_lab.figures.recorded import describe_recording, read_recording
from lora_lab.views.token_preview import Token, as_tokens
from study.base.errors import LearnerError
from study.base.html import format_html, join_html
from study.base.units import as_percent
from study.figures.controls import define_slider, define_text
from study.figures.figure import Figure, FigureView, build_computed_origin

LENGTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256)
PROMPT = "Why is B set to zero at the start of training?"
ANSWER = "So that B·A is zero, and the model starts out exactly as it was."
Read = Callable[[str, str], ReadExample]


@dataclass(frozen=True, kw_only=True)
class TokensSettings:
    prompt: str = define_text("Prompt", default=PROMPT, most=600)
    answer: str = define_text("Answer", default=ANSWER, most=600)
    seq_len: int = define_slider("Cut at", default=128, stops=LENGTHS, unit="tokens")


def mark_tokens(read: Read, settings: TokensSettings) -> tuple[Token, ...]:
    """Return every token, marked as masked, trained or cut."""
    return as_tokens(read(settings.prompt, settings.answer), settings.seq_len)


def read_recorded(prompt: str, answer: str) -> ReadExample:
    """Return the default example as the worker tokenized it. Raises LearnerError on any other text."""
    if (prompt, answer) != (PROMPT, ANSWER):
        raise LearnerError(
            "Your own words need the model's tokenizer, which is not here yet.",
            do_next="Open the Lab, wait until the model is prepared, then reload this page.",
        )
    kept = read_recording("tokens")
    return ReadExample(pieces=tuple(kept["pieces"]), answer_tokens=kept["answer_tokens"])


def _build_view(tokens: tuple[Token, ...], *, live: bool) -> FigureView:
    count = {kind: sum(token.kind == kind for token in tokens) for kind in ("masked", "trained", "cut")}
    kept = count["masked"] + count["trained"]
    trained = "".join(token.text for token in tokens if token.kind == "trained")
    lost = f" {count['cut']} more at the end are cut off." if count["cut"] else ""
    nothing = " Nothing of the answer is left: such an example is left out." if not count["trained"] else ""
    return FigureView(
        finding=(
            f"Of {kept} tokens that the model reads, {count['trained']} are trained on "
            f"({as_percent(100 * count['trained'] / kept)}){_name_trained(count)}. The other "
            f"{count['masked']} are masked from the loss.{lost}{nothing}"
        ),
        numbers=(
            ("tokens", str(len(tokens))),
            ("masked", str(count["masked"])),
            ("trained on", str(count["trained"])),
            ("cut off", str(count["cut"])),
        ),
        picture=_draw_picture(tokens),
        alt=(
            f"{len(tokens)} tokens: {count['masked']} masked, {count['trained']} trained on, {count['cut']} "
            f"cut off. Trained on: {trained or 'nothing'}"
        ),
        origins=(
            build_computed_origin(
                text="by SmolLM2-135M-Instruct's own tokenizer and chat template, as the lab reads data",
            )
            if live
            else describe_recording("tokens", "This example, read by SmolLM2-135M-Instruct's tokenizer."),
        ),
    )


def _name_trained(count: dict[str, int]) -> str:
    if not count["trained"]:
        return ""
    return ": what is left of the answer" if count["cut"] else ": the answer and its end-of-turn token"


def _draw_picture(tokens: tuple[Token, ...]) -> Markup:
    spans = join_html(
        format_html('<span class="{}">{}</span>', token.kind, token.text.replace("\n", "↵\n"))
        for token in tokens
    )
    key = format_html(
        '<p class="small"><span class="masked">masked</span> <span class="trained">trained on</span> '
        '<span class="cut">cut off</span></p>'
    )
    return format_html('<div class="fig-tokens">{}<p>{}</p></div>', key, spans)


def build_tokens_figure(models_dir: Path | None) -> Figure[TokensSettings]:
    """Build the figure with the tokenizer in a models folder, without one from the recorded example."""
    tokenizer = EmbeddedTokenizer(models_dir) if models_dir else None

    def show(settings: TokensSettings) -> FigureView:
        if tokenizer and tokenizer.is_ready:
            return _build_view(mark_tokens(tokenizer.read, settings), live=True)
        return _build_view(mark_tokens(read_recorded, settings), live=False)

    return build_figure("trained-tokens", show)
