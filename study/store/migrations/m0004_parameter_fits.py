"""Step 4: the parameters of the card scheduler that were fitted to a learner's own reviews."""

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
)

_METADATA = MetaData()


def upgrade(connection: Connection) -> None:
    """Create the table; `profiles` is there since step 1."""
    _METADATA.create_all(connection, tables=[FITS])


Table("profiles", _METADATA, Column("id", String(32), primary_key=True))  # only named, for the foreign key

FITS = Table(
    "parameter_fits",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("profile_id", ForeignKey("profiles.id"), nullable=False),
    Column("fitted_at", DateTime(timezone=True), nullable=False),
    Column("reviews", Integer, nullable=False),
    Column("held_out", Integer, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("before", JSON, nullable=False),
    Column("after", JSON, nullable=False),
    Column("kept", Boolean, nullable=False),
    Index("parameter_fits_by_profile", "profile_id", "id"),
)
