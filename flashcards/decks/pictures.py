"""Pictures on cards: a file next to the decks, or bars drawn from quantities that the lab computes.

picture: {file: lora-branch.svg, alt: A small path of two matrices beside the frozen one.}
picture:
  alt: Four bars, each twice as tall as the one before.
  bars:
    - {label: r = 4, quantity: lora_parameters, model: smollm2-135m, rank: 4, targets: all-linear}
"""

from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from markupsafe import Markup

from study.base.checks import Quantity, evaluate
from study.content.declared import read_declared
from study.content.evidence import read_quantity
from study.content.yaml_reader import Fields
from study.text.templates import render

FOLDER = Path(__file__).parents[1] / "static" / "pictures"
MEDIA = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}
TALLEST = 120


@dataclass(frozen=True, kw_only=True)
class PictureBar:
    """One bar: its label, and the quantity that is its height."""

    label: str
    quantity: Quantity


def _read_bars(fields: Fields, name: str) -> tuple[PictureBar, ...]:
    bars = []
    for entry in fields.children(name, kind="bar", needed=False):
        label = entry.text("label")
        quantity = read_quantity(entry, besides=("label",))
        if quantity is not None:
            bars.append(PictureBar(label=label, quantity=quantity))
    return tuple(bars)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture and its alt text. `numbers` writes each bar's value above it."""

    alt: str
    file: str = ""
    bars: Annotated[tuple[PictureBar, ...], _read_bars] = ()
    numbers: bool = False


def read_picture(fields: Fields) -> Picture | None:
    """Read a note's `picture:`, if it has one, and note its problems."""
    inner = fields.child("picture", kind="picture")
    if inner is None:
        return None
    picture = read_declared(inner, Picture)
    if bool(picture.file) == bool(picture.bars):
        inner.note("a picture is either a `file` or `bars`")
    path = FOLDER / picture.file
    if picture.file and (path.parent != FOLDER or path.suffix not in MEDIA or not path.is_file()):
        inner.note(f"no picture {picture.file!r} in {FOLDER.name}/ ({', '.join(MEDIA)})")
    return picture


def render_picture(picture: Picture) -> Markup:
    """Render the picture inline, so the page makes no request for it."""
    if picture.file:
        return render(
            "flashcards/pictures/picture.html", alt=picture.alt, address=_encode_picture(picture.file)
        )
    values = [evaluate(bar.quantity) for bar in picture.bars]
    heights = [TALLEST * value / max(values) for value in values]
    bars = [
        (bar.label, value, height) for bar, value, height in zip(picture.bars, values, heights, strict=True)
    ]
    return render(
        "flashcards/pictures/bars.html", alt=picture.alt, bars=bars, tallest=TALLEST, numbers=picture.numbers
    )


@cache
def _encode_picture(file: str) -> str:
    path = FOLDER / file
    return f"data:{MEDIA[path.suffix]};base64,{b64encode(path.read_bytes()).decode('ascii')}"
