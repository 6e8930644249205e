"""Quizzes on the command line: `python -m quizzes list`, `due`, `grade` and `validate`."""

import argparse
import sys
from collections.abc import Sequence

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from quizzes.bank import load_bank
from quizzes.explain.command import add_grade_options
from quizzes.explain.prompts import load_prompts
from quizzes.sittings import Sittings
from study.command_line import add_learner_options, exit_status, open_learner
from study.concepts import load_concepts
from study.content import LEVELS
from study.errors import LearnerError
from study.evidence import broken_claims


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m quizzes", description="Questions without a browser.")
    commands = parser.add_subparsers(required=True, metavar="command")

    listing = commands.add_parser("list", help="list the questions")
    listing.add_argument("--topic", default="", help="file name of a topic, without .yaml")
    listing.add_argument("--level", default="", choices=LEVELS)
    listing.add_argument("--concept", default="", help="id of a concept")
    listing.set_defaults(command=list_questions)

    due = commands.add_parser("due", help="list the questions that were last answered wrong")
    add_learner_options(due)
    due.set_defaults(command=show_missed)

    add_grade_options(commands.add_parser("grade", help="say which concepts an explanation states"))
    commands.add_parser("validate", help="check all questions and prompts").set_defaults(command=validate)
    options = parser.parse_args(arguments)
    return exit_status(options.command, options)


def list_questions(options: argparse.Namespace) -> None:
    """One question a line."""
    bank = load_bank(load_concepts())
    questions = bank.matching(topic=options.topic, level=options.level, concept=options.concept)
    if not questions:
        raise LearnerError(
            "No question matches this choice.", do_next="Leave an option out, or look at all: list"
        )
    for question in questions:
        print(f"{question.id}\t{question.topic}\t{question.level}\t{' '.join(question.stem.split())}")


def show_missed(options: argparse.Namespace) -> None:
    """What to ask again, oldest miss first."""
    store, profile = open_learner(options)
    missed = Sittings(store=store, bank=load_bank(load_concepts())).missed(profile.id)
    print(f"{profile.name}: {len(missed)} to ask again")
    for question in missed:
        print(f"{question.id}\t{' '.join(question.stem.split())}")
    store.close()


def validate(_options: argparse.Namespace) -> None:
    """Read every question and prompt and compute every claim."""
    concepts = load_concepts()
    bank, prompts = load_bank(concepts), load_prompts(concepts)
    broken = broken_claims((f"question {question.id}", question.evidence) for question in bank.questions)
    if broken:
        raise LearnerError(
            "\n".join(broken) + "\n", do_next="Correct the number, or the arguments of the check."
        )
    checks = sum(len(question.evidence.checks) for question in bank.questions)
    counted = f"{len(bank.questions)} questions on {len(bank.topics)} topics and {len(prompts)} prompts"
    print(f"{counted} are in order; {checks} numbers were computed.")


if __name__ == "__main__":
    sys.exit(main())
