"""Live classes: rooms, their activities and events, students, answers, and the teacher's keys."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables; a store from before has had no class."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "class_rooms",
        sa.Column("id", sa.String(length=32), primary_key=True),
        sa.Column("code", sa.String(length=6), nullable=False, unique=True),
        sa.Column("plan_id", sa.String(length=60), nullable=False),
        sa.Column("title", sa.String(length=120), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("opened_at", moment, nullable=False),
        sa.Column("names_until", moment, nullable=False),
    )
    op.create_table(
        "class_activities",
        sa.Column("room_id", sa.String(length=32), sa.ForeignKey("class_rooms.id"), primary_key=True),
        sa.Column("position", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("spec", sa.JSON(), nullable=False),
    )
    op.create_table(
        "class_events",
        sa.Column("room_id", sa.String(length=32), sa.ForeignKey("class_rooms.id"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("at", moment, nullable=False),
    )
    op.create_table(
        "class_students",
        sa.Column("id", sa.String(length=32), primary_key=True),
        sa.Column("room_id", sa.String(length=32), sa.ForeignKey("class_rooms.id"), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=True),
        sa.Column("joined_at", moment, nullable=False),
        sa.UniqueConstraint("room_id", "device", name="class_students_once"),
        sa.UniqueConstraint("room_id", "number", name="class_students_numbered"),
    )
    op.create_table(
        "class_answers",
        sa.Column("id", sa.String(length=64), primary_key=True),
        sa.Column("room_id", sa.String(length=32), sa.ForeignKey("class_rooms.id"), nullable=False),
        sa.Column("student_id", sa.String(length=32), sa.ForeignKey("class_students.id"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("confidence", sa.String(length=10), nullable=True),
        sa.Column("at", moment, nullable=False),
        sa.UniqueConstraint("student_id", "position", "round", name="class_answers_once"),
    )
    op.create_index("class_answers_by_room", "class_answers", ["room_id", "position", "round"])
    op.create_table(
        "class_keys",
        sa.Column("hash", sa.String(length=64), primary_key=True),
        sa.Column("room_id", sa.String(length=32), sa.ForeignKey("class_rooms.id"), nullable=False),
        sa.Column("made_at", moment, nullable=False),
        sa.Column("revoked_at", moment, nullable=True),
    )
    op.create_index("class_keys_by_room", "class_keys", ["room_id"])
