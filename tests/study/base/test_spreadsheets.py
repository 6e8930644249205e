"""Cells that a spreadsheet would evaluate."""

import pytest

from study.base.spreadsheets import is_formula


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_that_a_spreadsheet_evaluates_is_a_formula(cell: str) -> None:
    assert is_formula(cell)


@pytest.mark.parametrize("cell", ["", "1+1", "a = b", "'=1", " =1"])
def test_any_other_cell_is_none(cell: str) -> None:
    assert not is_formula(cell)
