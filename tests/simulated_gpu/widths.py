"""The table of bit widths and operations in docs/gpu-report-simulated.md, written from what the tests found.

python -m tests.simulated_gpu.widths
"""

import os
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from lora_lab.spec import BITS, BITS_LABELS

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "docs" / "gpu-report-simulated.md"
MARK = "<!-- written by python -m tests.simulated_gpu.widths -->"
ALONE, GROUP, CHAT, XRAY, MERGE = "alone", "group of four", "chat with two", "X-ray", "merge"
OPERATIONS = (ALONE, "DoRA", "checkpointing", "8-bit AdamW", GROUP, CHAT, XRAY, MERGE)
LEDGER_PERCENT, GROUP_PERCENT = 0.01, 0.02
"""How far a measured peak may be from the ledger's, and that of a group."""

WIDTH = "width"
"""The property of a test that says which width it was about; its other properties are operations."""

FOLDER = "tests/lora_lab/worker/training"
TESTS = (
    f"{FOLDER}/test_on_a_gpu.py::test_a_run_has_the_cpus_losses_and_the_predicted_peak",
    f"{FOLDER}/test_widths_on_a_gpu.py",
)


class FoundResults:
    """A pytest plugin that keeps what tests note, by width and operation."""

    def __init__(self) -> None:
        self.cells: defaultdict[str, dict[str, str]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test noted, if it passed."""
        noted = {name: str(value) for name, value in report.user_properties}
        if report.when == "call" and report.passed and WIDTH in noted:
            self.cells[noted.pop(WIDTH)] |= noted


def format_table(cells: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Format the rows, with a question mark where no test passed."""
    rows = [[BITS_LABELS[bits], *(cells[bits].get(name, "?") for name in OPERATIONS)] for bits in BITS]
    lines = [["weights", *OPERATIONS], ["---"] * (1 + len(OPERATIONS)), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def read_table(text: str) -> list[list[str]]:
    """Read the cells of a report's table, its heading first."""
    rows = text.partition(f"{MARK}\n")[2].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if "---" not in row]


def main() -> int:
    """Run the tests and write the table. Return pytest's status."""
    found = FoundResults()
    os.chdir(ROOT)
    status = pytest.main(["-q", "-m", "simulated_gpu", *TESTS], plugins=[found])
    before, _, rest = REPORT.read_text("utf-8").partition(f"{MARK}\n")
    after = rest.partition("\n\n")[2]
    table = "\n".join(format_table(found.cells))
    REPORT.write_text(f"{before}{MARK}\n{table}\n\n{after}", "utf-8")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
