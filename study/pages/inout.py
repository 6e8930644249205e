"""Import and export: downloads of everything, and imports with a preview, a next step and an undo."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from markupsafe import Markup

from study.base import import_limits
from study.base.errors import LearnerError
from study.content.user_files import OwnFilesCheck, derive_key
from study.io.apply_import import Imports, UndoneImport
from study.io.exchange import VERDICTS, Exchange, ImportReport
from study.io.import_jobs import ImportJob, ImportJobs
from study.io.pending_upload import PendingUpload, PendingUploads
from study.io.planning import PlannedImport, Upload, build_shared_content_error
from study.io.row_titles import count_rows
from study.io.set_aside import set_aside
from study.ports.context import Context, Visit
from study.store.database import end_reading
from study.store.logs.imports import ImportRecord
from study.store.snapshots import Snapshots
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply
from study.web.security.access import build_owners_only_error

PATH = "/io"
ANSWERS_AT_ONCE_SECONDS = 0.3
"""A file of usual size is read within that time; for a larger one the page shows how far it is. Each event
that waits keeps a thread of the server from all others.
"""

PREVIEWS_KEPT = 20
"""A preview of 20,000 cards needs 7.5 MB; a dropped one is computed again."""

SHOWN_AT_MOST = 200  # entries of a preview; the counts always include all
STUDY_AT_ONCE = 20
"""New cards in the first session after an import; more would take longer than a few minutes."""

DECKS_LISTED = 5
CARD_TABLES = {"card_reviews", "card_verbs"}
WORDS = {"new": "new", "changed": "changed", "same": "the same", "rejected": "left out"}


@dataclass(frozen=True, kw_only=True)
class InOutPage:
    """Handlers of the page. A pending file is shown again whenever the page opens."""

    place = frame.IslandPlace(elem_id="inout", title="Import and export", path=PATH)

    context: Context
    exchanges: Mapping[str, Exchange]
    pending: PendingUploads
    jobs: ImportJobs
    """What reads the files."""

    snapshots: Snapshots | None = None
    """The automatic backups; None for a database that has backup tools of its own."""

    _previews: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    """A profile's preview of its pending file, as of its upload. Importing plans it again."""

    def load(self, request: gr.Request) -> Markup:
        """Render the page, with the pending file if one exists."""
        self.jobs.warm_up()
        return self._render_page(frame.open_visit(self.context, request))

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        visit = frame.open_visit(self.context, request, event)
        match event.get("act"):
            case "uploaded":
                return self._read(visit, {})
            case "apply":
                return self._read(
                    visit, {name: form_event.read_text(event, name) for name in ("digest", "report")}
                )
            case "poll":
                return self._poll(visit)
            case "cancel":
                self.jobs.stop(visit.profile.id)
                self._drop(visit.profile.id)
                return {
                    "html": self._render_page(visit),
                    "say": "Cancelled. Nothing was changed.",
                    "focus": "#file",
                }
            case "undo":
                self._refuse_shared(visit, event)
                undone = self._imports.undo(
                    visit.profile.id, form_event.read_whole(event, "import"), now=visit.now
                )
                said = _describe_undone(undone)
                reply = self._look_again(visit)
                return {**reply, "html": self._render_page(visit, said=said), "say": said, "focus": "#said"}
            case "restore":
                return self._restore(visit, event)
            case "set-aside":
                return self._set_aside(visit)
        raise form_event.build_unknown_act_error(event)

    @property
    def _imports(self) -> Imports:
        return Imports(store=self.context.store, home=self.context.settings.home)

    def _read(self, visit: Visit, shown: dict[str, str]) -> Reply:
        """Read the pending file: to show what it would do, or to import what was `shown` of it."""
        waiting = self._require_waiting(visit)
        job = self._start(visit, waiting, shown)
        return self._fetch(visit, job, ANSWERS_AT_ONCE_SECONDS) or {
            "html": self._render_page(visit),
            "say": f"Reading {waiting.name}.",
            "focus": "#reading",
        }

    def _look_again(self, visit: Visit) -> Reply:
        """Plan the pending file again, because an undo changes what it would do; return what went wrong."""
        self._previews.pop(visit.profile.id, None)
        waiting = self.pending.find(visit.profile.id)
        if waiting is None:
            return {}
        try:
            job = self._start(visit, waiting, {})
            planned = self._take_result(job, ANSWERS_AT_ONCE_SECONDS)
        except LearnerError as error:
            return {"error": str(error), "beside": "#file"}
        if planned is not None:
            self._remember(job, planned.report)
        return {}

    def _start(self, visit: Visit, waiting: PendingUpload, shown: dict[str, str]) -> ImportJob:
        upload = Upload(
            profile_id=visit.profile.id,
            path=self.pending.locate_pending(visit.profile.id),
            name=waiting.name,
            digest=waiting.digest,
            may_change_files=visit.is_owner,
            to_import=bool(shown),
        )
        return self.jobs.start(upload, shown, now=visit.now)

    def _poll(self, visit: Visit) -> Reply:
        """Show how far the reading is, or what it has found."""
        job = self.jobs.find(visit.profile.id)
        if job is None:
            return {"html": self._render_page(visit)}
        try:
            found = self._fetch(visit, job, 0)
        except LearnerError as error:
            return {"html": self._render_page(visit), "error": str(error), "beside": "#file"}
        return found or {"parts": {"reading": render("study/inout/reading.html", job=job)}}

    def _fetch(self, visit: Visit, job: ImportJob, seconds: float) -> Reply | None:
        """Return what to show of a job if it ends within so many seconds. Raises LearnerError."""
        planned = self._take_result(job, seconds)
        if planned is None:
            is_read_on = self.jobs.find(visit.profile.id) is job
            return None if is_read_on else {"html": self._render_page(visit)}
        return self._apply(visit, planned, job) if job.purpose else self._preview(visit, planned, job)

    def _take_result(self, job: ImportJob, seconds: float) -> PlannedImport | None:
        """Return the plan of a job; None if it needs longer, or if its learner has sent another file.

        Raises LearnerError when the file can't be imported, and drops the file.
        """
        end_reading()
        try:
            planned = job.wait_for_plan(seconds)
        except LearnerError:
            if not self._is_current(job):
                return None
            self._drop(job.upload.profile_id)
            raise
        return planned if planned is not None and self._is_current(job) else None

    def _is_current(self, job: ImportJob) -> bool:
        """Forget a job that has ended; return whether the learner has sent no other file meanwhile."""
        waiting = self.pending.find(job.upload.profile_id)
        return self.jobs.forget(job) and waiting is not None and waiting.digest == job.upload.digest

    def _preview(self, visit: Visit, planned: PlannedImport, job: ImportJob) -> Reply:
        shown = self._remember(job, planned.report)
        report = planned.report
        counts = ", ".join(f"{report.counts[verdict]} {WORDS[verdict]}" for verdict in VERDICTS)
        said = f"{job.upload.name}: {counts}. Nothing has been changed yet."
        return {"html": self._render_page(visit, preview=shown), "say": said, "focus": "#preview"}

    def _apply(self, visit: Visit, planned: PlannedImport, job: ImportJob) -> Reply:
        if planned.plan.files and not visit.is_owner:
            raise build_shared_content_error("import", do_next="Send the owner the file.")
        shown = job.purpose["digest"], job.purpose["report"]
        if shown != (job.upload.digest, _compute_digest(planned.report)):
            error = "Your cards or this file changed since the preview. Nothing was imported: look again."
            preview = self._remember(job, planned.report)
            return {"html": self._render_page(visit, preview=preview), "error": error, "focus": "#preview"}
        if self.snapshots is not None and planned.report.counts["changed"]:
            if visit.is_owner:
                self.snapshots.make("import", now=visit.now)
            else:
                self.snapshots.make_if_due("learner-import", now=visit.now)
        report = self._imports.apply(visit.profile.id, planned.plan, file_name=job.upload.name, now=visit.now)
        self._drop(visit.profile.id)
        counts = report.counts
        said = f"{job.upload.name} is imported: {counts['new']} new, {counts['changed']} changed."
        html = self._render_page(visit, said=said, done_id=report.import_id)
        return {"html": html, "say": said, "focus": "#said"}

    def _refuse_shared(self, visit: Visit, event: Mapping[str, Any]) -> None:
        """Refuse a learner who would undo what the owner imported into decks and questions for everyone."""
        wanted = form_event.read_whole(event, "import")
        record = self.context.store.imports.find_undoable(visit.profile.id, wanted)
        if record and record.changes.get("files") and not visit.is_owner:
            raise build_owners_only_error()

    def _restore(self, visit: Visit, event: Mapping[str, Any]) -> Reply:
        if self.snapshots is None or not visit.is_here:
            raise LearnerError(
                "Backups are restored at the machine that runs the app.", do_next="Ask the person there."
            )
        snapshot = self.snapshots.restore(form_event.read_text(event, "backup"), now=visit.now)
        self.context.store.database.forget_all()
        return {"goto": PATH, "say": f"The backup of {snapshot.made} is restored."}

    def _set_aside(self, visit: Visit) -> Reply:
        if not visit.is_owner:
            raise build_owners_only_error()
        damaged = [path for check in self._check_own_files() for path in check.damaged]
        set_aside(damaged, self.context.settings.home)
        folders = dict.fromkeys(f"set-aside/{path.parent.name}" for path in damaged)
        said = f"Moved to {' and '.join(folders)} in the data folder." if folders else ""  # pressed twice
        return {"html": self._render_page(visit, said=said), "say": said, "focus": "#said"}

    def _check_own_files(self) -> list[OwnFilesCheck]:
        return [exchange.check_own_files() for exchange in self.exchanges.values()]

    def _require_waiting(self, visit: Visit) -> PendingUpload:
        waiting = self.pending.find(visit.profile.id)
        if waiting is None:
            raise LearnerError("No file is waiting to be imported.", do_next="Choose one first.")
        return waiting

    def _drop(self, profile_id: str) -> None:
        self.pending.drop(profile_id)
        self._previews.pop(profile_id, None)

    def _render_page(
        self,
        visit: Visit,
        *,
        said: str = "",
        preview: dict[str, Any] | None = None,
        done_id: int = 0,
    ) -> Markup:
        profile_id = visit.profile.id
        preview = preview or self._preview_waiting(visit)
        undoable = self._imports.store.imports.list_undoable(profile_id)
        done = next((record for record in undoable if record.id == done_id), None)
        kept = self.snapshots.list_snapshots() if self.snapshots else []
        checks = self._check_own_files()
        begins = visit.days.start(visit.now)
        new_today = sum(r.new for r in self.context.store.cards.history(profile_id, since=begins))
        return render(
            "study/inout/inout.html",
            said=said,
            done=done,
            links={record.id: list_study_links(record, new_today=new_today) for record in undoable},
            preview=preview,
            job=self.jobs.find(profile_id),
            exchanges=self.exchanges,
            imports=[one for one in undoable if one is not done],
            limits=import_limits,
            data_folder=str(self.context.settings.home) if visit.is_owner else "",
            own_problems=[problem for check in checks for problem in check.problems],
            damaged=[path for check in checks for path in check.damaged] if visit.is_owner else [],
            profile=visit.profile,
            words=WORDS,
            verdicts=VERDICTS,
            snapshots=kept if visit.is_here else [],
            newest=kept[0] if kept and visit.is_owner else None,
            newest_age=visit.format_days_ago(kept[0].made_at) if kept else "",
            backup_problem=self.snapshots.problem if self.snapshots and visit.is_owner else "",
        )

    def _preview_waiting(self, visit: Visit) -> dict[str, Any] | None:
        waiting = self.pending.find(visit.profile.id)
        if waiting is None:
            return None
        known = self._previews.get(visit.profile.id)
        if known is not None and known["digest"] == waiting.digest:
            return known
        if self.jobs.find(visit.profile.id) is None:  # the app was started again since
            self._start(visit, waiting, {})
        return None

    def _remember(self, job: ImportJob, report: ImportReport) -> dict[str, Any]:
        preview = {
            "file": job.upload.name,
            "digest": job.upload.digest,
            "report": report,
            "report_digest": _compute_digest(report),
            "at_most": SHOWN_AT_MOST,
        }
        self._previews.pop(job.upload.profile_id, None)
        self._previews[job.upload.profile_id] = preview
        for oldest in list(self._previews)[:-PREVIEWS_KEPT]:
            self._previews.pop(oldest, None)
        return preview


