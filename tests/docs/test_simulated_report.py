"""The report of the simulated GPU has every bit width in every operation, each within its limit."""

from lora_lab.spec import BITS, BITS_LABELS
from tests.simulated_gpu.widths import GROUP, GROUP_PERCENT, LEDGER_PERCENT, OPERATIONS, REPORT, read_table


def test_every_width_has_every_operation() -> None:
    heading, *rows = read_table(REPORT.read_text("utf-8"))
    assert heading == ["weights", *OPERATIONS]
    assert [row[0] for row in rows] == [BITS_LABELS[bits] for bits in BITS]
    for name, *cells in rows:
        for operation, cell in zip(OPERATIONS, cells, strict=True):
            limit = GROUP_PERCENT if operation == GROUP else LEDGER_PERCENT
            assert cell == "equal" or abs(float(cell.removesuffix(" %"))) < limit, (name, operation, cell)
