"""Shared code of the command lines: data folder, profile, and errors in the learner's words."""

import argparse
import sys
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from study.base.errors import LearnerError
from study.base.settings import load_settings
from study.store import Store, open_store
from study.store.profiles import Profile


def run_command(command: Callable[[argparse.Namespace], None], options: argparse.Namespace) -> int:
    """Run a command; return 0 on success, or 1 after printing what is wrong."""
    try:
        command(options)
    except LearnerError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command line prints
        return 1
    return 0


def add_learner_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the profile and the data folder."""
    parser.add_argument("--profile", help="name of the learner; needed where there are several")
    parser.add_argument("--data-folder", type=Path, help="where progress is kept (default: as the app)")


def open_data_folder(options: argparse.Namespace) -> Store:
    """Open the store of the data folder that the options name."""
    settings = load_settings(home=options.data_folder)
    return open_store(settings.database_url, home=settings.home)


def open_or_welcome(options: argparse.Namespace, *, now: datetime) -> tuple[Store, Profile]:
    """Open the learner that the options name; create one when no profile exists."""
    store = open_data_folder(options)
    if not store.profiles.all():
        made = store.profiles.open_for_browser(f"command line {uuid.uuid4().hex}", now=now)
        if options.profile:
            store.profiles.rename(made.id, options.profile)
    store.close()
    return open_learner(options)


def open_learner(options: argparse.Namespace) -> tuple[Store, Profile]:
    """Open the store and find the learner that the options name.

    Raises LearnerError when no profile matches, or when several do.
    """
    store = open_data_folder(options)
    profiles = store.profiles.all()
    wanted = [profile for profile in profiles if options.profile in (None, profile.name)]
    if len(wanted) == 1:
        return store, wanted[0]
    names = ", ".join(profile.name for profile in profiles)
    if not profiles:
        raise LearnerError("Nobody has studied here yet.", do_next="Start the app first: python app.py")
    if not wanted:
        raise LearnerError(f"No profile is called {options.profile}.", do_next=f"Name one of: {names}.")
    raise LearnerError("There are several profiles.", do_next=f"Name one with --profile: {names}.")
