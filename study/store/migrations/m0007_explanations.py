"""Step 7: what a verdict on an explanation rests on, marks taken back, replies to questions, own prompts."""

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
    text,
)

_METADATA = MetaData()


def upgrade(connection: Connection) -> None:
    """Add what a verdict may say besides itself; what was judged before stays as it is."""
    added = ("rubric VARCHAR(16)", "confidence FLOAT", "evidence JSON", "reason TEXT", "replies INTEGER")
    for column in added:
        connection.execute(text(f"ALTER TABLE explain_verdicts ADD COLUMN {column}"))
    _METADATA.create_all(connection, tables=[UNDOS, REPLIES, OWN_PROMPTS])


# Only named, for the foreign keys.
for name, kind in (
    ("profiles", String(32)),
    ("explain_attempts", Integer()),
    ("explain_verdicts", Integer()),
):
    Table(name, _METADATA, Column("id", kind, primary_key=True))

UNDOS = Table(
    "explain_verdict_undos",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("verdict_id", ForeignKey("explain_verdicts.id"), nullable=False, unique=True),
    Column("undone_at", DateTime(timezone=True), nullable=False),
)

REPLIES = Table(
    "explain_replies",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("attempt_id", ForeignKey("explain_attempts.id"), nullable=False),
    Column("concept_id", String(120), nullable=False),
    Column("text", Text, nullable=False),
    Column("replied_at", DateTime(timezone=True), nullable=False),
    Index("explain_replies_by_attempt", "attempt_id"),
)

OWN_PROMPTS = Table(
    "own_prompts",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("profile_id", ForeignKey("profiles.id"), nullable=False),
    Column("prompt_id", String(40), nullable=False),
    Column("text", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("concepts", JSON, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
    Column("saved_at", DateTime(timezone=True), nullable=False),
    Index("own_prompts_by_profile", "profile_id", "prompt_id"),
)
