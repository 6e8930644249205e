"""Step 1: the first tables. A frozen copy of what `schema.py` said then; later changes are later steps."""

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
    Text,
    UniqueConstraint,
)

_METADATA = MetaData()


def upgrade(connection: Connection) -> None:
    """Create every table of version 1."""
    _METADATA.create_all(connection)


Table(
    "profiles",
    _METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", String(60), nullable=False),
    Column("named", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

Table(
    "browsers",
    _METADATA,
    Column("id", String(64), primary_key=True),
    Column("profile_id", ForeignKey("profiles.id"), nullable=False),
    Column("chosen_at", DateTime(timezone=True), nullable=False),
)

Table(
    "preferences",
    _METADATA,
    Column("profile_id", ForeignKey("profiles.id"), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("value", JSON, nullable=False),
)

Table(
    "card_reviews",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("profile_id", ForeignKey("profiles.id"), nullable=False),
    Column("card_id", String(120), nullable=False),
    Column("rating", Integer, nullable=False),
    Column("reviewed_at", DateTime(timezone=True), nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON, nullable=False),
    Index("card_reviews_by_card", "profile_id", "card_id", "id"),
)

Table(
    "review_undos",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("review_id", ForeignKey("card_reviews.id"), nullable=False, unique=True),
    Column("undone_at", DateTime(timezone=True), nullable=False),
)

Table(
    "card_requests",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("profile_id", ForeignKey("profiles.id"), nullable=False),
    Column("card_id", String(120), nullable=False),
    Column("because", String(120), nullable=False),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    Index("card_requests_by_profile", "profile_id", "card_id"),
)

Table(
    "quiz_sessions",
    _METADATA,
    Column("id", String(32), primary_key=True),
    Column("profile_id", ForeignKey("profiles.id"), nullable=False),
    Column("seed", Integer, nullable=False),
    Column("question_ids", JSON, nullable=False),
    Column("choice", JSON, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Index("quiz_sessions_by_profile", "profile_id", "started_at"),
)

Table(
    "answers",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("session_id", ForeignKey("quiz_sessions.id"), nullable=False),
    Column("question_id", String(120), nullable=False),
    Column("option", String(120), nullable=False),
    Column("correct", Boolean, nullable=False),
    Column("answered_at", DateTime(timezone=True), nullable=False),
    Column("duration_ms", Integer, nullable=False),
    UniqueConstraint("session_id", "question_id", name="answers_once"),
)

Table(
    "explain_attempts",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("profile_id", ForeignKey("profiles.id"), nullable=False),
    Column("prompt_id", String(120), nullable=False),
    Column("text", Text, nullable=False),
    Column("submitted_at", DateTime(timezone=True), nullable=False),
    Index("explain_attempts_by_profile", "profile_id", "prompt_id"),
)

Table(
    "explain_verdicts",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("attempt_id", ForeignKey("explain_attempts.id"), nullable=False),
    Column("concept_id", String(120), nullable=False),
    Column("verdict", String(20), nullable=False),
    Column("by", String(20), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("explain_verdicts_by_attempt", "attempt_id"),
)

Table(
    "drafts",
    _METADATA,
    Column("profile_id", ForeignKey("profiles.id"), primary_key=True),
    Column("key", String(160), primary_key=True),
    Column("text", Text, nullable=False),
    Column("saved_at", DateTime(timezone=True), nullable=False),
)

Table(
    "review_runs",
    _METADATA,
    Column("id", String(32), primary_key=True),
    Column("profile_id", ForeignKey("profiles.id"), nullable=False),
    Column("cards", Integer, nullable=False),
    Column("quiz_session_id", ForeignKey("quiz_sessions.id"), nullable=False),
    Column("prompt_id", String(120), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Index("review_runs_by_profile", "profile_id", "started_at"),
)
