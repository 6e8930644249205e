"""Moving what can't be read out of the way, without deleting anything."""

import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain, count
from pathlib import Path


def set_aside(damaged: Iterable[Path], home: Path) -> None:
    """Move entries of a folder `runs` to `set-aside/runs` in the data folder; none is overwritten."""
    for path in damaged:
        aside = home / "set-aside" / path.parent.name
        aside.mkdir(parents=True, exist_ok=True)
        names = chain([path.name], (f"{path.name}-{number}" for number in count(2)))
        with suppress(FileNotFoundError):  # pressed twice, or deleted meanwhile
            path.rename(next(aside / name for name in names if not os.path.lexists(aside / name)))
