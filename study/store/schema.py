"""The tables: learners, and append-only logs of what they did; all else is derived from the logs."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.schema import SchemaItem

from study.store.json_columns import OBJECT, SPANS, TEXTS, QuizChoiceJson, ResponseJson, holds

metadata = MetaData()


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, in UTC and aware of it on both sides; SQLite itself keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment without a time zone cannot be stored: {value!r}")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _log(name: str, *items: SchemaItem) -> Table:
    """A table whose rows are numbered as they are appended."""
    return Table(name, metadata, Column("id", Integer, primary_key=True), *items)


def _profile_log(name: str, *items: SchemaItem) -> Table:
    """A log with the profile that each row belongs to."""
    return _log(name, Column("profile_id", ForeignKey("profiles.id"), nullable=False), *items)


def _profile_table(name: str, *items: SchemaItem) -> Table:
    """The same with ids that the app gives out."""
    of: Column[Any] = Column("profile_id", ForeignKey("profiles.id"), nullable=False)
    return Table(name, metadata, Column("id", String(32), primary_key=True), of, *items)


def _undo_log(name: str, column: str, undone: str) -> Table:
    """A table of what was taken back; `undone` is the id that its `column` points to."""
    of: Column[Any] = Column(column, ForeignKey(undone), nullable=False, unique=True)
    return _log(name, of, Column("undone_at", UtcDateTime, nullable=False))


def _answer_columns() -> list[Column[Any]]:
    """What first and second attempts at a question have in common."""
    return [
        Column("option", String(120), nullable=False),
        Column("correct", Boolean, nullable=False),
        Column("answered_at", UtcDateTime, nullable=False),
        Column("duration_ms", Integer, nullable=False),
        # Null in answers from before step 5, which are options.
        Column("response", JSON(none_as_null=True), info=holds(ResponseJson)),
        Column("points", Float),
        Column("confidence", String(10)),  # null: not said
        Column("hints", Integer),
    ]


profiles = Table(
    "profiles",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(60), nullable=False),
    Column("named", Boolean, nullable=False),  # false while it is the silently made guest
    Column("created_at", UtcDateTime, nullable=False),
    Column("position", Integer, nullable=False, server_default="0"),  # counts the writes into its logs
)

browsers = Table(
    "browsers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("profile_id", ForeignKey("profiles.id"), nullable=False),
    Column("chosen_at", UtcDateTime, nullable=False),
    Index("browsers_by_profile", "profile_id"),
)

preferences = Table(
    "preferences",
    metadata,
    Column("profile_id", ForeignKey("profiles.id"), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("value", JSON, nullable=False),
)

card_reviews = _profile_log(
    "card_reviews",
    Column("card_id", String(120), nullable=False),
    Column("rating", Integer, nullable=False),
    Column("reviewed_at", UtcDateTime, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("before", JSON(none_as_null=True)),  # null: the card was new
    Column("after", JSON, nullable=False),
    Index("card_reviews_by_card", "profile_id", "card_id", "id"),
    Index("card_reviews_by_time", "profile_id", "reviewed_at"),  # what was done today
    Index("card_reviews_by_rating", "profile_id", "rating"),  # what was forgotten
)

review_undos = _undo_log("review_undos", "review_id", "card_reviews.id")

card_requests = _profile_log(
    "card_requests",
    Column("card_id", String(120), nullable=False),
    Column("because", String(120), nullable=False),  # a question id, or `prediction-peak`
    Column("requested_at", UtcDateTime, nullable=False),
    Index("card_requests_by_profile", "profile_id", "card_id"),
)

card_verbs = _profile_log(
    "card_verbs",
    Column("verb", String(20), nullable=False),
    Column("subject", String(120), nullable=False),  # a card; for an edit its note; nothing for a spread
    Column("review_id", ForeignKey("card_reviews.id")),  # of a rating
    Column("value", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("card_verbs_by_profile", "profile_id", "verb", "id"),
    Index("card_verbs_by_review", "review_id"),
)

verb_undos = _undo_log("verb_undos", "verb_id", "card_verbs.id")

quiz_sessions = _profile_table(
    "quiz_sessions",
    Column("seed", Integer, nullable=False),
    Column("question_ids", JSON, nullable=False, info=holds(TEXTS)),
    # Empty in a five-minute review.
    Column("choice", JSON, nullable=False, info=holds(QuizChoiceJson)),
    Column("started_at", UtcDateTime, nullable=False),
    Index("quiz_sessions_by_profile", "profile_id", "started_at"),
)

answers = _log(
    "answers",
    Column("session_id", ForeignKey("quiz_sessions.id"), nullable=False),
    Column("question_id", String(120), nullable=False),
    *_answer_columns(),
    UniqueConstraint("session_id", "question_id", name="answers_once"),
)

answer_retries = _log(  # second attempts; `answers` holds the first ones
    "answer_retries",
    Column("session_id", ForeignKey("quiz_sessions.id"), nullable=False),
    Column("question_id", String(120), nullable=False),
    Column("attempt", Integer, nullable=False),
    *_answer_columns(),
    UniqueConstraint("session_id", "question_id", "attempt", name="answer_retries_once"),
)

hints_shown = _log(
    "hints_shown",
    Column("session_id", ForeignKey("quiz_sessions.id"), nullable=False),
    Column("question_id", String(120), nullable=False),
    Column("shown_at", UtcDateTime, nullable=False),
    UniqueConstraint("session_id", "question_id", name="hints_shown_once"),
)

explain_attempts = _profile_log(
    "explain_attempts",
    Column("prompt_id", String(120), nullable=False),
    Column("text", Text, nullable=False),
    Column("submitted_at", UtcDateTime, nullable=False),
    Index("explain_attempts_by_profile", "profile_id", "prompt_id"),
)

explain_verdicts = _log(
    "explain_verdicts",
    Column("attempt_id", ForeignKey("explain_attempts.id"), nullable=False),
    Column("concept_id", String(120), nullable=False),
    Column("verdict", String(20), nullable=False),
    Column("by", String(20), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("rubric", String(16)),  # fingerprint of the concept's wording; null before step 7
    Column("confidence", Float),  # of the grader
    Column("evidence", JSON(none_as_null=True), info=holds(SPANS)),  # [start, end] in what was said
    Column("reason", Text),  # of a teacher
    Column("replies", Integer),  # that the grader read with the text
    Index("explain_verdicts_by_attempt", "attempt_id"),
)

explain_verdict_undos = _undo_log("explain_verdict_undos", "verdict_id", "explain_verdicts.id")

explain_replies = _log(  # to the grader's questions, read together with the text
    "explain_replies",
    Column("attempt_id", ForeignKey("explain_attempts.id"), nullable=False),
    Column("concept_id", String(120), nullable=False),
    Column("text", Text, nullable=False),
    Column("replied_at", UtcDateTime, nullable=False),
    Index("explain_replies_by_attempt", "attempt_id"),
)

own_prompts = _profile_log(  # one row per version
    "own_prompts",
    Column("prompt_id", String(40), nullable=False),
    Column("text", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("concepts", JSON, nullable=False, info=holds(TEXTS)),
    Column("withdrawn", Boolean, nullable=False),
    Column("saved_at", UtcDateTime, nullable=False),
    Index("own_prompts_by_profile", "profile_id", "prompt_id"),
)

drafts = Table(
    "drafts",
    metadata,
    Column("profile_id", ForeignKey("profiles.id"), primary_key=True),
    Column("key", String(160), primary_key=True),
    Column("text", Text, nullable=False),
    Column("saved_at", UtcDateTime, nullable=False),
)

review_runs = _profile_table(
    "review_runs",
    Column("cards", Integer, nullable=False),  # how many ratings the run was planned to hold
    Column("quiz_session_id", ForeignKey("quiz_sessions.id"), nullable=False),
    Column("prompt_id", String(120), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Index("review_runs_by_profile", "profile_id", "started_at"),
)

predictions = _profile_table(
    "predictions",
    Column("setting", JSON, nullable=False, info=holds(OBJECT)),  # of the lab's run, as its spec is written
    Column("guess", JSON, nullable=False, info=holds(OBJECT)),
    Column("made_at", UtcDateTime, nullable=False),
    Index("predictions_by_profile", "profile_id", "made_at"),
)

parameter_fits = _profile_log(
    "parameter_fits",
    Column("fitted_at", UtcDateTime, nullable=False),
    Column("reviews", Integer, nullable=False),  # that the scheduler can learn from
    Column("held_out", Integer, nullable=False),  # the last of them, predicted only
    Column("parameters", JSON, nullable=False),
    Column("before", JSON, nullable=False),  # measures on the held-out reviews
    Column("after", JSON, nullable=False),
    Column("kept", Boolean, nullable=False),
    Index("parameter_fits_by_profile", "profile_id", "id"),
)

prediction_runs = Table(
    "prediction_runs",
    metadata,
    Column("prediction_id", ForeignKey("predictions.id"), primary_key=True),
    Column("run_id", String(120), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Index("prediction_runs_by_run", "run_id"),
)

prediction_verdicts = _log(
    "prediction_verdicts",
    Column("prediction_id", ForeignKey("predictions.id"), nullable=False),
    Column("quantity", String(20), nullable=False),
    Column("correct", Boolean, nullable=False),
    Column("judged_at", UtcDateTime, nullable=False),
    UniqueConstraint("prediction_id", "quantity", name="prediction_verdicts_once"),
)

imports = _profile_log(
    "imports",
    Column("file_name", String(200), nullable=False),
    Column("counts", JSON, nullable=False),
    Column("changes", JSON, nullable=False),  # what undo takes away and puts back
    Column("imported_at", UtcDateTime, nullable=False),
    Index("imports_by_profile", "profile_id", "imported_at"),
)

import_undos = Table(
    "import_undos",
    metadata,
    Column("import_id", ForeignKey("imports.id"), primary_key=True),
    Column("undone_at", UtcDateTime, nullable=False),
)

mode_marks = _profile_log(
    "mode_marks",
    Column("concept_id", String(120), nullable=False),
    Column("mode", String(20), nullable=False),
    Column("mark", String(20), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("mode_marks_by_profile", "profile_id", "concept_id", "id"),
)

reading_places = Table(
    "reading_places",
    metadata,
    Column("profile_id", ForeignKey("profiles.id"), primary_key=True),
    Column("concept_id", String(120), primary_key=True),
    Column("mode", String(20), primary_key=True),
    Column("place", Integer, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

project_entries = _profile_log(
    "project_entries",
    Column("project_id", String(120), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("text", Text, nullable=False),  # words, or the id of a sweep
    Column("at", UtcDateTime, nullable=False),
    Index("project_entries_by_profile", "profile_id", "project_id", "id"),
)

task_attempts = _profile_log(
    "task_attempts",
    Column("task_id", String(120), nullable=False),
    Column("seed", Integer, nullable=False),  # of the numbers that the task was drawn with
    Column("response", JSON, nullable=False, info=holds(OBJECT)),  # controls by name, or what was chosen
    Column("correct", Boolean, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("task_attempts_by_profile", "profile_id", "task_id", "id"),
)
