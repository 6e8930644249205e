"""The app: `python app.py` builds the pages into one and serves them. `python app.py --help` lists the options."""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import Any

from study.errors import LearnerError
from study.settings import Settings, load_settings

MENU = (("Today", "/"), ("Learn", "/learn"), ("Cards", "/cards"), ("Quiz", "/quiz"), ("Explain", "/explain"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted."""
    options = _read_options(arguments)
    try:
        from study.serve import serve, take_port

        listening = take_port(options.host, options.port)
        settings = load_settings(home=options.data_folder)
        app = build_app(settings, host=options.host, projector=options.projector, worker=options.worker)
    except LearnerError as error:
        print(error, file=sys.stderr)  # noqa: T201 - read by the person who typed the command
        return 1
    serve(app, listening, address=f"http://{options.host}:{listening.getsockname()[1]}")
    return 0


def build_app(settings: Settings, *, host: str = "127.0.0.1", projector: bool = False, worker: bool = True) -> Any:
    """All pages behind one door, as an ASGI app."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read while gradio is imported
    os.environ.setdefault("GRADIO_TEMP_DIR", str(settings.home / "uploads"))
    from study.assembly import assemble

    return assemble(settings, menu=MENU, host=host, projector=projector)


def _read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Study LoRA and QLoRA: cards, quizzes and a live lab.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default: 7860)")
    parser.add_argument("--data-folder", type=Path, help="where progress, runs and models are kept")
    parser.add_argument("--projector", action="store_true", help="large type and no profile names, for a class")
    parser.add_argument("--no-worker", dest="worker", action="store_false", help="start no training worker")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
