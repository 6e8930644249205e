"""Flashcards on the command line: `python -m flashcards list`, `due` and `validate`."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from flashcards.deck import load_decks
from flashcards.lint import lint_cards
from flashcards.reviews import Reviews
from flashcards.session import CardFilter
from study.command_line import add_learner_options, exit_status, open_learner
from study.concepts import load_concepts
from study.content import LEVELS
from study.content_lint import refuse
from study.errors import LearnerError
from study.evidence import broken_claims


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m flashcards", description="Cards without a browser.")
    commands = parser.add_subparsers(required=True, metavar="command")

    listing = commands.add_parser("list", help="list the cards")
    listing.add_argument("--deck", default="", help="file name of a deck, without .yaml")
    listing.add_argument("--level", default="", choices=LEVELS)
    listing.add_argument("--concept", default="", help="id of a concept")
    listing.set_defaults(command=list_cards)

    due = commands.add_parser("due", help="say what is due")
    add_learner_options(due)
    due.set_defaults(command=show_due)

    commands.add_parser("validate", help="check all decks").set_defaults(command=validate)
    options = parser.parse_args(arguments)
    return exit_status(options.command, options)


def list_cards(options: argparse.Namespace) -> None:
    """One card a line."""
    wanted = CardFilter(deck=options.deck, level=options.level, concept=options.concept)
    cards = [card for card in load_decks(load_concepts()).cards if wanted.matches(card)]
    if not cards:
        raise LearnerError(
            "No card matches this choice.", do_next="Leave an option out, or look at all: list"
        )
    for card in cards:
        print(f"{card.id}\t{card.deck}\t{card.level}\t{' '.join(card.front.split())}")


def show_due(options: argparse.Namespace) -> None:
    """What waits today and on the coming days."""
    store, profile = open_learner(options)
    due = Reviews(store=store, decks=load_decks(load_concepts())).due(profile.id, now=datetime.now(UTC))
    print(f"{profile.name}: {due.due} due, {due.new} new")
    print("Coming days: " + " ".join(str(count) for count in due.coming))
    store.close()


def validate(_options: argparse.Namespace) -> None:
    """Read every deck, compute every claim, and look at the cards as a whole."""
    concepts = load_concepts()
    decks = load_decks(concepts)
    broken = broken_claims((f"card {card.id}", card.evidence) for card in decks.cards)
    if broken:
        raise LearnerError(
            "\n".join(broken) + "\n", do_next="Correct the number, or the arguments of the check."
        )
    refuse(lint_cards(decks.cards, concepts))
    checks = sum(len(card.evidence.checks) for card in decks.cards)
    print(
        f"{len(decks.cards)} cards in {len(decks.titles)} decks are in order; {checks} numbers were computed."
    )


if __name__ == "__main__":
    sys.exit(main())
