"""The page of imports for tests, and a reader of files that waits until it is let go."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from flashcards.interchange.backup_rows import check_row
from flashcards.interchange.exchange import build_card_exchange
from study.io.apply_import import Imports
from study.io.backup import BackupExchange
from study.io.exchange import Exchange
from study.io.import_jobs import ImportJobs
from study.io.pending_upload import PendingUploads
from study.io.planning import DirectPlanner, PlannedImport, Planner, Progress, Upload
from study.io.reading_process import build_stopped_error
from study.pages.inout import InOutPage
from study.ports.context import Context
from study.web import frame
from tests.visits import opened

DECK = (
    b"Q: What is the rank of B A?\nA: At most r.\n\nQ: Who needs this?\n\nQ: And $d_{in}$?\nA: The `width`.\n"
)


def build_page(context: Context) -> InOutPage:
    """Build the page with backups and cards, which are read in this process."""
    home = context.settings.home
    exchanges: dict[str, Exchange] = {
        "backup": BackupExchange(store=context.store, home=home, row_problem=check_row),
        "cards": build_card_exchange(context.store, home, context.concepts),
    }
    imports = Imports(store=context.store, home=home)
    jobs = ImportJobs(DirectPlanner(exchanges=list(exchanges.values()), imports=imports))
    return InOutPage(
        context=context, exchanges=exchanges, pending=PendingUploads(folder=home / "imports"), jobs=jobs
    )


def receive(pending: PendingUploads, profile_id: str, name: str, content: bytes) -> None:
    """Send a file in two pieces."""

    async def chunks() -> AsyncIterator[bytes]:
        yield content[:10]
        yield content[10:]

    asyncio.run(pending.receive(profile_id, name, chunks()))


def send(page: InOutPage, name: str, content: bytes, browser: str = "b1") -> str:
    """Upload a file and return the page with its preview."""
    return send_as(page, name, content, opened(browser))


def send_as(page: InOutPage, name: str, content: bytes, request: Any) -> str:
    """Upload a file with a request of one's own."""
    page.load(request)
    receive(page.pending, frame.open_visit(page.context, request).profile.id, name, content)
    return page.act({"act": "uploaded"}, request)["html"]


class SlowPlanner:
    """Reads a file only when it is let go."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self.begun, self.let_go, self.stopped = threading.Event(), threading.Event(), False

    def warm_up(self) -> None:
        """Nothing has to be started."""

    def plan(self, upload: Upload, *, now: datetime, progress: Progress) -> PlannedImport:
        progress(3, 10)
        self.begun.set()
        assert self.let_go.wait(60)
        if self.stopped:
            self.stopped = False
            self.let_go.clear()
            raise build_stopped_error(upload.name)
        return self._planner.plan(upload, now=now, progress=progress)

    def stop(self) -> None:
        self.stopped = True
        self.let_go.set()

    def close(self) -> None:
        """Nothing has to be ended."""


def slow_page(page: InOutPage) -> tuple[InOutPage, SlowPlanner]:
    """Let the page read its files by a SlowPlanner."""
    planner = SlowPlanner(page.jobs._planner)
    return replace(page, jobs=ImportJobs(planner)), planner
