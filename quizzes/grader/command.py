"""`python -m quizzes grade`: answers in, verdicts out, as JSON lines or as readable text."""

import argparse
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quizzes.grader.grader_client import GraderClient
from quizzes.grader.grading import Grading
from quizzes.grader.passages import MOST_PASSAGES, READ_CHARACTERS
from quizzes.grader.prompts import Prompt, load_prompts, parse_own_prompt
from quizzes.grader.verdicts import count_covered
from study.base.errors import LearnerError
from study.base.model_files import Progress
from study.base.settings import load_settings
from study.content.concepts import load_concepts
from study.text.surrogates import replace_unencodable


def add_grade_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument("--jsonl", action="store_true", help="read and print one JSON object per line")
    parser.add_argument(
        "--words",
        action="store_true",
        help="evidence is the words that carry a verdict, not whole passages; about three times as slow",
    )
    parser.add_argument("--prompt", default="", help="id of a prompt; the answer follows")
    parser.add_argument("answer", nargs="?", default="", help="the answer to --prompt")
    parser.add_argument("--data-folder", type=Path, help="where models are kept (default: as the app)")
    parser.set_defaults(command=grade_answers)


def grade_answers(options: argparse.Namespace) -> None:
    """Grade one answer, or every line of standard input. Raises LearnerError when one can't be graded."""
    if options.jsonl == bool(options.prompt):
        raise LearnerError("Give either --jsonl or --prompt ID TEXT.", do_next="See: grade --help")
    prompts = load_prompts(load_concepts())
    grader = GraderClient(load_settings(home=options.data_folder).models_dir)
    try:
        if options.jsonl:
            _grade_lines(grader, prompts, find_words=options.words)
        else:
            prompt, answer = _find_prompt(prompts, options.prompt), replace_unencodable(options.answer)
            _print(prompt, answer, grader.grade(prompt, answer, report=_print_progress, find_words=True))
    finally:
        grader.close()


def _grade_lines(grader: GraderClient, prompts: Mapping[str, Prompt], *, find_words: bool) -> None:
    """Grade each line before the next is read; a bad line is answered with its error and counted."""
    grader.prepare(_print_progress)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="backslashreplace")  # invalid bytes spoil only their own line
    refused = 0
    for line in iter(sys.stdin.readline, ""):
        if not line.strip():
            continue
        try:
            prompt, answer = _parse_line(line, prompts)
            graded = grader.grade(prompt, answer, find_words=find_words)
            said = as_json(prompt, answer, graded)
        except LearnerError as error:
            refused += 1
            said = {"error": str(error)}
        print(json.dumps(said, ensure_ascii=False), flush=True)  # noqa: T201 - a command line prints
    if refused:
        lines = "1 line" if refused == 1 else f"{refused} lines"
        raise LearnerError(f"{lines} could not be graded.", do_next="Read their errors in the output.")


def _parse_line(line: str, prompts: Mapping[str, Prompt]) -> tuple[Prompt, str]:
    """Parse the prompt and answer of one line; the prompt is an id or a whole object."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LearnerError(
            f"This line is not JSON ({error}).", do_next="Give one JSON object per line."
        ) from error
    if not isinstance(record, dict) or not isinstance(record.get("answer"), str):
        raise LearnerError(
            "A line needs `prompt` and `answer`.",
            do_next='Write, for example, {"prompt": "explain-lora", "answer": "..."}.',
        )
    asked = record.get("prompt")
    prompt = parse_own_prompt(asked) if isinstance(asked, dict) else _find_prompt(prompts, asked)
    return prompt, replace_unencodable(record["answer"])  # the model reads no half characters


def _find_prompt(prompts: Mapping[str, Prompt], prompt_id: object) -> Prompt:
    if not isinstance(prompt_id, str) or prompt_id not in prompts:
        raise LearnerError(
            f"There is no prompt {prompt_id!r}.", do_next=f"Name one of: {', '.join(prompts)}."
        )
    return prompts[prompt_id]


def as_json(prompt: Prompt, answer: str, grading: Grading) -> dict[str, Any]:
    """Return the output record of the public contract."""
    return {
        "prompt": prompt.id,
        "concepts": dict(grading.verdicts),
        "evidence": {
            concept.concept_id: [
                {"start": span.start, "end": span.end, "text": answer[span.start : span.end]}
                for span in concept.words or concept.evidence
            ]
            for concept in grading.concepts
        },
        "confidence": {concept.concept_id: concept.confidence for concept in grading.concepts},
        "reasons": {concept.concept_id: concept.reason for concept in grading.concepts},
        "score": count_covered(grading.verdicts.values()),
    }


def _print(prompt: Prompt, answer: str, grading: Grading) -> None:
    lines = []
    for concept, graded in zip(prompt.concepts, grading.concepts, strict=True):
        lines.append(f"{graded.verdict:13}{graded.confidence:5.0%}  {concept.label}")
        lines += [f"{'':20} > {answer[span.start : span.end]}" for span in graded.words or graded.evidence]
        lines.append(f"{'':20} {graded.reason}")
    if grading.cut:
        lines.append(
            f"Only the first {READ_CHARACTERS:,} characters, or {MOST_PASSAGES} passages, were read."
        )
    print("\n".join(lines))  # noqa: T201 - a command line prints


def _print_progress(progress: Progress) -> None:
    print(progress.step, file=sys.stderr)  # noqa: T201 - a command line prints
