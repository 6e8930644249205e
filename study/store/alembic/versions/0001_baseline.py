"""The tables of the first version that Alembic keeps; a frozen copy of what `schema.py` said then."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "profiles",
        sa.Column("id", sa.String(length=32), primary_key=True),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("named", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "browsers",
        sa.Column("id", sa.String(length=64), primary_key=True),
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("chosen_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "card_requests",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("card_id", sa.String(length=120), nullable=False),
        sa.Column("because", sa.String(length=120), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("card_requests_by_profile", "card_requests", ["profile_id", "card_id"])
    op.create_table(
        "card_reviews",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("card_id", sa.String(length=120), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=False),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("after", sa.JSON(), nullable=False),
    )
    op.create_index("card_reviews_by_card", "card_reviews", ["profile_id", "card_id", "id"])
    op.create_index("card_reviews_by_rating", "card_reviews", ["profile_id", "rating"])
    op.create_index("card_reviews_by_time", "card_reviews", ["profile_id", "reviewed_at"])
    op.create_table(
        "drafts",
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("key", sa.String(length=160), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "key"),
    )
    op.create_table(
        "explain_attempts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("prompt_id", sa.String(length=120), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("explain_attempts_by_profile", "explain_attempts", ["profile_id", "prompt_id"])
    op.create_table(
        "imports",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("file_name", sa.String(length=200), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("imports_by_profile", "imports", ["profile_id", "imported_at"])
    op.create_table(
        "mode_marks",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("concept_id", sa.String(length=120), nullable=False),
        sa.Column("mode", sa.String(length=20), nullable=False),
        sa.Column("mark", sa.String(length=20), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("mode_marks_by_profile", "mode_marks", ["profile_id", "concept_id", "id"])
    op.create_table(
        "own_prompts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("prompt_id", sa.String(length=40), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("concepts", sa.JSON(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("own_prompts_by_profile", "own_prompts", ["profile_id", "prompt_id"])
    op.create_table(
        "parameter_fits",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("fitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reviews", sa.Integer(), nullable=False),
        sa.Column("held_out", sa.Integer(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.Column("kept", sa.Boolean(), nullable=False),
    )
    op.create_index("parameter_fits_by_profile", "parameter_fits", ["profile_id", "id"])
    op.create_table(
        "predictions",
        sa.Column("id", sa.String(length=32), primary_key=True),
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("setting", sa.JSON(), nullable=False),
        sa.Column("guess", sa.JSON(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("predictions_by_profile", "predictions", ["profile_id", "made_at"])
    op.create_table(
        "preferences",
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "name"),
    )
    op.create_table(
        "project_entries",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("project_id", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("project_entries_by_profile", "project_entries", ["profile_id", "project_id", "id"])
    op.create_table(
        "quiz_sessions",
        sa.Column("id", sa.String(length=32), primary_key=True),
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("question_ids", sa.JSON(), nullable=False),
        sa.Column("choice", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("quiz_sessions_by_profile", "quiz_sessions", ["profile_id", "started_at"])
    op.create_table(
        "reading_places",
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("concept_id", sa.String(length=120), nullable=False),
        sa.Column("mode", sa.String(length=20), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "concept_id", "mode"),
    )
    op.create_table(
        "answer_retries",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("session_id", sa.String(length=32), sa.ForeignKey("quiz_sessions.id"), nullable=False),
        sa.Column("question_id", sa.String(length=120), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("option", sa.String(length=120), nullable=False),
        sa.Column("correct", sa.Boolean(), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("response", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("points", sa.Float(), nullable=True),
        sa.Column("confidence", sa.String(length=10), nullable=True),
        sa.Column("hints", sa.Integer(), nullable=True),
        sa.UniqueConstraint("session_id", "question_id", "attempt", name="answer_retries_once"),
    )
    op.create_table(
        "answers",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("session_id", sa.String(length=32), sa.ForeignKey("quiz_sessions.id"), nullable=False),
        sa.Column("question_id", sa.String(length=120), nullable=False),
        sa.Column("option", sa.String(length=120), nullable=False),
        sa.Column("correct", sa.Boolean(), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("response", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("points", sa.Float(), nullable=True),
        sa.Column("confidence", sa.String(length=10), nullable=True),
        sa.Column("hints", sa.Integer(), nullable=True),
        sa.UniqueConstraint("session_id", "question_id", name="answers_once"),
    )
    op.create_table(
        "card_verbs",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("verb", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("review_id", sa.Integer(), sa.ForeignKey("card_reviews.id"), nullable=True),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("card_verbs_by_profile", "card_verbs", ["profile_id", "verb", "id"])
    op.create_index("card_verbs_by_review", "card_verbs", ["review_id"])
    op.create_table(
        "explain_replies",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("attempt_id", sa.Integer(), sa.ForeignKey("explain_attempts.id"), nullable=False),
        sa.Column("concept_id", sa.String(length=120), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("replied_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("explain_replies_by_attempt", "explain_replies", ["attempt_id"])
    op.create_table(
        "explain_verdicts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("attempt_id", sa.Integer(), sa.ForeignKey("explain_attempts.id"), nullable=False),
        sa.Column("concept_id", sa.String(length=120), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("by", sa.String(length=20), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rubric", sa.String(length=16), nullable=True),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("evidence", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("replies", sa.Integer(), nullable=True),
    )
    op.create_index("explain_verdicts_by_attempt", "explain_verdicts", ["attempt_id"])
    op.create_table(
        "hints_shown",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("session_id", sa.String(length=32), sa.ForeignKey("quiz_sessions.id"), nullable=False),
        sa.Column("question_id", sa.String(length=120), nullable=False),
        sa.Column("shown_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("session_id", "question_id", name="hints_shown_once"),
    )
    op.create_table(
        "import_undos",
        sa.Column("import_id", sa.Integer(), sa.ForeignKey("imports.id"), primary_key=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "prediction_runs",
        sa.Column("prediction_id", sa.String(length=32), sa.ForeignKey("predictions.id"), primary_key=True),
        sa.Column("run_id", sa.String(length=120), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("prediction_runs_by_run", "prediction_runs", ["run_id"])
    op.create_table(
        "prediction_verdicts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("prediction_id", sa.String(length=32), sa.ForeignKey("predictions.id"), nullable=False),
        sa.Column("quantity", sa.String(length=20), nullable=False),
        sa.Column("correct", sa.Boolean(), nullable=False),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("prediction_id", "quantity", name="prediction_verdicts_once"),
    )
    op.create_table(
        "review_runs",
        sa.Column("id", sa.String(length=32), primary_key=True),
        sa.Column("profile_id", sa.String(length=32), sa.ForeignKey("profiles.id"), nullable=False),
        sa.Column("cards", sa.Integer(), nullable=False),
        sa.Column("quiz_session_id", sa.String(length=32), sa.ForeignKey("quiz_sessions.id"), nullable=False),
        sa.Column("prompt_id", sa.String(length=120), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("review_runs_by_profile", "review_runs", ["profile_id", "started_at"])
    op.create_table(
        "review_undos",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("review_id", sa.Integer(), sa.ForeignKey("card_reviews.id"), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("review_id"),
    )
    op.create_table(
        "explain_verdict_undos",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("verdict_id", sa.Integer(), sa.ForeignKey("explain_verdicts.id"), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("verdict_id"),
    )
    op.create_table(
        "verb_undos",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("verb_id", sa.Integer(), sa.ForeignKey("card_verbs.id"), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("verb_id"),
    )
