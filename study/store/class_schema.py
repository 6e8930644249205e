"""The tables of live classes. They belong to no learner's profile, so a backup leaves them out."""

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint

from study.store.schema import UtcDateTime, metadata

class_rooms = Table(
    "class_rooms",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("code", String(6), nullable=False, unique=True),
    Column("plan_id", String(60), nullable=False),
    Column("title", String(120), nullable=False),
    Column("options", JSON, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("names_until", UtcDateTime, nullable=False),  # students' names are deleted after this moment
    # Counts the transactions that changed the class; each changed row has the count of its last one.
    Column("revision", Integer, nullable=False, server_default="0"),
)

class_activities = Table(  # as the class sees them: a later change of a question changes no past class
    "class_activities",
    metadata,
    Column("room_id", ForeignKey("class_rooms.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("spec", JSON, nullable=False),
)

class_events = Table(  # what the teacher did, append-only; the room's state is folded from it
    "class_events",
    metadata,
    Column("room_id", ForeignKey("class_rooms.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(20), nullable=False),
    Column("value", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

class_students = Table(
    "class_students",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("room_id", ForeignKey("class_rooms.id"), nullable=False),
    Column("device", String(64), nullable=False),  # a hash of the browser's id and the room; no address
    Column("number", Integer, nullable=False),
    Column("name", String(40)),  # null once names are deleted
    Column("joined_at", UtcDateTime, nullable=False),
    Column("revision", Integer, nullable=False, server_default="0"),
    UniqueConstraint("room_id", "device", name="class_students_once"),
    UniqueConstraint("room_id", "number", name="class_students_numbered"),
)

class_answers = Table(
    "class_answers",
    metadata,
    Column("id", String(64), primary_key=True),  # idempotency key of the browser: sent twice, stored once
    Column("room_id", ForeignKey("class_rooms.id"), nullable=False),
    Column("student_id", ForeignKey("class_students.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("value", JSON, nullable=False),
    Column("confidence", String(10)),  # null: not asked
    Column("at", UtcDateTime, nullable=False),
    Column("claim", String(20)),  # what only one student can have, such as a cell of a grid; null: nothing
    Column("graded", JSON(none_as_null=True)),  # by concept what the grader found; null: not graded
    Column("revision", Integer, nullable=False, server_default="0"),
    UniqueConstraint("student_id", "position", "round", name="class_answers_once"),
    Index("class_answers_by_room", "room_id", "position", "round"),
    Index("class_answers_by_revision", "room_id", "revision"),
    Index("class_answers_claims", "room_id", "position", "claim", unique=True),
)

class_progress = Table(  # how far the run or the grid of an activity is, for processes that don't train it
    "class_progress",
    metadata,
    Column("room_id", ForeignKey("class_rooms.id"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("value", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
)

class_keys = Table(  # hashes of the links that let a teacher's other devices in
    "class_keys",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("room_id", ForeignKey("class_rooms.id"), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Index("class_keys_by_room", "room_id"),
)

CLASS_TABLES = (
    class_rooms,
    class_activities,
    class_events,
    class_students,
    class_answers,
    class_progress,
    class_keys,
)
"""Parents first."""
