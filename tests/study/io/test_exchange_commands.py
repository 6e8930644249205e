"""Imports on the command line: what the page does, without the page."""

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from flashcards.interchange.backup_rows import check_row
from study.base.settings import load_settings
from study.io.backup import BackupExchange, build_backup
from study.io.exchange import Exchange
from study.io.exchange_commands import import_file
from study.store import Store, open_store
from study.store.snapshots import Snapshots


def open_exchanges(store: Store, home: Path) -> Sequence[Exchange]:
    return [BackupExchange(store=store, home=home, row_problem=check_row)]


def test_an_import_that_replaces_something_is_backed_up_first(tmp_path: Path) -> None:
    home, now = tmp_path / "home", datetime.now(UTC)
    store = open_store(load_settings(home=home).database_url)
    ana = store.profiles.add("browser", "Ana", now=now).id
    (tmp_path / "first.json").write_text(json.dumps(build_backup(store, home, ana, now=now)))
    store.preferences.change(ana, new_cards_a_day=7)
    (tmp_path / "second.json").write_text(json.dumps(build_backup(store, home, ana, now=now)))
    store.preferences.change(ana, new_cards_a_day=8)
    store.close()
    reasons = []
    for name in ("first.json", "second.json"):
        options = argparse.Namespace(file=tmp_path / name, data_folder=home, profile=None, dry_run=False)
        import_file(open_exchanges, options)
        reasons.append([made.reason for made in Snapshots(home / "study.sqlite3").list_snapshots()])
    assert reasons == [[], ["import"]]
