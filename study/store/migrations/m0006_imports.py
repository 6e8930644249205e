"""Step 6: what was imported, and what it takes to undo it."""

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
)

_METADATA = MetaData()


def upgrade(connection: Connection) -> None:
    """Create the two tables; `profiles` is there since step 1."""
    _METADATA.create_all(connection, tables=[IMPORTS, UNDOS])


Table("profiles", _METADATA, Column("id", String(32), primary_key=True))  # only named, for the foreign key

IMPORTS = Table(
    "imports",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("profile_id", ForeignKey("profiles.id"), nullable=False),
    Column("file_name", String(200), nullable=False),
    Column("counts", JSON, nullable=False),
    Column("changes", JSON, nullable=False),
    Column("imported_at", DateTime(timezone=True), nullable=False),
    Index("imports_by_profile", "profile_id", "imported_at"),
)

UNDOS = Table(
    "import_undos",
    _METADATA,
    Column("import_id", ForeignKey("imports.id"), primary_key=True),
    Column("undone_at", DateTime(timezone=True), nullable=False),
)
