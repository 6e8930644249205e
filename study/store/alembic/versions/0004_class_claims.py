"""What only one student of a class can have, and what the grader found in an explanation."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add two columns; answers from before claim nothing and were not graded."""
    op.add_column("class_answers", sa.Column("claim", sa.String(length=20), nullable=True))
    op.add_column("class_answers", sa.Column("graded", sa.JSON(), nullable=True))
    op.create_index("class_answers_claims", "class_answers", ["room_id", "position", "claim"], unique=True)
