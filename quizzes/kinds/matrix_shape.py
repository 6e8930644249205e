"""A matrix with its adapter, drawn from its numbers: W frozen, A wide and flat, B tall and thin."""

from dataclasses import dataclass

from study.content.yaml_reader import Fields

LONGEST = 130.0  # of a drawn side; the other sides follow in proportion
THINNEST = 5.0  # a rank of 2 beside a width of 4,096 would not be seen


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a question about a shape is about."""

    d_in: int
    d_out: int
    rank: int

    @property
    def width(self) -> float:
        """Of W and A, as drawn."""
        return self._drawn(self.d_in)

    @property
    def height(self) -> float:
        """Of W and B, as drawn."""
        return self._drawn(self.d_out)

    @property
    def thickness(self) -> float:
        """Of A and B, as drawn: the rank, or as little as can be seen."""
        return self._drawn(self.rank)

    @property
    def alt(self) -> str:
        """What is drawn, in words."""
        return (
            f"W has {self.d_out:,} rows and {self.d_in:,} columns and is frozen. A is wide and flat with "
            f"{self.rank} rows, B is tall and thin with {self.rank} columns."
        )

    def _drawn(self, side: int) -> float:
        return round(max(THINNEST, LONGEST * side / max(self.d_in, self.d_out)), 1)


def read_shape(fields: Fields) -> Shape | None:
    """A question's `shape: {d_in: 768, d_out: 768, rank: 8}`, if it has one."""
    if not fields.has("shape"):
        return None
    entry = fields.needed_child("shape", kind="shape")
    sides = {name: entry.raw(name) for name in ("d_in", "d_out", "rank")}
    entry.close()
    if not all(isinstance(side, int) and side >= 1 for side in sides.values()):
        entry.note(f"needs whole numbers d_in, d_out and rank, got {sides!r}")
        return None
    return Shape(**sides)
