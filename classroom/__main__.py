"""`python -m classroom simulate`: play a class against a running app, to try a plan alone."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from classroom.simulation.rehearsal import Rehearsal
from study.base.errors import LearnerError


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and play. Returns the exit status."""
    options = _parser().parse_args(arguments)
    rehearsal = Rehearsal(
        address=options.address.rstrip("/"),
        students=options.students,
        say=print,
        code=options.code,
        plan=options.plan,
        lead_seconds=options.lead,
        seed=options.seed,
    )
    try:
        asyncio.run(rehearsal.play())
    except LearnerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m classroom", description="Live classes.")
    commands = parser.add_subparsers(required=True, metavar="command")
    simulate = commands.add_parser("simulate", help="students that join a running app and answer")
    simulate.add_argument("--students", type=int, default=30, help="how many (default: 30)")
    simulate.add_argument("--address", default="http://127.0.0.1:7860", help="of the running app")
    simulate.add_argument("--code", default="", help="of a class that is open; without it one is started")
    simulate.add_argument("--plan", default="opener", help="the lesson plan to start (default: opener)")
    simulate.add_argument(
        "--lead", type=float, default=0.0, metavar="SECONDS", help="press Next after so many seconds"
    )
    simulate.add_argument("--seed", type=int, default=0, help="the same seed gives the same answers")
    return parser


if __name__ == "__main__":
    sys.exit(main())
