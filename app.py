"""The app: `python app.py` builds its pages into one and serves them; `--help` lists the options."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from lora_lab.cli.startup_status import announce
from lora_lab.engine.local import LocalEngine
from study.base.settings import Settings
from study.ports.places import Place
from study.web.server import run

PLACES = (
    Place("Today", "/"),
    Place(
        "Learn", "/learn", (("Path and map", "/learn"), ("Figures", "/figures"), ("Projects", "/projects"))
    ),
    Place(
        "Practise",
        "/practise",
        (("Cards", "/cards"), ("Quiz", "/quiz"), ("Explain", "/explain")),
        shortcuts=True,
    ),
    Place("Lab", "/lab"),
    Place(
        "You",
        "/progress",
        (("Progress", "/progress"), ("Settings", "/settings"), ("Import and export", "/io")),
    ),
)


def build_app(
    settings: Settings,
    *,
    hosts: Sequence[str] = (),
    projector: bool = False,
    worker: bool = True,
    say: Callable[[str], object] = str,
) -> Any:
    """Build all pages into one ASGI app. `say` receives each start-up step as text."""
    engine = LocalEngine(settings, warm=worker)
    with ExitStack() as unless_built:
        unless_built.callback(engine.close, grace_seconds=0)
        site = _build_site(engine, settings, hosts=hosts, projector=projector, worker=worker, say=say)
        unless_built.pop_all()
    return site


def _build_site(
    engine: LocalEngine,
    settings: Settings,
    *,
    hosts: Sequence[str],
    projector: bool,
    worker: bool,
    say: Callable[[str], object],
) -> Any:
    engine.warm_up()  # first: the worker loads on one core while this process imports on the other
    if worker:
        announce(engine.home, _say)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read while gradio is imported
    os.environ.setdefault("GRADIO_TEMP_DIR", str(settings.home / "uploads"))

    say("Importing Gradio")
    from flashcards import parts as flashcards
    from lora_lab import parts as lora_lab
    from quizzes import parts as quizzes
    from study.parts import build_core, build_site

    say("Opening your progress and building the pages")
    core = build_core(settings, places=PLACES)
    engine.start()  # only now: data that can't be opened must not cost a waiting run
    # The order matters: each part uses what the parts before it provide.
    parts = [lora_lab.build(core, engine), flashcards.build(core), quizzes.build(core, grader=worker)]
    return build_site(core, parts, hosts=hosts, projector=projector)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - for the person who started the app


if __name__ == "__main__":
    sys.exit(run(build_app))
