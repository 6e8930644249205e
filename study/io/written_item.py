"""A card or question that is written in the app: the importer takes it in like a file that holds only it."""

from collections.abc import Container
from datetime import datetime
from itertools import chain, count

from study.base.errors import LearnerError
from study.base.import_limits import check_size, list_length_problems
from study.content.user_files import as_bytes, build_slug
from study.io.apply_import import Imports
from study.io.exchange import Exchange, File, shorten
from study.io.planning import build_shared_content_error, plan_import
from study.text.markup import find_formula_problems, to_plain

LONGEST_QUOTE = 60
KEPT = "What you wrote is still in the form."


def find_free_id(words: str, taken: Container[str], *, otherwise: str) -> str:
    """Return an id made of the words that nothing has: a file with a known id would change what has it."""
    named = build_slug(words, limit=80) or otherwise
    numbered = (f"{named}-{number}" for number in count(2))
    return next(free for free in chain([named], numbered) if free not in taken)


def find_text_problem(text: str) -> str:
    """Return what is wrong with a text, as a sentence; empty if it can be stored and shown."""
    problem = "; ".join(list_length_problems([("text", text)]) or find_formula_problems(text))
    return f"{problem[0].upper()}{problem[1:]}." if problem else ""


def quote_item(text: str) -> str:
    """Return the words by which a written item is recognized where imports are listed."""
    return f"“{shorten(to_plain(text), limit=LONGEST_QUOTE)}”"


def check_may_write(may_change_files: bool) -> None:
    """Raise LearnerError for a learner who may not write, because everyone has what is written."""
    if not may_change_files:
        raise build_shared_content_error("write", do_next=f"{KEPT} Copy it and send it to the owner.")


def add_written(
    profile_id: str,
    file: File,
    exchange: Exchange,
    imports: Imports,
    *,
    called: str,
    may_change_files: bool,
    now: datetime,
) -> int:
    """Store the one item of a file and return the id of its import, which can be undone like any other.

    `called` is what the list of imports says. Raises LearnerError when the item is known or can't be stored.
    """
    check_may_write(may_change_files)
    plan = plan_import(profile_id, file, [exchange], imports, now=now).plan
    for entry in (entry for group in plan.groups for entry in group.entries):
        if entry.verdict == "rejected":
            raise LearnerError(f"It can't be stored: {entry.why}.", do_next=f"{KEPT} Correct it there.")
        if entry.verdict != "new":
            raise LearnerError("You already have it, in the same words.", do_next=f"{KEPT} Change it there.")
    for name, text in plan.files.items():
        check_size(name, len(as_bytes(text)))  # or the app would leave the whole file out
    return imports.apply(profile_id, plan, file_name=called, now=now).import_id
