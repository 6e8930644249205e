"""Step 8: how far each study mode of a concept was taken, where reading stopped, and what projects hold."""

from sqlalchemy import Column, Connection, DateTime, ForeignKey, Index, Integer, MetaData, String, Table, Text

_METADATA = MetaData()


def upgrade(connection: Connection) -> None:
    """Create the three tables; `profiles` is there since step 1."""
    _METADATA.create_all(connection, tables=[MARKS, PLACES, ENTRIES])


Table("profiles", _METADATA, Column("id", String(32), primary_key=True))  # only named, for the foreign key

MARKS = Table(
    "mode_marks",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("profile_id", ForeignKey("profiles.id"), nullable=False),
    Column("concept_id", String(120), nullable=False),
    Column("mode", String(20), nullable=False),
    Column("mark", String(20), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("mode_marks_by_profile", "profile_id", "concept_id", "id"),
)

PLACES = Table(
    "reading_places",
    _METADATA,
    Column("profile_id", ForeignKey("profiles.id"), primary_key=True),
    Column("concept_id", String(120), primary_key=True),
    Column("mode", String(20), primary_key=True),
    Column("place", Integer, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)

ENTRIES = Table(
    "project_entries",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("profile_id", ForeignKey("profiles.id"), nullable=False),
    Column("project_id", String(120), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("text", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("project_entries_by_profile", "profile_id", "project_id", "id"),
)
