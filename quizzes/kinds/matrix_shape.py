"""A matrix with its adapter, drawn to scale: W frozen, A wide and flat, B tall and thin."""

from dataclasses import dataclass

from study.content.yaml_reader import Fields

LONGEST = 130.0  # of the longest drawn side; the other sides are in proportion
THINNEST = 5.0  # a rank of 2 next to a width of 4,096 would be invisible


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sides of the matrices of a question: W is d_out x d_in, A is rank x d_in, B is d_out x rank."""

    d_in: int
    d_out: int
    rank: int

    @property
    def width(self) -> float:
        """The drawn width of W and A."""
        return self._scale_side(self.d_in)

    @property
    def height(self) -> float:
        """The drawn height of W and B."""
        return self._scale_side(self.d_out)

    @property
    def thickness(self) -> float:
        """The drawn thickness of A and B: the rank, or the least that can be seen."""
        return self._scale_side(self.rank)

    @property
    def alt(self) -> str:
        return (
            f"W has {self.d_out:,} rows and {self.d_in:,} columns and is frozen. A is wide and flat with "
            f"{self.rank} rows, B is tall and thin with {self.rank} columns."
        )

    def _scale_side(self, side: int) -> float:
        return round(max(THINNEST, LONGEST * side / max(self.d_in, self.d_out)), 1)


def read_shape(fields: Fields) -> Shape | None:
    """Read a question's `shape: {d_in: 768, d_out: 768, rank: 8}`, if it has one."""
    if not fields.has("shape"):
        return None
    entry = fields.read_child("shape", kind="shape")
    sides = {name: entry.raw(name) for name in ("d_in", "d_out", "rank")}
    entry.close()
    if not all(isinstance(side, int) and side >= 1 for side in sides.values()):
        entry.note(f"needs whole numbers d_in, d_out and rank, got {sides!r}")
        return None
    return Shape(**sides)
