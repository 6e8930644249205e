"""Writes the measured part of docs/guide/which-rank.md from a finished sweep.

    python -m lora_lab sweep --ranks 1,8,64 --seeds 0,1,2 --steps 10 --data-folder FOLDER
    python -m benchmarks.which_rank FOLDER

Stores the newest sweep of that folder as docs/guide/which-rank.json, which has every number that the page
prints.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lora_lab.grids.findings import list_findings
from lora_lab.grids.results import GridCell, build_grid_cells, group_by_setting
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.sweeps import list_sweeps
from lora_lab.settings.grid import Grid
from lora_lab.settings.grid_form import format_grid_command
from lora_lab.spec import RunSpec
from lora_lab.views.grid_report import format_sweep_json
from study.base.command_line import build_module_parser
from study.base.settings import load_settings
from study.base.units import as_bytes, as_count

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "which-rank.md"
KEPT = PAGE.with_suffix(".json")
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"


def main() -> None:
    """Rewrite both files."""
    parser = build_module_parser("benchmarks.which_rank", __doc__)
    parser.add_argument("folder", type=Path, help="the data folder that the sweep ran in")
    settings = load_settings(home=parser.parse_args().folder)
    sweep = next(iter(list_sweeps(settings.sweeps_dir)), None)
    if sweep is None:
        raise SystemExit(f"There is no sweep in {settings.home}.")
    cells = build_grid_cells(sweep.cells(settings.runs_dir), RunFolder.state)
    if not all(cell.comparable for cell in cells):
        raise SystemExit("Some cells have not finished. Wait for them, or try them again.")
    KEPT.write_text(format_sweep_json(sweep, cells) + "\n", "utf-8")
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{render_measured(KEPT)}{END}{rest.partition(END)[2]}", "utf-8")


def render_measured(kept: Path) -> str:
    """Render the stored sweep as the page's Markdown."""
    content = json.loads(kept.read_text("utf-8"))
    cells = [_parse_cell(values) for values in content["cells"]]
    return "\n".join(
        [
            *_list_conditions(Grid.from_json(json.dumps(content["grid"])), cells, _name_data(content)),
            "",
            *_format_table(cells),
            "",
        ]
    )


def _name_data(content: dict[str, Any]) -> str:
    """Name the cards that were learnt from: the app's change, and with them losses and the heaviest row."""
    day = datetime.fromtimestamp(content["created_at"], UTC).date()
    return f"as they were on {day} (data {content['data']['digest']})"


def _parse_cell(values: dict[str, Any]) -> GridCell:
    versions = tuple(sorted(values["versions"].items()))
    return GridCell(**(values | {"spec": RunSpec(**values["spec"]), "versions": versions}))


def _list_conditions(grid: Grid, cells: list[GridCell], data: str) -> Iterator[str]:
    first = cells[0]
    versions = ", ".join(f"{name} {version}" for name, version in first.versions)
    yield f"```sh\n{format_grid_command(grid)}\n```"
    yield ""
    yield (
        f"{len(cells)} runs of {grid.base.steps} steps, batch {grid.base.batch}, alpha {grid.base.alpha:g}, "
        f"learning rate {grid.base.learning_rate:g}, seeds {', '.join(map(str, grid.seeds))}, on the app's "
        f"own cards {data}, where the untrained adapter's held-out loss is {first.loss_before or 0:.3f}. "
        f"Measured on {first.device}, computing in {first.compute}, with {versions}."
    )


def _format_table(cells: list[GridCell]) -> Iterator[str]:
    settings = group_by_setting(cells)
    yield "| rank | trainable parameters | held-out loss, mean | lowest to highest seed | peak memory |"
    yield "|---|---|---|---|---|"
    for setting in sorted(settings, key=lambda setting: setting.levels.rank):
        yield (
            f"| {setting.levels.rank} | {as_count(setting.cells[0].trainable or 0)} "
            f"| {setting.mean_loss:.3f} | "
            f"{min(setting.losses):.3f} to {max(setting.losses):.3f} | {as_bytes(setting.peak_bytes or 0)} |"
        )
    yield ""
    yield from (found.text for found in list_findings(settings))


if __name__ == "__main__":
    main()
