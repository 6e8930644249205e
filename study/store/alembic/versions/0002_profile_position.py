"""How often a profile's logs were written to: what was read at the same position is still true."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; every profile starts at 0."""
    op.add_column("profiles", sa.Column("position", sa.Integer(), nullable=False, server_default="0"))
