"""Step 3: what a learner does to cards, one row a verb, so that undo takes back the last of any kind."""

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
    insert,
    literal,
    select,
)

_METADATA = MetaData()


def upgrade(connection: Connection) -> None:
    """Create the two tables and fill them from the reviews; `profiles` and `card_reviews` are there."""
    _METADATA.create_all(connection, tables=[VERBS, UNDOS])
    for index in INDEXES:
        index.create(connection)
    # The ratings of before become verbs as well: what was rated a minute ago can still be undone.
    rated, undone = REVIEWS.c, REVIEW_UNDOS.c
    ratings = select(
        rated.profile_id,
        literal("rate"),
        rated.card_id,
        rated.id,
        literal(JSON.NULL, JSON()),
        rated.reviewed_at,
    ).order_by(rated.id)
    columns = ["profile_id", "verb", "subject", "review_id", "value", "at"]
    connection.execute(insert(VERBS).from_select(columns, ratings))
    undos = select(VERBS.c.id, undone.undone_at).join(VERBS, VERBS.c.review_id == undone.review_id)
    connection.execute(insert(UNDOS).from_select(["verb_id", "undone_at"], undos.order_by(undone.id)))


# Of these only what is read here, or named by a foreign key.
Table("profiles", _METADATA, Column("id", String(32), primary_key=True))
REVIEWS = Table(
    "card_reviews",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("profile_id", String(32)),
    Column("card_id", String(120)),
    Column("rating", Integer),
    Column("reviewed_at", DateTime(timezone=True)),
)
INDEXES = (
    Index("card_reviews_by_time", REVIEWS.c.profile_id, REVIEWS.c.reviewed_at),
    Index("card_reviews_by_rating", REVIEWS.c.profile_id, REVIEWS.c.rating),
)
REVIEW_UNDOS = Table(
    "review_undos",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("review_id", Integer),
    Column("undone_at", DateTime(timezone=True)),
)

VERBS = Table(
    "card_verbs",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("profile_id", ForeignKey("profiles.id"), nullable=False),
    Column("verb", String(20), nullable=False),
    Column("subject", String(120), nullable=False),
    Column("review_id", ForeignKey("card_reviews.id")),
    Column("value", JSON, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("card_verbs_by_profile", "profile_id", "verb", "id"),
    Index("card_verbs_by_review", "review_id"),
)

UNDOS = Table(
    "verb_undos",
    _METADATA,
    Column("id", Integer, primary_key=True),
    Column("verb_id", ForeignKey("card_verbs.id"), nullable=False, unique=True),
    Column("undone_at", DateTime(timezone=True), nullable=False),
)
