"""The log of fits: card-scheduler parameters tried on a learner's own reviews, and whether they were kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from study.store import schema as t
from study.store.database import StoreLog, cache_reads, read_row


@dataclass(frozen=True, kw_only=True)
class ParameterFit:
    """One fit, with how well parameters predicted the held-out reviews before and after it.

    `before` and `after` map the name of a measure to its value; a measure that can't be computed is None.
    """

    fitted_at: datetime
    reviews: int
    """Reviews that the scheduler can learn from, when the fit was made."""

    held_out: int
    """The last of them, which were only predicted."""

    parameters: tuple[float, ...]
    before: Mapping[str, float | None]
    after: Mapping[str, float | None]
    kept: bool


class FitLog(StoreLog):
    """Fits, appended, never changed; the newest one that was kept schedules the cards."""

    def append(self, profile_id: str, fit: ParameterFit) -> None:
        self._append(t.parameter_fits, profile_id=profile_id, **vars(fit))

    def newest(
        self, profile_id: str, *, kept: bool = False, until: datetime | None = None
    ) -> ParameterFit | None:
        """The last fit, or the last one that was kept; `until` leaves out what came later."""
        found = self._read_all(profile_id)
        return next(
            (fit for fit in found if (fit.kept or not kept) and (until is None or fit.fitted_at <= until)),
            None,
        )

    @cache_reads
    def _read_all(self, profile_id: str) -> list[ParameterFit]:
        """Read every fit, newest first."""
        columns = t.parameter_fits.c
        newest_first = (columns.fitted_at.desc(), columns.id.desc())
        wanted = select(t.parameter_fits).where(columns.profile_id == profile_id).order_by(*newest_first)
        rows = self._read_rows(wanted)
        return [read_row(ParameterFit, row, parameters=tuple(row.parameters)) for row in rows]
