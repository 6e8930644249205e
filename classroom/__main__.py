"""`python -m classroom simulate`: play a class against a running app, to try a plan alone.

`python -m classroom serve`: serve the students of a lecture hall from several processes.
"""

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from classroom.simulation.rehearsal import Rehearsal
from study.base.command_line import run_program
from study.base.errors import LearnerError
from study.base.settings import Settings, load_settings

STUDENTS_PORT = 7861


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and play or serve. Returns the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _build_parser(with_work=given[:1] == ["work"]).parse_args(given)
    try:
        return int(options.do(options))
    except LearnerError as error:
        print(error, file=sys.stderr)
        return 1


def _simulate(options: argparse.Namespace) -> int:
    from quizzes.session.class_answers import QuizClassKinds

    rehearsal = Rehearsal(
        kinds=QuizClassKinds(),
        address=options.address.rstrip("/"),
        students=options.students,
        say=print,
        code=options.code,
        plan=options.plan,
        lead_seconds=options.lead,
        seed=options.seed,
    )
    asyncio.run(rehearsal.play())
    return 0


def _serve(options: argparse.Namespace) -> int:
    from classroom.workers.supervisor import Supervisor
    from study.store import open_store

    settings = _load_settings(options)
    # One process makes the tables, and says what is wrong.
    open_store(settings.database_url, home=settings.home).close()
    command = ["-m", "classroom", "work", "--data-folder", str(settings.home)]
    for name in options.public_name:
        command += ["--public-name", name]
    supervisor = Supervisor(
        host=options.host,
        port=options.port,
        count=options.workers,
        command=command,
        say=lambda line: print(line, flush=True),
    )
    supervisor.run()
    return 0


def _work(options: argparse.Namespace) -> int:
    from classroom.workers.site import build_students_site
    from classroom.workers.worker import serve
    from flashcards.interchange.class_cards import write_class_cards
    from lora_lab.figures import build_figures
    from quizzes.session.class_answers import QuizClassKinds
    from study.content.concepts import load_concepts
    from study.ports.context import Context
    from study.store import open_store
    from study.web.serving.server import take_port

    settings = _load_settings(options)
    if options.socket is not None:
        listening = socket.socket(fileno=options.socket)
    else:
        listening = take_port(options.host, options.port, several=True)
    with closing(open_store(settings.database_url, home=settings.home)) as store:
        context = Context(settings=settings, store=store, concepts=load_concepts())
        site = build_students_site(
            context,
            figures=build_figures(settings.models_dir),
            kinds=QuizClassKinds(),
            write_cards=write_class_cards,
            hosts=tuple(options.public_name),
        )
        serve(site, listening)
    return 0


def _load_settings(options: argparse.Namespace) -> Settings:
    settings = load_settings(home=options.data_folder)
    if not settings.database_url.startswith("postgresql"):
        raise LearnerError(
            "Several processes share a class through a PostgreSQL server, and DATABASE_URL names none.",
            do_next="Start one (deploy/compose.yaml), then set DATABASE_URL for this and for the app.",
        )
    return settings


def _parse_count(text: str) -> int:
    """Parse a number of students or processes. Raises ArgumentTypeError below 1."""
    if text.isdecimal() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")


def _build_parser(*, with_work: bool = False) -> argparse.ArgumentParser:
    """Build the commands; `work`, which `serve` starts, is known only where it is given."""
    parser = argparse.ArgumentParser(prog="python -m classroom", description="Live classes.")
    commands = parser.add_subparsers(required=True, metavar="command")
    simulate = commands.add_parser("simulate", help="students that join a running app and answer")
    simulate.add_argument("--students", type=_parse_count, default=30, help="how many (default: 30)")
    simulate.add_argument("--address", default="http://127.0.0.1:7860", help="of the running app")
    simulate.add_argument("--code", default="", help="of a class that is open; without it one is started")
    simulate.add_argument("--plan", default="opener", help="the lesson plan to start (default: opener)")
    simulate.add_argument(
        "--lead", type=float, default=0.0, metavar="SECONDS", help="press Next after so many seconds"
    )
    simulate.add_argument("--seed", type=int, default=0, help="the same seed gives the same answers")
    simulate.set_defaults(do=_simulate)
    serve = commands.add_parser("serve", help="students of a lecture hall, from several processes")
    serve.add_argument(
        "--workers",
        type=_parse_count,
        default=os.cpu_count() or 1,
        help="how many processes (default: one for each processor core)",
    )
    serve.set_defaults(do=_serve)
    listening = [serve]
    if with_work:
        work = commands.add_parser("work")
        work.add_argument("--socket", type=int)
        work.set_defaults(do=_work)
        listening.append(work)
    for each in listening:
        each.add_argument("--host", default="0.0.0.0", help="address to listen on (default: every address)")
        each.add_argument("--port", type=int, default=STUDENTS_PORT, help=f"port (default: {STUDENTS_PORT})")
        each.add_argument("--data-folder", type=Path, help="the data folder (models, class keys)")
        each.add_argument(
            "--public-name", action="append", default=[], help="a name that browsers reach it by"
        )
    return parser


if __name__ == "__main__":
    sys.exit(run_program(main))
