"""Flashcards on the command line: `python -m flashcards list`, `due`, `validate`, `export` and `import`."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from flashcards.decks.deck import load_decks
from flashcards.decks.note import Card
from flashcards.interchange.backup_rows import check_row
from flashcards.interchange.exchange import build_card_exchange
from flashcards.interchange.user_decks import LiveDecks
from flashcards.review.operations import Reviews
from flashcards.review.session import CardFilter
from study.base.command_line import run_program
from study.base.errors import LearnerError
from study.base.settings import load_settings
from study.content.concepts import ConceptMap, load_concepts
from study.content.evidence import check_claims
from study.content.yaml_reader import LEVELS
from study.io.backup import BackupExchange
from study.io.command_line import add_learner_options, open_learner, run_command
from study.io.exchange import Exchange
from study.io.exchange_commands import add_exchange_commands
from study.lessons.content_lint import LintedItem, LintFinding, lint, raise_findings
from study.store import Store

FORMATS = ("apkg", "csv", "json", "md")
LEAST_CARDS = 4  # per concept


def main(arguments: Sequence[str] | None = None) -> int:
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

    # The format `json` is the backup of everything.
    add_exchange_commands(commands, build_card_exchanges, formats=FORMATS, what="cards and progress")
    options = parser.parse_args(arguments)
    return run_command(options.command, options)


def list_cards(options: argparse.Namespace) -> None:
    wanted = CardFilter(deck=options.deck, level=options.level, concept=options.concept)
    cards = [card for card in load_decks(load_concepts()).cards if wanted.matches(card)]
    if not cards:
        raise LearnerError(
            "No card matches these options.", do_next="Leave an option out, or see all with `list`."
        )
    for card in cards:
        print(f"{card.id}\t{card.deck}\t{card.level}\t{' '.join(card.front.split())}")


def show_due(options: argparse.Namespace) -> None:
    """Print how many cards are due today and on the coming days."""
    store, profile = open_learner(options)
    due = Reviews(
        store=store, decks=LiveDecks(load_concepts(), load_settings(home=options.data_folder).decks_dir)
    ).count_due(profile.id, now=datetime.now(UTC))
    print(f"{profile.name}: {due.due} due, {due.new} new")
    print("Coming days: " + " ".join(str(count) for count in due.coming))
    store.close()


def build_card_exchanges(store: Store, home: Path) -> list[Exchange]:
    """Return the exchanges of cards and backups, in the order in which they claim a file."""
    backup = BackupExchange(store=store, home=home, row_problem=check_row)
    return [backup, build_card_exchange(store, home, load_concepts())]


def validate(_options: argparse.Namespace) -> None:
    """Read every deck, compute every claim, and lint the cards as a whole."""
    concepts = load_concepts()
    decks = load_decks(concepts)
    check_claims((f"card {card.id}", card.evidence) for card in decks.cards)
    raise_findings(lint_cards(decks.cards, concepts))
    checks = sum(len(card.evidence.checks) for card in decks.cards)
    print(
        f"{len(decks.cards)} cards in {len(decks.titles)} decks are in order; {checks} numbers were computed."
    )


def lint_cards(cards: Iterable[Card], concepts: ConceptMap) -> list[LintFinding]:
    """List what is wrong with the cards as a whole."""
    return lint([as_item(card) for card in cards], concepts.by_id, least=LEAST_CARDS)


def as_item(card: Card) -> LintedItem:
    """Convert a card to the fields that the lint rules read."""
    return LintedItem(
        id=card.id,
        concepts=card.concepts,
        level=card.level,
        asks=card.front,
        answers=card.back,
        explains=(card.why,),
    )


if __name__ == "__main__":
    sys.exit(run_program(main))
