"""What changed in a class since another process looked, and how far its training is."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Classes from before have not changed yet."""
    for table in ("class_rooms", "class_students", "class_answers"):
        op.add_column(table, sa.Column("revision", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("class_answers_by_revision", "class_answers", ["room_id", "revision"])
    op.create_table(
        "class_progress",
        sa.Column("room_id", sa.String(length=32), sa.ForeignKey("class_rooms.id"), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
    )
