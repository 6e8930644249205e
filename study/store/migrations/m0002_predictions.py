"""Step 2: predictions about runs of the lab, and how they turned out."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

_METADATA = MetaData()


def upgrade(connection: Connection) -> None:
    """Create the three tables; `profiles` is there since step 1."""
    _METADATA.create_all(connection, tables=[PREDICTIONS, RUNS, VERDICTS])


Table("profiles", _METADATA, Column("id", String(32), primary_key=True))  # only named, for the foreign key

PREDICTIONS = Table(
    "predictions",
    _METADATA,
    Column("id", String(32), primary_key=True),
    Column("profile_id", ForeignKey("profiles.id"), nullable=False),
    Column("setting", JSON, nullable=False),
    Column("guess", JSON, nullable=False),
    Column("made_at", DateTime(timezone=True), nullable=False),
    Index("predictions_by_profile", "profile_id", "made_at"),
)

RUNS = Table(
    "prediction_runs",
    _METADATA,
    Column("prediction_id", ForeignKey("predictions.id"), primary_key=True),
    Column("run_id", String(120), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Index("prediction_runs_by_run", "run_id"),
)

VERDICTS = Table(
    "prediction_verdicts",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("prediction_id", ForeignKey("predictions.id"), nullable=False),
    Column("quantity", String(20), nullable=False),
    Column("correct", Boolean, nullable=False),
    Column("judged_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("prediction_id", "quantity", name="prediction_verdicts_once"),
)
