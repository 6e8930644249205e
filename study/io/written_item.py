"""A card or question that is written in the app: the importer takes it in like a file that holds only it."""

from datetime import datetime

from study.base.errors import LearnerError
from study.base.import_limits import check_size
from study.content.user_files import as_bytes
from study.io.apply_import import Imports
from study.io.exchange import Exchange, File
from study.io.planning import plan_import, shared_content
from study.store.logs.imports import ImportRecord

KEPT = "What you wrote is still in the form."


def add_written(
    profile_id: str,
    file: File,
    exchange: Exchange,
    imports: Imports,
    *,
    called: str,
    may_change_files: bool,
    now: datetime,
) -> ImportRecord:
    """Store the one item of a file and return its import, which can be undone like any other.

    `called` is what the list of imports says. Raises LearnerError when the item is known or can't be stored.
    """
    if not may_change_files:
        raise shared_content("write", do_next=f"{KEPT} Copy it and send it to them.")
    plan = plan_import(profile_id, file, [exchange], imports, now=now).plan
    for entry in (entry for group in plan.groups for entry in group.entries):
        if entry.verdict == "rejected":
            raise LearnerError(f"It can't be stored: {entry.why}.", do_next=f"{KEPT} Correct it there.")
        if entry.verdict != "new":
            raise LearnerError("It is there already, in the same words.", do_next=f"{KEPT} Change it there.")
    for name, text in plan.files.items():
        check_size(name, len(as_bytes(text)))  # or the app would leave the whole file out
    imports.apply(profile_id, plan, file_name=called, now=now)
    return imports.store.imports.list_undoable(profile_id)[0]
