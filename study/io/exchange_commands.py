"""The `export` and `import` commands: the same exchanges as on the page, with text output."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from study.base.errors import LearnerError
from study.base.settings import load_settings
from study.io.apply_import import Imports
from study.io.command_line import add_learner_options, open_or_welcome
from study.io.exchange import VERDICTS, Exchange, File, ImportReport
from study.io.planning import plan_import
from study.store import Store
from study.store.snapshots import find_snapshots

WORDS = {"new": "added", "changed": "updated", "same": "the same", "rejected": "skipped"}


OpenExchanges = Callable[[Store, Path], Sequence[Exchange]]
"""Opens the exchanges of a data folder, in the order in which they claim a file."""


def add_exchange_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    open_exchanges: OpenExchanges,
    *,
    formats: Sequence[str],
    what: str,
) -> argparse.ArgumentParser:
    """Add the two commands and return the parser of `export`."""
    out = commands.add_parser("export", help=f"write {what} to files")
    out.add_argument("--format", default=",".join(formats), help=f"one or more of {','.join(formats)}")
    out.add_argument("--out", type=Path, default=Path(), help="folder to write to (default: this one)")
    add_learner_options(out)
    out.set_defaults(command=partial(export_files, open_exchanges))
    into = commands.add_parser("import", help=f"read {what} from a file, and say what became of each")
    into.add_argument("file", type=Path)
    into.add_argument("--dry-run", action="store_true", help="only say what it would do")
    add_learner_options(into)
    into.set_defaults(command=partial(import_file, open_exchanges))
    return out


def read_formats(options: argparse.Namespace) -> list[str]:
    """Return the names in `--format`; a comma too many names nothing."""
    return [name.strip() for name in options.format.split(",") if name.strip()]


def export_files(open_exchanges: OpenExchanges, options: argparse.Namespace) -> None:
    """Write the formats, and print the path of each file.

    Raises LearnerError on an unknown format, or when the folder can't be written.
    """
    folder, now = options.out, datetime.now(UTC)
    store, profile = open_or_welcome(options, now=now)
    exchanges = open_exchanges(store, load_settings(home=options.data_folder).home)
    by_format = {offered.name: exchange for exchange in exchanges for offered in exchange.formats}
    wanted = read_formats(options)
    unknown = [name for name in wanted if name not in by_format]
    if unknown or not wanted:
        raise LearnerError(
            f"There is no format {', '.join(unknown) or 'given'}.",
            do_next=f"Choose from {', '.join(by_format)}.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in wanted:
            for file in by_format[name].export(profile.id, name, now=now):
                (folder / file.name).write_bytes(file.content)
                print(folder / file.name)  # noqa: T201 - a command line prints
    except OSError as error:
        raise LearnerError(
            f"{folder} can't be written: {error.strerror}.", do_next="Choose another --out."
        ) from error
    store.close()


def import_file(open_exchanges: OpenExchanges, options: argparse.Namespace) -> None:
    """Import a file and print what was added, updated and skipped, and why.

    Raises LearnerError when it can't be read.
    """
    path, now = options.file, datetime.now(UTC)
    try:
        file = File(name=path.name, content=path.read_bytes())
    except OSError as error:
        raise LearnerError(f"{path} can't be read: {error.strerror}.", do_next="Check the path.") from error
    store, profile = open_or_welcome(options, now=now)
    settings = load_settings(home=options.data_folder)
    imports = Imports(store=store, home=settings.home)
    planned = plan_import(profile.id, file, open_exchanges(store, settings.home), imports, now=now)
    report = planned.report
    if report.does_something and not options.dry_run:
        snapshots = find_snapshots(settings.database_url, settings.home)
        if snapshots is not None and report.counts["changed"]:
            snapshots.make("import", now=now)
        report = imports.apply(profile.id, planned.plan, file_name=file.name, now=now)
    for line in format_report(report):
        print(line)  # noqa: T201 - a command line prints
    store.close()


def format_report(report: ImportReport) -> Iterator[str]:
    """Format a report as lines: totals first, then what was skipped and why."""
    for group in report.groups:
        totals = ", ".join(f"{group.counts[verdict]} {WORDS[verdict]}" for verdict in VERDICTS)
        yield f"{group.title}: {totals}"
        for entry in group.entries:
            if entry.verdict == "rejected" and entry.item:
                times = f" ({entry.count} times)" if entry.count > 1 else ""
                yield f"  skipped  {entry.item}: {entry.why}{times}"
            elif entry.verdict in ("new", "changed") and entry.item:
                yield f"  {WORDS[entry.verdict]}  {entry.item}" + (f" ({entry.why})" if entry.why else "")
        if not any(entry.item for entry in group.entries):
            yield from (f"  skipped {count}: {why}" for why, count in group.reasons)
    yield from report.notes
