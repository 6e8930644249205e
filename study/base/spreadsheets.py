"""Tables for spreadsheets: what one does with a cell, and why a table can't be read."""

from typing import Any

from study.base.errors import LearnerError

BOM = "\ufeff"  # at the start of a file, so that a spreadsheet reads it as UTF-8
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # OWASP, "CSV injection"


def is_formula(cell: str) -> bool:
    """Return whether a spreadsheet would evaluate the cell instead of showing it."""
    return cell.startswith(_FORMULA_STARTS)


def neutralize(cell: Any) -> Any:
    """Return a cell that a spreadsheet only shows: a text that it would evaluate gets an apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and is_formula(cell) else cell


def decode_table(name: str, content: bytes) -> str:
    """Return the text of a table, without a BOM. Raises LearnerError when it isn't UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LearnerError(
            f"{name} is not UTF-8 (byte {error.start:,}).",
            do_next="Save it as “CSV UTF-8”, then import it again.",
        ) from error


def build_row_error(name: str, line: int, error: Exception) -> LearnerError:
    """Return the error of a row that isn't CSV."""
    return LearnerError(f"{name}:{line}  {error}.", do_next="Correct that line, then import it again.")
