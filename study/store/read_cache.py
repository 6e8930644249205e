"""What was read of a learner's logs, kept until that learner's logs change.

Every write for a profile adds one to its `position` (a column of `profiles`), in any process. A request reads
the position together with the profile; what was read before at the same position is still true, and reading
it again costs no SQL. A write of this process keeps what it did not touch, and may say how it changes the
rest.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, tuple[Any, ...]]
"""Name of the reading method, and its arguments besides the profile."""

Amend = Callable[[tuple[Any, ...], Any], Any]
"""Gets the arguments and the value that was read; returns the value after the write."""

ROWS_AT_MOST = 400_000
"""Of all profiles together; a review needs some 300 bytes."""

MISSING = object()


@dataclass
class _Known:
    position: int
    values: dict[Key, tuple[frozenset[str], Any]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(_measure_size(value) for _, value in self.values.values())


class ReadCache:
    """Values by profile, the least recently used profile leaves first. Safe to use from several threads."""

    def __init__(self, *, rows_at_most: int = ROWS_AT_MOST) -> None:
        self._rows_at_most = rows_at_most
        self._rows = 0
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def clear(self) -> None:
        with self._lock:
            self._known.clear()
            self._rows = 0

    def find(self, profile_id: str, position: int, key: Key) -> Any:
        """The value that was read at this position, or MISSING."""
        with self._lock:
            known = self._known.get(profile_id)
            if known is None or known.position != position:
                return MISSING
            self._known.move_to_end(profile_id)
            return known.values.get(key, (None, MISSING))[1]

    def keep(self, profile_id: str, position: int, key: Key, tables: Iterable[str], value: Any) -> None:
        """Remember a value and the tables it was read from."""
        with self._lock:
            known = self._known.get(profile_id)
            if known is None or known.position < position:
                self._drop(profile_id)
                known = self._known[profile_id] = _Known(position)
            if known.position == position:
                former = known.values.get(key)  # another window may have read the same
                self._rows += _measure_size(value) - (_measure_size(former[1]) if former else 0)
                known.values[key] = (frozenset(tables), value)
            self._known.move_to_end(profile_id)
            while self._rows > self._rows_at_most and len(self._known) > 1:
                self._drop(next(iter(self._known)))

    def advance(
        self, profile_id: str, position: int, touched: Iterable[str], amend: Mapping[str, Amend]
    ) -> None:
        """Go on to the position after a write: drop what it touched, but for what `amend` can bring along.

        When another process wrote in between, everything is dropped.
        """
        tables = set(touched)
        with self._lock:
            known = self._known.get(profile_id)
            if known is None or known.position != position - 1:
                self._drop(profile_id)
                return
            kept = _Known(position)
            for key, (read_from, value) in known.values.items():
                if not tables & read_from:
                    kept.values[key] = (read_from, value)
                elif key[0] in amend:
                    kept.values[key] = (read_from, amend[key[0]](key[1], value))
            self._rows += kept.rows - known.rows
            self._known[profile_id] = kept

    def _drop(self, profile_id: str) -> None:
        known = self._known.pop(profile_id, None)
        if known is not None:
            self._rows -= known.rows


def _measure_size(value: Any) -> int:
    return len(value) + 1 if isinstance(value, list | dict | set | tuple) else 1
