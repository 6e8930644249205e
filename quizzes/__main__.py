"""Quizzes on the command line: `list`, `due`, `items`, `grade`, `validate`, `export` and `import`."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import lora_lab.quantities  # noqa: F401 - registers what a `check:` may name
from quizzes import families
from quizzes.bank.bank import load_bank
from quizzes.grader.command import add_grade_options
from quizzes.grader.prompts import load_prompts
from quizzes.interchange.exchange import WRITERS, QuestionExchange, build_question_exchange
from quizzes.interchange.user_bank import LiveBank
from quizzes.kinds.charts import ReadChart
from quizzes.kinds.question import Question
from quizzes.session.operations import QuizOperations
from quizzes.stats.item_analysis import compute_statistics
from study.base.command_line import run_program
from study.base.errors import LearnerError
from study.base.settings import load_settings
from study.content.concepts import ConceptMap, load_concepts
from study.content.evidence import check_claims
from study.content.yaml_reader import LEVELS
from study.io.command_line import add_learner_options, open_data_folder, open_learner, run_command
from study.io.exchange_commands import add_exchange_commands, export_files, read_formats
from study.lessons.content_lint import LintedItem, LintedOption, LintFinding, lint, raise_findings
from study.store import Store

DRAWN_TO_CHECK = 20  # variants per family
LEAST_QUESTIONS = 5  # per concept


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m quizzes", description="Questions without a browser.")
    commands = parser.add_subparsers(required=True, metavar="command")

    listing = commands.add_parser("list", help="list the questions")
    listing.add_argument("--topic", default="", help="file name of a topic, without .yaml")
    listing.add_argument("--level", default="", choices=LEVELS)
    listing.add_argument("--concept", default="", help="id of a concept")
    listing.set_defaults(command=list_questions)

    due = commands.add_parser("due", help="list the questions to ask again")
    add_learner_options(due)
    due.set_defaults(command=show_due)

    items = commands.add_parser("items", help="say how the questions do, once they have ten answers")
    items.add_argument("--data-folder", type=Path, help="where progress is kept (default: as the app)")
    items.set_defaults(command=show_items)

    add_grade_options(commands.add_parser("grade", help="say which concepts an explanation states"))
    commands.add_parser("validate", help="check all questions and prompts").set_defaults(command=validate)

    out = add_exchange_commands(commands, open_exchanges, formats=tuple(WRITERS), what="questions")
    out.set_defaults(command=export_questions)
    options = parser.parse_args(arguments)
    return run_command(options.command, options)


def list_questions(options: argparse.Namespace) -> None:
    """Print one question per line, then the families that match."""
    bank = load_bank(load_concepts())
    wanted = {"topic": options.topic, "level": options.level, "concept": options.concept}
    questions, drawn = bank.list_matching(**wanted), bank.list_families_matching(**wanted)
    if not questions and not drawn:
        raise LearnerError(
            "No question matches these options.", do_next="Leave an option out, or see all with `list`."
        )
    for question in questions:
        print(_format_line(question))
    for family in drawn:
        print(f"{family.id}@SEED\t{families.TOPIC}\t{family.level}\tfamily\t{family.title}")


def show_due(options: argparse.Namespace) -> None:
    """Print what to ask again: confident errors whose day has come, then other misses, oldest first."""
    store, profile = open_learner(options)
    own = load_settings(home=options.data_folder).questions_dir
    operations = QuizOperations(store=store, bank=LiveBank(load_concepts(), own))
    again = operations.list_due_again(profile.id, now=datetime.now(UTC))
    print(f"{profile.name}: {len(again)} to ask again")
    for question in again:
        print(_format_line(question))
    for each in operations.list_returning(profile.id):
        print(f"{each.question_id}\tcomes back on {each.due_on}, missed on {each.missed_on}")
    store.close()


def open_exchanges(_store: Store, home: Path) -> list[QuestionExchange]:
    return [build_question_exchange(home, load_concepts())]


def export_questions(options: argparse.Namespace) -> None:
    """Write files of the chosen formats, and print what a format has no form for."""
    questions = build_question_exchange(load_settings(home=options.data_folder).home, load_concepts())
    export_files(lambda *_: [questions], options)
    for name in read_formats(options):
        if left_out := questions.write_format(name).left_out:
            ids = ", ".join(entry.id for entry in left_out)
            print(f"{name} has no form for {len(left_out)} questions: {ids}", file=sys.stderr)


def show_items(options: argparse.Namespace) -> None:
    """Print one question per line, hardest first: answers, facility, discrimination, and advice."""
    store = open_data_folder(options)
    items = compute_statistics(store, load_bank(load_concepts()))
    if not items:
        print("No question has ten answers yet.", file=sys.stderr)
    for item in items:
        tells = "-" if item.discrimination is None else f"{item.discrimination:.2f}"
        advice = "; ".join(item.advice) or "nothing stands out"
        print(f"{item.question_id}\t{item.facility.trials}\t{item.facility}\t{tells}\t{advice}")
    store.close()


def validate(_options: argparse.Namespace) -> None:
    """Read every question and prompt, compute every claim, and lint the questions as a whole."""
    concepts = load_concepts()
    bank, prompts = load_bank(concepts), load_prompts(concepts)
    drawn = families.build_variants(bank.families.values(), count=DRAWN_TO_CHECK)
    all_questions = (*bank.questions, *drawn)
    check_claims((f"question {question.id}", question.evidence) for question in all_questions)
    raise_findings(lint_questions(bank.questions, concepts))
    charts = [question.task.chart for question in bank.questions if isinstance(question.task, ReadChart)]
    checks = sum(len(question.evidence.checks) for question in all_questions)
    computed = checks + sum(len(chart.points) for chart in charts)
    counted = f"{len(bank.questions)} questions on {len(bank.topics)} topics, {len(bank.families)} families"
    print(f"{counted} and {len(prompts)} prompts are in order; {computed} numbers were computed.")


def lint_questions(questions: Iterable[Question], concepts: ConceptMap) -> list[LintFinding]:
    """List what is wrong with the questions as a whole."""
    return lint([as_item(question) for question in questions], concepts.by_id, least=LEAST_QUESTIONS)


def as_item(question: Question) -> LintedItem:
    """Convert a question to the fields that the lint rules read."""
    options = question.options
    return LintedItem(
        id=question.id,
        concepts=question.concepts,
        level=question.level,
        asks=question.stem,
        answers=" ".join(option.text for option in options if option.correct),
        explains=(question.keep, *(option.feedback for option in options), *_list_told(question)),
        choices=tuple(
            LintedOption(text=option.text, correct=option.correct, feedback=option.feedback)
            for option in options
        ),
    )


def _list_told(question: Question) -> tuple[str, ...]:
    """Return the texts of a question without options, and the hint."""
    hint = (question.hint,) if question.hint else ()
    return hint if question.options else (*question.task.texts, *hint)


def _format_line(question: Question) -> str:
    stem = " ".join(question.stem.split())
    return f"{question.id}\t{question.topic}\t{question.level}\t{question.kind}\t{stem}"


if __name__ == "__main__":
    sys.exit(run_program(main))
