"""A heat map: tiles on two axes, each with its value written in it, or a word where the value is missing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from study.plots.sheet import (
    EDGE,
    INK,
    TEXT_LEADING,
    TEXT_SIZE,
    Sheet,
    measure_text_width,
    shorten_text,
    wrap_text,
)

# Light to dark in one hue, so the order survives any colour blindness and a grey printer.
LOW, MIDDLE, HIGH = (0xE8, 0xF1, 0xFA), (0x6A, 0xA5, 0xD2), (0x0B, 0x3C, 0x77)
# Not INK and PAPER, which a page replaces: tiles keep their colours on a dark page, and so must their text.
DARK_WORDS, LIGHT_WORDS = "#010101", "#fefefe"
TILE_HEIGHT = 42.0
GAP = 2.0
ABOVE = TEXT_LEADING + 8  # the name of the vertical axis
BELOW = TEXT_LEADING + 18  # tick labels and the name of the horizontal axis
FOOT_GAP = 6.0
DASHES = (0, (3, 2))


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One cell of the map."""

    value: float | None
    """Sets the colour; None leaves the tile empty."""

    words: tuple[str, ...]
    """The value, then further text if there is room; or why the value is missing."""

    computed: bool = False
    """Drawn with a dashed outline: computed, not measured."""

    marked: bool = False
    """Drawn with a heavy outline: the tile that the title names."""


@dataclass(frozen=True, kw_only=True)
class TileMap:
    """Tiles by row and column. On a phone the longer axis goes down."""

    columns: tuple[str, ...]
    rows: tuple[str, ...]
    tiles: tuple[tuple[Tile, ...], ...]
    """One tuple of tiles per row."""

    x_label: str
    y_label: str
    shown: str
    """What the tiles hold, with its unit."""

    footnote: str
    tile_height: float = TILE_HEIGHT
    span: tuple[float, float] | None = None
    """Values of the lightest and the darkest tile; None for the lowest and highest value."""

    def compute_body_height(self, width: float) -> float:
        drawn = self._turn_for(width)
        foot = len(wrap_text(self.footnote, width - 2 * EDGE)) * TEXT_LEADING
        return ABOVE + len(drawn.rows) * self.tile_height + BELOW + FOOT_GAP + foot + EDGE

    def draw(self, sheet: Sheet, top: float) -> None:
        drawn = self._turn_for(sheet.width)
        sheet.draw_text(EDGE, top + TEXT_SIZE + 2, drawn.y_label, soft=True)
        sheet.draw_text(sheet.width - EDGE, top + TEXT_SIZE + 2, self.shown, align="right", soft=True)
        left = EDGE + max(measure_text_width(name) for name in drawn.rows) + 8
        width = (sheet.width - EDGE - left) / len(drawn.columns)
        y = top + ABOVE
        for name, tiles in zip(drawn.rows, drawn.tiles, strict=True):
            sheet.draw_text(left - 8, y + self.tile_height / 2 + 4, name, align="right")
            for number, tile in enumerate(tiles):
                drawn._draw_tile(sheet, left + number * width, y, width, tile)
            y += self.tile_height
        for number, name in enumerate(drawn.columns):
            words = shorten_text(name, width - GAP)
            sheet.draw_text(left + (number + 0.5) * width, y + TEXT_LEADING, words, align="center")
        y += TEXT_LEADING + 16
        sheet.draw_text((left + sheet.width - EDGE) / 2, y, drawn.x_label, align="center", soft=True)
        sheet.draw_paragraph(y + TEXT_LEADING + FOOT_GAP, self.footnote)

    def _turn_for(self, width: float) -> "TileMap":
        """Swap rows and columns of the map if the columns would be too narrow for their text."""
        widest = max(measure_text_width(tile.words[0]) for row in self.tiles for tile in row)
        names = max(measure_text_width(name) for name in self.rows)
        room = (width - 2 * EDGE - names - 8) / len(self.columns)
        if room >= widest + 2 * GAP + 6 or len(self.columns) <= len(self.rows):
            return self
        return replace(
            self,
            columns=self.rows,
            rows=self.columns,
            tiles=tuple(zip(*self.tiles, strict=True)),
            x_label=self.y_label,
            y_label=self.x_label,
        )

    def _draw_tile(self, sheet: Sheet, x: float, y: float, width: float, tile: Tile) -> None:
        left, right, high, low = x + GAP, x + width - GAP, y + GAP, y + self.tile_height - GAP
        corners = [(left, high), (right, high), (right, low), (left, low)]
        fitting = [line for line in tile.words if measure_text_width(line) <= right - left - 2]
        words = fitting or [*tile.words[:1]]
        if tile.value is not None and measure_text_width(words[0]) > width:
            words = []  # the colour still shows the value, and the table has the number
        if tile.value is None:
            sheet.draw_shape(corners, fc="none", ec=INK, alpha=0.5, lw=0.8, ls=DASHES)
            colour = INK
        else:
            fill = choose_shade(self._compute_share(tile.value))
            style = DASHES if tile.computed else "-"
            line_width = 2.4 if tile.marked else 1.0 if tile.computed else 0.0
            sheet.draw_shape(corners, fc=fill, ec=INK if line_width else "none", lw=line_width, ls=style)
            colour = choose_text_colour(fill)
        base = y + self.tile_height / 2 + 4 - (len(words) - 1) * TEXT_LEADING / 2
        for number, line in enumerate(words):
            sheet.draw_text(
                (left + right) / 2,
                base + number * TEXT_LEADING,
                line,
                align="center",
                bold=tile.marked and number == 0,
                colour=colour,
            )

    def _compute_share(self, value: float) -> float:
        """Return the value's position between the lowest (0) and the highest (1)."""
        values = [tile.value for row in self.tiles for tile in row if tile.value is not None]
        low, high = self.span or (min(values), max(values))
        return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.25


def choose_shade(share: float) -> str:
    """Return the colour of a value at this position between the lowest (0) and the highest (1)."""
    start, end, part = (LOW, MIDDLE, 2 * share) if share < 0.5 else (MIDDLE, HIGH, 2 * share - 1)
    mixed = (round(a + (b - a) * part) for a, b in zip(start, end, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def choose_text_colour(fill: str) -> str:
    """Return the text colour with the higher contrast on this fill; it is always 4.5 : 1 or more."""
    pair = (DARK_WORDS, LIGHT_WORDS)
    return max(pair, key=lambda ink: compute_contrast(ink, fill))


def compute_contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2)."""
    low, high = sorted((_compute_luminance(one), _compute_luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _compute_luminance(colour: str) -> float:
    channels: Sequence[float] = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
