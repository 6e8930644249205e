"""Attempts at tasks that the lab judges."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table; a store from before has no attempts."""
    op.create_table(
        "task_attempts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("task_id", sa.String(length=120), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("response", sa.JSON(), nullable=False),
        sa.Column("correct", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("task_attempts_by_profile", "task_attempts", ["profile_id", "task_id", "id"])
