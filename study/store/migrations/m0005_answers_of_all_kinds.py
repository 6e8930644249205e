"""Step 5: answers of all kinds with their points and confidence, second attempts, and hints shown."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    DateTime,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

_METADATA = MetaData()


def upgrade(connection: Connection) -> None:
    """Add what an answer may say besides its option; what was answered before stays as it is."""
    for column in ("response JSON", "points FLOAT", "confidence VARCHAR(10)", "hints INTEGER"):
        connection.execute(text(f"ALTER TABLE answers ADD COLUMN {column}"))
    _METADATA.create_all(connection, tables=[RETRIES, HINTS])


Table(
    "quiz_sessions", _METADATA, Column("id", String(32), primary_key=True)
)  # only named, for the foreign key

RETRIES = Table(
    "answer_retries",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("session_id", ForeignKey("quiz_sessions.id"), nullable=False),
    Column("question_id", String(120), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("option", String(120), nullable=False),
    Column("correct", Boolean, nullable=False),
    Column("answered_at", DateTime(timezone=True), nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("response", JSON),
    Column("points", Float),
    Column("confidence", String(10)),
    Column("hints", Integer),
    UniqueConstraint("session_id", "question_id", "attempt", name="answer_retries_once"),
)

HINTS = Table(
    "hints_shown",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("session_id", ForeignKey("quiz_sessions.id"), nullable=False),
    Column("question_id", String(120), nullable=False),
    Column("shown_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("session_id", "question_id", name="hints_shown_once"),
)
