"""The log of predictions: what was guessed about a run, which run it was, and how each guess turned out."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Table, exists, insert, select
from sqlalchemy.exc import IntegrityError

from study.store import schema as t
from study.store.database import StoreLog, read_row, select_owner


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A guess about one setting; `run_id` is empty until a run with that setting was started."""

    id: str
    setting: Mapping[str, Any]
    guess: Mapping[str, Any]
    made_at: datetime
    run_id: str


@dataclass(frozen=True, kw_only=True)
class JudgedQuantity:
    """One quantity that was guessed, and whether the guess was right."""

    quantity: str
    correct: bool
    at: datetime


class PredictionLog(StoreLog):
    """Guesses, the runs they are about, and verdicts: appended, never changed."""

    def make(
        self, profile_id: str, *, setting: Mapping[str, Any], guess: Mapping[str, Any], at: datetime
    ) -> str:
        """Append a guess and return its id."""
        made, values = uuid.uuid4().hex, {"setting": dict(setting), "guess": dict(guess), "made_at": at}
        self._append(t.predictions, profile_id=profile_id, id=made, **values)
        return made

    def start(self, prediction_id: str, run_id: str, *, at: datetime) -> bool:
        """Say which run a guess is about; False when that was said before, which stands."""
        row = {"prediction_id": prediction_id, "run_id": run_id, "started_at": at}
        return self._append_once(t.prediction_runs, prediction_id, [row])

    def judge(self, prediction_id: str, verdicts: Mapping[str, bool], *, at: datetime) -> bool:
        """Append whether each guessed quantity was right; False when that was judged before, which stands."""
        rows = [
            {"prediction_id": prediction_id, "quantity": quantity, "correct": correct, "judged_at": at}
            for quantity, correct in verdicts.items()
        ]
        return self._append_once(t.prediction_verdicts, prediction_id, rows)

    def _append_once(self, table: Table, prediction_id: str, rows: Sequence[Mapping[str, Any]]) -> bool:
        try:
            with self._database.write(select_owner(t.predictions, prediction_id)) as connection:
                connection.execute(insert(table), rows)
        except IntegrityError:
            return False
        return True

    def find(self, profile_id: str, prediction_id: str) -> Prediction | None:
        return next(iter(self._read_where(profile_id, t.predictions.c.id == prediction_id)), None)

    def find_by_run(self, profile_id: str, run_id: str) -> Prediction | None:
        return next(iter(self._read_where(profile_id, t.prediction_runs.c.run_id == run_id)), None)

    def run_ids(self, profile_id: str) -> set[str]:
        """The ids of all runs that this profile has guessed about."""
        return {each.run_id for each in self._read_where(profile_id, t.prediction_runs.c.run_id.is_not(None))}

    def unjudged(self, profile_id: str) -> list[Prediction]:
        """Guesses about runs that were started, without a verdict yet, oldest first."""
        judged = exists().where(t.prediction_verdicts.c.prediction_id == t.predictions.c.id)
        return self._read_where(profile_id, t.prediction_runs.c.run_id.is_not(None), ~judged)

    def judged(self, profile_id: str) -> list[JudgedQuantity]:
        """Every judged quantity of a profile, oldest first."""
        verdicts = t.prediction_verdicts.c
        wanted = (
            select(verdicts.quantity, verdicts.correct, verdicts.judged_at)
            .join(t.predictions, t.predictions.c.id == verdicts.prediction_id)
            .where(t.predictions.c.profile_id == profile_id)
            .order_by(verdicts.id)
        )
        return [read_row(JudgedQuantity, row, at=row.judged_at) for row in self._read_rows(wanted)]

    def _read_where(self, profile_id: str, *conditions: Any) -> list[Prediction]:
        wanted = (
            select(t.predictions, t.prediction_runs.c.run_id)
            .outerjoin(t.prediction_runs, t.prediction_runs.c.prediction_id == t.predictions.c.id)
            .where(t.predictions.c.profile_id == profile_id, *conditions)
            .order_by(t.predictions.c.made_at)
        )
        return [read_row(Prediction, row, run_id=row.run_id or "") for row in self._read_rows(wanted)]
