"""The browsers of a profile are found without reading all of them."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Removing a profile asks for its browsers, and so does the foreign key."""
    op.create_index("browsers_by_profile", "browsers", ["profile_id"])
