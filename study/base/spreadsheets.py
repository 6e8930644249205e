"""What a spreadsheet does with a cell."""

BOM = "\ufeff"  # at the start of a file, so that a spreadsheet reads it as UTF-8
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # OWASP, "CSV injection"


def is_formula(cell: str) -> bool:
    """Return whether a spreadsheet would evaluate the cell instead of showing it."""
    return cell.startswith(_FORMULA_STARTS)
