"""Every configure task and every recorded run, solved in Chromium as a person would, from a real app.

    python -m tests.browser.solve_tasks [--drawings 2]

A right setting comes from a search over the task's controls. Minutes long, so the suite solves three.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.app_process import running
from lora_lab.tasks import judge
from lora_lab.tasks.content import map_tasks_by_id
from lora_lab.tasks.reading import read_run_tasks
from lora_lab.tasks.service import build_task_address
from study.base.command_line import build_module_parser
from tests.browser.chromium import PAGE_IS_THERE, launch_chromium
from tests.lora_lab.tasks.test_configure import solve

PATIENT_MS = 60_000


def main() -> int:
    """Solve them; return 0 if all were judged right, 1 if not."""
    parser = build_module_parser("tests.browser.solve_tasks", __doc__)
    parser.add_argument("--drawings", type=int, default=2, help="of each configure task, with other numbers")
    drawings = parser.parse_args().drawings
    with (
        tempfile.TemporaryDirectory() as folder,
        running(["app.py", "--no-worker"], Path(folder)) as (_, address),
        sync_playwright() as playwright,
    ):
        page = launch_chromium(playwright).new_page()
        drawn = [
            judge.draw(task.id, seed)
            for task in map_tasks_by_id().values()
            for seed in range(min(drawings, len(task.cases)))
        ]
        judged = {f"{each.task.id}, drawing {each.seed}": set_controls(page, address, each) for each in drawn}
        print(f"{sum(judged.values())} of {len(judged)} settings judged right")  # noqa: T201 - a command prints
        named = {task_id: name_fault(page, address, task_id) for task_id in read_run_tasks()}
        print(f"{sum(named.values())} of {len(named)} faults judged right")  # noqa: T201
    unsolved = [name for name, right in (judged | named).items() if not right]
    for name in unsolved:
        print(f"not solved: {name}")  # noqa: T201
    return 1 if unsolved else 0


def set_controls(page: Page, address: str, drawn: judge.Drawn) -> bool:
    """Set a task's controls to a right setting and have it checked."""
    task, wanted = drawn.task, solve(drawn)
    assert wanted is not None, task.id
    page.goto(address + build_task_address(task.id, seed=drawn.seed))
    page.wait_for_function(PAGE_IS_THERE, timeout=PATIENT_MS)
    for control in task.controls:
        field = page.locator(f"#{control.field}")
        if control.choices:
            field.select_option(str(wanted[control.field]))
        else:
            field.fill(str(wanted[control.field]))
    page.get_by_role("button", name="Check my setting").click()
    return is_judged(page, "Solved")


def name_fault(page: Page, address: str, task_id: str) -> bool:
    """Choose the fault of a recorded run and have it checked."""
    task = read_run_tasks()[task_id]
    page.goto(address + build_task_address(task_id))
    page.wait_for_function(PAGE_IS_THERE, timeout=PATIENT_MS)
    page.locator(f"#option-{next(option.id for option in task.options if option.right)}").check()
    page.get_by_role("button", name="Check my answer").click()
    return is_judged(page, "That is the fault")


def is_judged(page: Page, words: str) -> bool:
    """Wait for the judgement; return whether it says this."""
    judged = page.locator("#judged")
    judged.wait_for(timeout=PATIENT_MS)
    return words in judged.inner_text()


if __name__ == "__main__":
    sys.exit(main())
