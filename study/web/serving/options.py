"""The command line of app.py."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; None reads that of this process."""
    parser = argparse.ArgumentParser(
        prog="app.py", description="Study LoRA and QLoRA: cards, quizzes and a live lab."
    )
    # A host of Gradio apps starts `python app.py` and says in these variables where it looks for it.
    given = os.environ.get
    parser.add_argument(
        "--host",
        default=given("GRADIO_SERVER_NAME"),
        help="address to listen on (default: GRADIO_SERVER_NAME, otherwise this machine only; with --class "
        "every address)",
    )
    parser.add_argument(
        "--class",
        dest="only_class",
        action="store_true",
        help="teach a class: other devices reach the class's student pages and nothing else",
    )
    parser.add_argument(
        "--students-at",
        default="",
        metavar="URL",
        help="the address that students open, where a proxy or `python -m classroom serve` answers them",
    )
    parser.add_argument(
        "--open-lab",
        action="store_true",
        default=bool(given("SPACE_HOST")),
        help="let everyone start, stop and delete runs (default: where SPACE_HOST is set)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=given("GRADIO_SERVER_PORT") or 7860,
        help="port to listen on (default: GRADIO_SERVER_PORT, otherwise 7860; 0: any free one)",
    )
    parser.add_argument(
        "--public-name",
        action="append",
        default=[given("SPACE_HOST")] if given("SPACE_HOST") else [],
        help="a name that browsers reach it by, such as study.example.org (default: SPACE_HOST)",
    )
    parser.add_argument("--data-folder", type=Path, help="where progress, runs and models are kept")
    parser.add_argument(
        "--projector", action="store_true", help="large type and no profile names, for a class"
    )
    parser.add_argument(
        "--no-worker", dest="worker", action="store_false", help="start no worker: no training, no grader"
    )
    parser.add_argument(
        "--study-only",
        action="store_true",
        help="serve study pages beside an app on the same data folder and database, which does the training",
    )
    options = parser.parse_args(arguments)
    options.host = options.host or ("0.0.0.0" if options.only_class else "127.0.0.1")
    return options
