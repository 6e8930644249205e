"""The app: `python app.py` builds its pages into one and serves them; `--help` lists the options."""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from lora_lab.cli.startup_status import announce
from lora_lab.engine.fork_server import ForkServer
from lora_lab.engine.local import LocalEngine
from study.base.addresses import is_loopback
from study.base.settings import Settings
from study.ports.places import Place
from study.web.serving.server import print_line, run, set_gradio_environment

PLACES = (
    Place("Today", "/"),
    Place("Learn", "/learn", (("Path, map", "/learn"), ("Figures", "/figures"), ("Reference", "/reference"),
                              ("Projects", "/projects"))),
    Place("Practise", "/practise", (("Cards", "/cards"), ("Quiz", "/quiz"), ("Explain", "/explain"),
                                    ("Tasks", "/tasks")), True),
    Place("Lab", "/lab"),
    Place("Class", "/class"),
    Place("You", "/progress", (("Progress", "/progress"), ("Settings", "/settings"), ("Import", "/io"))),
)  # fmt: skip


def build_app(
    settings: Settings,
    *,
    hosts: Sequence[str] = (),
    projector: bool = False,
    worker: bool = True,
    study_only: bool = False,
    only_class: bool = False,
    students_at: str = "",
    open_lab: bool = False,
    say: Callable[[str], object] = str,
) -> Any:
    """Build all pages into one ASGI app; `study_only` leaves the lab's runs to another app beside it."""
    with ExitStack() as unless_built:
        trains = worker and not study_only
        engine = LocalEngine(settings, warm=trains, own_only=study_only, fork_server=ForkServer())
        unless_built.callback(engine.close, grace_seconds=0)
        engine.warm_up()  # first: the worker loads on one core while this process imports on the other
        if trains:
            announce(engine.read_worker_state, print_line)
        say("Loading the pages")
        set_gradio_environment(settings)
        from classroom import parts as classroom
        from flashcards import parts as flashcards
        from lora_lab import parts as lora_lab
        from quizzes import parts as quizzes
        from study.parts import build_core, build_site

        say("Opening your progress")
        reachable = any(not is_loopback(host) for host in hosts)
        core = build_core(settings, places=PLACES, shared=reachable and not only_class)
        engine.start()  # only now: data that can't be opened must not cost a waiting run
        # The order matters: each part uses what the parts before it provide.
        parts = [lora_lab.build(core, engine), flashcards.build(core), quizzes.build(core, grader=worker)]
        parts += [classroom.build(core, only_class=only_class, reachable=reachable, students_at=students_at)]
        site = build_site(core, parts, hosts=hosts, projector=projector, open_lab=open_lab)
        unless_built.pop_all()
    return site


if __name__ == "__main__":
    sys.exit(run(build_app))
