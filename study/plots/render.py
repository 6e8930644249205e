"""Rendering of a plot to bytes: PNG or SVG for download, or an SVG that becomes part of a page."""

import io
import re
from functools import lru_cache
from typing import Literal
from xml.etree import ElementTree

from markupsafe import Markup

from study.base.html import trust_html
from study.plots.plot import Plot
from study.plots.sheet import INK, PAPER, POINTS_PER_INCH, WIDE_INCHES, apply_drawing_style

Format = Literal["svg", "png"]

PNG_DPI = 200
SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
PAGE_COLOURS = {INK: "currentColor", PAPER: "var(--sheet, Canvas)"}
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}

ElementTree.register_namespace("", SVG)


@lru_cache(maxsize=256)  # a slider repeats the same settings; a picture has about 20 kB
def render_plot(
    plot: Plot, format: Format, *, on_page: bool, width_inches: float = WIDE_INCHES, titled: bool = True
) -> bytes:
    """Render the picture. `on_page` makes an SVG for a page, with the page's colours, background and width.

    `titled=False` leaves title and subtitle to the page.
    """
    from matplotlib.figure import Figure

    height = plot.height(width_inches * POINTS_PER_INCH, titled=titled)
    figure = Figure(figsize=(width_inches, height / POINTS_PER_INCH), facecolor=PAPER)
    plot.draw(figure, titled=titled)
    file = io.BytesIO()
    with apply_drawing_style():
        if format == "png":
            figure.savefig(file, format="png", dpi=PNG_DPI)
            return bytes(file.getvalue())
        figure.savefig(file, format="svg", transparent=on_page, metadata=NO_METADATA)
    prefix = f"{plot.name}-{width_inches * 10:.0f}{'' if titled else '-bare'}-"
    root = ElementTree.fromstring(file.getvalue())
    _tidy_svg(root, plot, prefix)
    if on_page:
        _join_page(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8"))


def render_on_page(plot: Plot, *, width_inches: float = WIDE_INCHES) -> Markup:
    """Render the picture as an SVG for a page that shows its title."""
    written = render_plot(plot, "svg", on_page=True, width_inches=width_inches, titled=False)
    return trust_html(written.decode())  # an XML writer escapes every text of the plot


def _tidy_svg(root: ElementTree.Element, plot: Plot, prefix: str) -> None:
    """Make ids unique, remove rules that reach beyond this picture, and add its description."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
        if f"{{{XLINK}}}href" in parent.attrib:
            parent.set("href", parent.attrib.pop(f"{{{XLINK}}}href"))
        for name, value in parent.attrib.items():
            parent.set(name, _rename_ids(name, value, prefix))
    # matplotlib 3.11 applies a hatch's opacity twice: in its pattern, and in the shape filled with it
    for hatch in root.iterfind(f".//{{{SVG}}}pattern/{{{SVG}}}path"):
        hatch.set("style", re.sub(r"; stroke-opacity: [\d.]+", "", hatch.attrib["style"]))
    root.attrib.update(
        {
            "role": "img",
            "aria-label": plot.alt,
            "stroke-linejoin": "round",
            "font-family": FONTS,
            "style": "font-variant-numeric: tabular-nums",
        }
    )
    title = ElementTree.Element(f"{{{SVG}}}title")
    title.text = plot.title
    root.insert(0, title)


def _rename_ids(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return prefix + value
    if name == "href" and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    if name == "style":
        value = re.sub(r"font-family: [^;]+;? ?", "", value)
    return value.replace("url(#", f"url(#{prefix}")


def _join_page(root: ElementTree.Element) -> None:
    """Let the page set size and colours."""
    root.attrib.pop("height", None)
    root.set("width", "100%")
    for element in root.iter():
        for name, value in element.attrib.items():
            for fixed, theirs in PAGE_COLOURS.items():
                value = value.replace(fixed, theirs)
            element.set(name, value)