def list_study_links(record: ImportRecord, *, new_today: int) -> list[tuple[str, str]]:
    """List the links under which an import is studied, the first one first: label and URL.

    `new_today` counts the new cards of today: a URL raises the day's limit to fit in the imported ones.
    """
    added = record.changes.get("added", {})
    if added.keys() - CARD_TABLES:
        return [("Open Today", "/")]  # a backup
    names = [PurePosixPath(name) for name in record.changes.get("files", {})]
    new = new_today + min(STUDY_AT_ONCE, record.counts["new"])
    links = []
    for name in names[:DECKS_LISTED]:
        key = derive_key(Path(name.name))
        quiz = name.parent.name == "questions"
        query = {"topic": key} if quiz else {"deck": key, "new": new}
        label = "Study these" if len(names) == 1 else f"Study {key}"
        links.append((label, f"{'/quiz' if quiz else '/cards'}?{urlencode(query)}"))
    return links or [("Study these", "/cards")]


def _describe_undone(undone: UndoneImport) -> str:
    """Say that an import is undone, and what stays and why."""
    sentences = [f"The import of {undone.record.file_name} is undone."]
    stays = count_rows(undone.stays)
    if stays:
        listed = " and ".join(filter(None, (", ".join(stays[:-1]), stays[-1])))
        sentences.append(f"What you have continued or changed since then stays: {listed}.")
    if undone.answered:
        answers = "1 answer" if undone.answered == 1 else f"{undone.answered} answers"
        sentences.append(
            f"{answers} that you have given to its cards or questions since then "
            f"{'stays' if undone.answered == 1 else 'stay'} in your log, and will count again if you import "
            "the file again."
        )
    return " ".join(sentences)


def _compute_digest(report: ImportReport) -> str:
    return hashlib.sha256(repr(report.groups).encode()).hexdigest()[:16]
