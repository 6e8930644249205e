"""The words for the rows of a backup."""

from study.io.row_titles import NAMES, OTHER, count_rows, name_table
from study.store.rows import list_owned_tables


def test_every_name_is_of_a_table_that_a_backup_holds() -> None:
    assert NAMES.keys() <= {table.name for table in list_owned_tables()}
    assert name_table("review_undos") == OTHER


def test_rows_are_counted_in_words_and_what_hangs_on_them_is_left_out() -> None:
    counts = {"answers": 9, "reading_places": 1, "quiz_sessions": 2, "drafts": 0}
    assert count_rows(counts) == ["2 quizzes", "1 place in a lesson"]
