"""What the app does every hour goes on after an hour in which it failed."""

import threading
from itertools import count
from pathlib import Path

from study.base.owner_log import OwnerLog, read_last
from study.base.periodic_task import PeriodicTask


def test_an_unforeseen_error_is_noted_and_the_next_turn_comes(tmp_path: Path) -> None:
    log = OwnerLog(tmp_path)
    turns, came_again = count(), threading.Event()

    def look() -> None:
        if next(turns) == 0:
            raise ZeroDivisionError
        came_again.set()

    task = PeriodicTask("upkeep", look, every_seconds=0)
    task.start()
    assert came_again.wait(10)
    task.close()
    log.close()
    assert read_last(tmp_path)[0].text.startswith("upkeep: ZeroDivisionError in tests/")
